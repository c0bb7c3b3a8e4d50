/* SPDX-License-Identifier: MIT */
/* See entry.h. */
#include "entry.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../http/text.h"

struct entry_item {
	size_t at; /* in `text`: the name, then the value */
	size_t name_size, value_size;
	uint32_t next;  /* of the same name; 0: none */
	uint32_t count; /* of that name, from here; 0: it is not the first */
};

void entry_init(struct entry *entry, const struct sl_strings *fields, size_t field_max)
{
	*entry = (struct entry){ .fields = fields, .field_max = field_max };
	sl_writer_init(&entry->text);
}

void entry_fini(struct entry *entry)
{
	sl_writer_fini(&entry->text);
	free(entry->items);
}

bool entry_is_field(const char *name)
{
	for (const char *at = name; *at; at++)
		if (!isupper((unsigned char)*at) && !isdigit((unsigned char)*at) && *at != '_')
			return false;
	return *name && !isdigit((unsigned char)*name);
}

/* --- collecting --------------------------------------------------------------------------------- */

static bool is_named(const struct entry *entry, const struct entry_item *item, const char *name,
	size_t name_size)
{
	return item->name_size == name_size &&
	       memcmp(entry->text.data + item->at, name, name_size) == 0;
}

static bool is_wanted(const struct entry *entry, const char *name, size_t size)
{
	for (uint32_t i = 0; i < entry->fields->count; i++)
		if (strncmp(entry->fields->items[i], name, size) == 0 &&
			!entry->fields->items[i][size])
			return true;
	return entry->fields->count == 0;
}

/* The new item goes behind those of its name. */
static void chain(struct entry *entry, struct entry_item *item)
{
	uint32_t number = (uint32_t)(item - entry->items);
	const char *name = entry->text.data + item->at;

	item->count = 1;
	for (uint32_t i = 0; i < number; i++) {
		struct entry_item *first = &entry->items[i], *last = first;

		if (first->count == 0 || !is_named(entry, first, name, item->name_size))
			continue;
		while (last->next)
			last = &entry->items[last->next];
		last->next = number;
		first->count++;
		item->count = 0;
		return;
	}
}

static struct entry_item *new_item(struct entry *entry)
{
	uint32_t capacity = entry->capacity ? 2 * entry->capacity : 64;
	struct entry_item *items;

	if (entry->count < entry->capacity)
		return &entry->items[entry->count++];
	items = reallocarray(entry->items, capacity, sizeof(*items));
	if (!items)
		return NULL;
	entry->items = items;
	entry->capacity = capacity;
	return &entry->items[entry->count++];
}

static int take(struct entry *entry, const char *data, size_t size)
{
	const char *equals = memchr(data, '=', size);
	size_t name_size = equals ? (size_t)(equals - data) : 0;
	struct entry_item *item;
	char *to;

	if (!equals)
		return -EBADMSG;
	if (!is_wanted(entry, data, name_size))
		return 0;
	if (size - name_size - 1 > entry->field_max)
		return -EMSGSIZE;
	item = new_item(entry);
	to = item ? sl_writer_reserve(&entry->text, size - 1) : NULL;
	if (!to)
		return -ENOMEM;
	*item = (struct entry_item){
		.at = entry->text.size, .name_size = name_size, .value_size = size - name_size - 1
	};
	memcpy(to, data, name_size);
	memcpy(to + name_size, equals + 1, item->value_size);
	entry->text.size += size - 1;
	chain(entry, item);
	return 0;
}

static int collect(struct entry *entry, sd_journal *journal)
{
	const void *data;
	size_t size;
	int r;

	entry->count = 0;
	sl_writer_reset(&entry->text);
	sd_journal_restart_data(journal);
	while ((r = sd_journal_enumerate_data(journal, &data, &size)) > 0) {
		r = take(entry, data, size);
		if (r < 0)
			return r;
	}
	return r;
}

/* --- putting ------------------------------------------------------------------------------------ */

static void put_one(struct sl_writer *out, const char *data, size_t size)
{
	if (text_is_utf8(data, size))
		sl_put_str(out, data, size);
	else
		sl_put_bin(out, data, size);
}

static void put_item(
	const struct entry *entry, const struct entry_item *item, struct sl_writer *out)
{
	const char *text = entry->text.data;

	sl_put_str(out, text + item->at, item->name_size);
	if (item->count > 1)
		sl_put_array(out, item->count);
	for (;;) {
		put_one(out, text + item->at + item->name_size, item->value_size);
		if (!item->next)
			return;
		item = &entry->items[item->next];
	}
}

enum own { CURSOR, REALTIME, MONOTONIC, NUMBER, SEQUENCE, OWN_COUNT, OWN_USUAL = NUMBER };

static const char *const own_names[OWN_COUNT] = {
	[CURSOR] = "__CURSOR",
	[REALTIME] = "__REALTIME_TIMESTAMP",
	[MONOTONIC] = "__MONOTONIC_TIMESTAMP",
	[NUMBER] = "__SEQNUM",
	[SEQUENCE] = "__SEQNUM_ID",
};

static int put_own(
	enum own which, sd_journal *journal, const struct entry_place *place, struct sl_writer *out)
{
	char text[SD_ID128_STRING_MAX];
	uint64_t usec = place->number;
	sd_id128_t boot;
	int r = 0;

	sl_put_cstr(out, own_names[which]);
	if (which == REALTIME)
		r = sd_journal_get_realtime_usec(journal, &usec);
	if (which == MONOTONIC)
		r = sd_journal_get_monotonic_usec(journal, &usec, &boot);
	if (which == CURSOR || which == SEQUENCE)
		sl_put_cstr(out, which == CURSOR ? place->cursor
						 : sd_id128_to_string(place->sequence, text));
	else
		sl_put_uint(out, usec);
	return r < 0 ? r : 0;
}

static int put_all(const struct entry *entry, sd_journal *journal, const struct entry_place *place,
	struct sl_writer *out)
{
	uint32_t count = OWN_USUAL;
	int r = 0;

	for (uint32_t i = 0; i < entry->count; i++)
		count += entry->items[i].count > 0;
	sl_put_map(out, count);
	for (enum own which = 0; which < OWN_USUAL && r == 0; which++)
		r = put_own(which, journal, place, out);
	for (uint32_t i = 0; i < entry->count && r == 0; i++)
		if (entry->items[i].count > 0)
			put_item(entry, &entry->items[i], out);
	return r;
}

static const struct entry_item *find_item(const struct entry *entry, const char *name)
{
	for (uint32_t i = 0; i < entry->count; i++)
		if (entry->items[i].count > 0 &&
			is_named(entry, &entry->items[i], name, strlen(name)))
			return &entry->items[i];
	return NULL;
}

static enum own find_own(const char *name)
{
	enum own which = 0;

	while (which < OWN_COUNT && strcmp(own_names[which], name) != 0)
		which++;
	return which;
}

static int put_chosen(const struct entry *entry, sd_journal *journal,
	const struct entry_place *place, struct sl_writer *out)
{
	const struct sl_strings *fields = entry->fields;
	uint32_t count = 0;
	int r = 0;

	for (uint32_t i = 0; i < fields->count; i++)
		count += find_own(fields->items[i]) < OWN_COUNT ||
			 find_item(entry, fields->items[i]);
	sl_put_map(out, count);
	for (uint32_t i = 0; i < fields->count && r == 0; i++) {
		enum own own = find_own(fields->items[i]);
		const struct entry_item *item = find_item(entry, fields->items[i]);

		if (own < OWN_COUNT)
			r = put_own(own, journal, place, out);
		else if (item)
			put_item(entry, item, out);
	}
	return r;
}

static int reject(struct sl_context *ctx, const struct entry *entry,
	const struct entry_place *place, int error)
{
	if (error == -EMSGSIZE)
		return sl_reject(ctx, place->cursor, (struct sl_value){ 0 },
			"a field is longer than %zu bytes, which is `field_max`", entry->field_max);
	return sl_reject(ctx, place->cursor, (struct sl_value){ 0 },
		"the journal's file cannot be read here: %s", strerrordesc_np(-error));
}

int entry_put(struct sl_context *ctx, struct entry *entry, sd_journal *journal,
	const struct entry_place *place, struct sl_writer *out)
{
	int r = collect(entry, journal);

	if (r == 0)
		r = entry->fields->count > 0 ? put_chosen(entry, journal, place, out)
					     : put_all(entry, journal, place, out);
	if (r == 0)
		return sl_record_done(out);
	sl_record_abandon(out);
	return r == -ENOMEM ? r : reject(ctx, entry, place, r);
}
