/* SPDX-License-Identifier: MIT */
/*
 * Transform "parse": the text of a field becomes what it says: JSON, key=value pairs, the named groups of a pattern, a time. The value stands in the
 * field's place, or in another field, or its pairs become fields of the record; the other fields are copied as bytes.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "pattern.h"
#include "place.h"
#include "text.h"
#include "times.h"

#define REASON_MAX 256

enum format { FORMAT_JSON, FORMAT_LOGFMT, FORMAT_REGEX, FORMAT_TIME };
enum on_failure { FAILURE_DEAD_LETTER, FAILURE_KEEP };

static const char *const formats[] = { "json", "logfmt", "regex", "time", NULL };
static const char *const failures[] = { "dead-letter", "keep", NULL };

struct shared {
	struct place place;
	int format;
	const char *pattern;
	bool numbers;
	char separator, assign;
	struct sl_strings time_format;
	const char *time_zone;
	int time_output;
	int on_failure;
	const char *reason;
};

struct worker {
	struct pattern *pattern;
	struct logfmt logfmt;
	struct times times;
	struct sl_writer value, name;
};

/* --- the value: each answers 0, -EINVAL with a reason, or -ENOMEM ------------------------------- */

static int fail(char *reason, const char *text)
{
	(void)snprintf(reason, REASON_MAX, "%s", text);
	return -EINVAL;
}

static int put_groups(struct worker *w, bool numbers, const char *text)
{
	uint32_t count = pattern_group_count(w->pattern);
	size_t begin, end;

	sl_put_map(&w->value, count);
	for (uint32_t i = 0; i < count; i++) {
		sl_put_cstr(&w->value, pattern_group_name(w->pattern, i));
		if (pattern_group(w->pattern, i, &begin, &end))
			text_put(&w->value, text + begin, end - begin, numbers);
		else
			sl_put_nil(&w->value);
	}
	return 0;
}

static int read_pattern(
	struct worker *w, const struct shared *o, const char *text, size_t size, char *reason)
{
	int r = pattern_match(w->pattern, text, size);

	if (r == 0)
		return fail(reason, "the pattern does not match");
	if (r < 0)
		return fail(reason, "the pattern takes too many steps with it");
	return put_groups(w, o->numbers, text);
}

static int read_text(
	struct worker *w, const struct shared *o, const char *text, size_t size, char *reason)
{
	const char *why = "";
	int r;

	if (o->format == FORMAT_REGEX)
		return read_pattern(w, o, text, size, reason);
	r = o->format == FORMAT_JSON ? sl_json_parse(&w->value, text, size, &why)
				     : logfmt_put(&w->logfmt, &w->value, text, size, &why);
	return r == -EINVAL ? fail(reason, why) : r;
}

static int read_time(struct worker *w, const struct shared *o, struct sl_value v, char *reason)
{
	struct instant instant;

	if (!times_read(&w->times, v, &instant))
		return fail(reason, "it is no time as in `time_format`");
	if (times_put((enum time_output)o->time_output, instant, &w->value) < 0)
		return fail(reason, "the time is too far away for `time_output`");
	return 0;
}

static int read_value(struct worker *w, const struct shared *o, struct sl_value v, char *reason)
{
	const char *text;
	size_t size;
	int r;

	sl_writer_reset(&w->value);
	if (o->format == FORMAT_TIME) {
		r = read_time(w, o, v, reason);
	} else if (sl_get_str(v, &text, &size)) {
		r = read_text(w, o, text, size, reason);
	} else {
		(void)snprintf(reason, REASON_MAX, "it is no string but of type %s",
			sl_kind_name(sl_kind(v)));
		r = -EINVAL;
	}
	return r == 0 && w->value.error ? -ENOMEM : r;
}

/* --- records ------------------------------------------------------------------------------------ */

static int parse_record(struct worker *w, const struct shared *o, struct sl_value record,
	struct sl_writer *out, char *reason)
{
	struct place_cut cut;
	int r;

	if (sl_kind(record) != SL_MAP)
		return fail(reason, "the record has no fields");
	r = place_find(&o->place, record, &cut, reason, REASON_MAX);
	if (r == 0)
		r = read_value(w, o, cut.value, reason);
	if (r < 0)
		return r;
	return place_put(&o->place, record, &cut, (struct sl_value){ w->value.data, w->value.size },
		&w->name, out, reason, REASON_MAX);
}

/* The record as it is, and why. */
static void keep_record(
	const struct shared *o, struct sl_value record, const char *reason, struct sl_writer *out)
{
	struct sl_cursor cursor = sl_walk(record);

	if (!o->reason || sl_kind(record) != SL_MAP ||
		sl_find(record, o->reason, strlen(o->reason)).data) {
		sl_put_value(out, record);
		return;
	}
	sl_put_map(out, sl_count(record) + 1);
	sl_put_value(out,
		(struct sl_value){ cursor.at, (size_t)(record.data + record.size - cursor.at) });
	sl_put_cstr(out, o->reason);
	sl_put_cstr(out, reason);
}

static int64_t parse_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	const struct shared *o = shared;
	int64_t consumed = 0;

	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		struct sl_value record = sl_batch_record(in, i);
		char reason[REASON_MAX] = "";
		int r = parse_record(worker, o, record, out[0], reason);

		if (r < 0)
			sl_record_abandon(out[0]);
		if (r == -EINVAL && o->on_failure == FAILURE_DEAD_LETTER) {
			(void)sl_reject(ctx, NULL, record, "\"%s\": %s", o->place.field, reason);
			continue;
		}
		if (r == -EINVAL)
			keep_record(o, record, reason, out[0]);
		else if (r < 0)
			return r;
		r = sl_record_done(out[0]);
		if (r < 0)
			return r;
		consumed++;
	}
	return consumed;
}

/* --- beginning and end -------------------------------------------------------------------------- */

static void parse_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	pattern_free(w->pattern);
	free(w->logfmt.pairs);
	sl_writer_fini(&w->value);
	sl_writer_fini(&w->name);
}

static int parse_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r = 0;

	sl_writer_init(&w->value);
	sl_writer_init(&w->name);
	times_init(&w->times, &o->time_format, o->time_zone);
	w->logfmt = (struct logfmt){ o->separator, o->assign, o->numbers,
		calloc(PAIRS_MAX, sizeof(struct pair)) };
	if (!w->logfmt.pairs)
		r = -ENOMEM;
	else if (o->format == FORMAT_REGEX)
		r = pattern_new(ctx, "pattern", o->pattern, &w->pattern);
	if (r < 0)
		parse_stop(ctx, shared, w);
	return r;
}

static int parse_open(struct sl_context *ctx, void *shared)
{
	const struct shared *o = shared;

	(void)ctx;
	if (o->format == FORMAT_TIME)
		times_open(o->time_zone);
	return 0;
}

static int check_pattern(struct sl_context *ctx, const struct shared *o)
{
	struct pattern *pattern;
	uint32_t groups;
	int r = pattern_new(ctx, "pattern", o->pattern, &pattern);

	if (r < 0)
		return r;
	groups = pattern_group_count(pattern);
	pattern_free(pattern);
	if (groups == 0)
		return sl_error(ctx, -EINVAL,
			"`pattern` has no named groups, which become fields: write "
			"(?<status>[0-9]+)");
	return 0;
}

static int parse_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;
	bool is_pairs = o->format == FORMAT_LOGFMT || o->format == FORMAT_REGEX;
	int r = place_check(ctx, &o->place);

	if (r < 0)
		return r;
	if (o->format == FORMAT_REGEX && !o->pattern)
		return sl_error(ctx, -EINVAL,
			"`format` is \"regex\", and there is no `pattern`: write pattern = "
			"\"^(?<key>"
			"[^ ]+) (?<rest>.*)$\"");
	if (o->format != FORMAT_REGEX && o->pattern)
		return sl_error(ctx, -EINVAL, "`pattern` is for format = \"regex\"");
	if (o->numbers && !is_pairs)
		return sl_error(ctx, -EINVAL,
			"`numbers` is for format = \"logfmt\" and \"regex\", which know only text");
	if (o->place.merge && o->format == FORMAT_TIME)
		return sl_error(ctx, -EINVAL, "`merge`: a time has no fields");
	if (o->reason && o->on_failure != FAILURE_KEEP)
		return sl_error(ctx, -EINVAL, "`reason` is for on_failure = \"keep\"");
	if (o->format == FORMAT_LOGFMT && o->separator == o->assign)
		return sl_error(ctx, -EINVAL, "`separator` and `assign` are the same character");
	if (o->format == FORMAT_TIME)
		return times_check(ctx, &o->time_format, o->time_zone);
	return o->format == FORMAT_REGEX ? check_pattern(ctx, o) : 0;
}

static const struct sl_option options[];

const struct sl_stage parse_stage = {
	.abi = SL_ABI,
	.name = "parse",
	.role = SL_TRANSFORM,
	.summary = "reads the text of a field: JSON, key=value pairs, a pattern's groups, a time",
	.flags = SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = parse_check,
	.open = parse_open,
	.start = parse_start,
	.transform_batch = parse_transform,
	.stop = parse_stop,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("field", STRING, struct shared, place.field), .required = true,
	  .help = "the field whose text is read", .example = "\"message\"" },
	{ SL_OPTION("format", CHOICE, struct shared, format), .required = true, .choices = formats,
	  .help = "what the text is", .example = "\"json\"" },
	{ SL_OPTION("into", STRING, struct shared, place.into),
	  .help = "the name of the field that has the value, in the place of the text; none: the same name", .example = "\"request\"" },
	{ SL_OPTION("merge", BOOL, struct shared, place.merge), .fallback = "false",
	  .help = "the value's own fields become fields of the record, in the place of the text", .example = "true" },
	{ SL_OPTION("prefix", STRING, struct shared, place.prefix), .fallback = "",
	  .help = "with `merge`: what their names begin with", .example = "\"log_\"" },
	{ SL_OPTION("keep", BOOL, struct shared, place.keep), .fallback = "false",
	  .help = "the text stays, too, before the value", .example = "true" },
	{ SL_OPTION("pattern", STRING, struct shared, pattern),
	  .help = "regex: a regular expression of PCRE2, whose named groups become fields", .example = "\"^(?<ip>[0-9.]+) (?<path>[^ ]*)\"" },
	{ SL_OPTION("numbers", BOOL, struct shared, numbers), .fallback = "false",
	  .help = "logfmt, regex: a value that is written as JSON writes a number is one", .example = "true" },
	{ SL_OPTION("separator", CHAR, struct shared, separator), .fallback = " ",
	  .help = "logfmt: what stands between pairs", .example = "\";\"" },
	{ SL_OPTION("assign", CHAR, struct shared, assign), .fallback = "=",
	  .help = "logfmt: what stands between a key and its value", .example = "\":\"" },
	{ SL_OPTION("time_format", STRINGS, struct shared, time_format), .fallback = "rfc3339",
	  .help = "time: rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns or a format as of strptime with %f for the digits of a fraction; several are tried in turn",
	  .example = "[ \"rfc3339\", \"%d/%b/%Y:%H:%M:%S %z\" ]" },
	{ SL_OPTION("time_zone", STRING, struct shared, time_zone), .fallback = "UTC",
	  .help = "time: the zone of a text that has none", .example = "\"Europe/Berlin\"" },
	{ SL_OPTION("time_output", CHOICE, struct shared, time_output), .fallback = "rfc3339", .choices = time_outputs,
	  .help = "time: RFC 3339 in UTC, or an integer", .example = "\"epoch_ms\"" },
	{ SL_OPTION("on_failure", CHOICE, struct shared, on_failure), .fallback = "dead-letter", .choices = failures,
	  .help = "a record whose text cannot be read is given up, or kept as it is", .example = "\"keep\"" },
	{ SL_OPTION("reason", STRING, struct shared, reason),
	  .help = "with on_failure = \"keep\": the name of a field for the reason; none: no such field", .example = "\"parse_error\"" },
	{ 0 },
};
/* clang-format on */
