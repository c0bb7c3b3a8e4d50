/* SPDX-License-Identifier: MIT */
/* Transform "ask": asks a web service for each record, and puts the JSON that it answers into a field. */
#include <sluice/stage.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX 2048

struct shared {
	const char *url;
	const char *field;
	const char *into;
};

/* The value behind the address, with everything escaped that means something in one. */
static int make_url(const struct shared *o, const char *text, size_t size, char url[static URL_MAX])
{
	int at = snprintf(url, URL_MAX, "%s", o->url);

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (at + 4 > URL_MAX)
			return -ENAMETOOLONG;
		if (isalnum(c))
			url[at++] = (char)c;
		else
			at += snprintf(url + at, 4, "%%%02X", c);
		url[at] = '\0';
	}
	return at < URL_MAX ? 0 : -ENAMETOOLONG;
}

/* Once per answer: done, given up for good, or later again. */
static int judge(
	struct sl_context *ctx, struct sl_value record, const struct sl_http_response *response)
{
	char text[32];
	int64_t not_before = 0;

	if (response->status == 200)
		return 0;
	if (response->status != 429 && response->status < 500)
		return sl_reject(ctx, NULL, record, "HTTP status %ld", response->status);
	if (sl_http_header(response, "Retry-After", text, sizeof(text)))
		not_before = sl_now() + atoi(text) * SL_SECOND;
	return sl_retry(ctx, not_before, "HTTP status %ld", response->status);
}

static int put_answer(struct sl_context *ctx, const struct shared *o, struct sl_value record,
	const struct sl_http_response *response, struct sl_writer *out)
{
	struct sl_cursor c = sl_walk(record);
	struct sl_value key, value;
	const char *reason;
	int r;

	sl_put_map(out, sl_count(record) + 1);
	while (sl_next(&c, &key, &value)) {
		sl_put_value(out, key);
		sl_put_value(out, value);
	}
	sl_put_cstr(out, o->into);
	r = sl_json_parse(out, response->body, response->body_size, &reason);
	if (r == -EINVAL)
		return sl_reject(ctx, NULL, record, "the answer is no JSON: %s", reason);
	return r < 0 ? r : sl_record_done(out);
}

/* While it waits in sl_http, other records of this worker are in here, too. */
static int ask_transform(struct sl_context *ctx, void *shared, void *worker, struct sl_value record,
	struct sl_writer *const *out)
{
	const struct shared *o = shared;
	struct sl_http_response response;
	struct sl_value value = { 0 };
	char url[URL_MAX];
	const char *text;
	size_t size;
	int r;

	(void)worker;
	if (sl_kind(record) == SL_MAP)
		value = sl_find(record, o->field, strlen(o->field));
	if (!value.data || !sl_get_str(value, &text, &size))
		return sl_reject(ctx, NULL, record, "no string in `%s`", o->field);
	if (make_url(o, text, size, url) < 0)
		return sl_reject(ctx, NULL, record, "`%s` is too long for an address", o->field);
	r = sl_http(ctx, &(struct sl_http_request){ .url = url }, SL_NEVER, &response);
	if (r == -EINVAL || r == -EMSGSIZE)
		r = sl_reject(ctx, NULL, record, "%s", response.reason);
	else if (r < 0 && r != -ETIMEDOUT && r != -ECANCELED && r != -ENOMEM)
		r = sl_retry(ctx, 0, "%s", response.reason);
	else if (r == 0)
		r = judge(ctx, record, &response);
	if (r == 0)
		r = put_answer(ctx, o, record, &response, out[0]);
	sl_http_response_fini(&response);
	return r;
}

static const struct sl_option options[];

static const struct sl_stage ask = {
	.abi = SL_ABI,
	.name = "ask",
	.role = SL_TRANSFORM,
	.summary = "asks a web service for each record",
	.flags = SL_RESUMES | SL_TASKS,
	.shared_size = sizeof(struct shared),
	.transform = ask_transform,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("url", STRING, struct shared, url), .required = true,
	  .help = "the address, to which the field's value is appended", .example = "\"https://example.org/city/\"" },
	{ SL_OPTION("field", STRING, struct shared, field), .required = true,
	  .help = "the field that is asked for", .example = "\"city\"" },
	{ SL_OPTION("into", STRING, struct shared, into), .fallback = "answer",
	  .help = "the field that gets the answer", .example = "\"city_data\"" },
	{ 0 },
};
/* clang-format on */

SL_MODULE(&ask);
