/* SPDX-License-Identifier: MIT */
/* See answer.h. */
#include "answer.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "pointer.h"

#define EXCERPT_SIZE 200

static int no_items(struct reason *reason, const struct sink *sink, const char *why)
{
	return reason_set(reason, CLIENT_REFUSED,
		"the request was answered, but `items` = \"%.60s\" %s, so nobody knows what became "
		"of its records",
		sink->items, why);
}

int answer_items_begin(struct answer_items *items, const struct sink *sink,
	const struct client_answer *answer, uint32_t count, struct reason *reason)
{
	struct sl_value array;
	const char *why = "";
	int r;

	*items = (struct answer_items){ .sink = sink, .answer = answer };
	r = client_value(answer, &items->value, &why);
	if (r == -EINVAL)
		return no_items(reason, sink, "is for JSON, which it is not");
	if (r < 0)
		return r;
	array = pointer_find(
		(struct sl_value){ .data = items->value.data, .size = items->value.size },
		sink->items);
	if (!array.data || sl_kind(array) != SL_ARRAY)
		return no_items(reason, sink, "leads to no array in it");
	if (sl_count(array) != count)
		return no_items(reason, sink, "has not as many members as it had records");
	items->at = sl_walk(array);
	return 0;
}

void answer_items_end(struct answer_items *items)
{
	sl_writer_fini(&items->value);
}

/* What is said under `name`, of the item itself or in its only member: {"index": {"status": 201}}. */
static struct sl_value said(struct sl_value item, const char *name)
{
	struct sl_value found = { 0 };
	struct sl_value key, inner;
	struct sl_cursor c;

	if (sl_kind(item) != SL_MAP)
		return found;
	found = sl_find(item, name, strlen(name));
	c = sl_walk(item);
	if (found.data || sl_count(item) != 1 || !sl_next(&c, &key, &inner) ||
		sl_kind(inner) != SL_MAP)
		return found;
	return sl_find(inner, name, strlen(name));
}

int answer_items_next(struct answer_items *items, const char *url, struct reason *reason)
{
	const struct client *client = &items->sink->http;
	struct sl_value key, item = { 0 }, error;
	char place[160], excerpt[EXCERPT_SIZE] = "";
	int64_t status = 0;

	(void)sl_next(&items->at, &key, &item);
	if (sl_get_int(said(item, "status"), &status) && status_has(&client->ok, (long)status))
		return 0;
	error = said(item, "error");
	sl_print(error.data ? error : item, excerpt, sizeof(excerpt));
	client_hide(items->answer, client, excerpt, strlen(excerpt));
	address_show(url, place, sizeof(place));
	(void)reason_set(
		reason, 0, "%s: status %lld of the record: %s", place, (long long)status, excerpt);
	return status_has(&client->again, (long)status) ? CLIENT_LATER : CLIENT_REFUSED;
}
