/* SPDX-License-Identifier: MIT */
/* See pattern.h. */
#include "pattern.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define VALUE_MAX 120 /* bytes of a name that are one field's; a name has 255 at most */
#define NAME_SPACE 10 /* for the dot and the ending of the hidden name, and a number */
#define MILLISECONDS_FROM INT64_C(100000000000)

static const char *const kinds[] = {
	[PATTERN_INSTANCE] = "instance",
	[PATTERN_NUMBER] = "n",
	[PATTERN_YEAR] = "year",
	[PATTERN_MONTH] = "month",
	[PATTERN_DAY] = "day",
	[PATTERN_HOUR] = "hour",
};

/* --- parsing ------------------------------------------------------------------------------------ */

static enum pattern_kind kind_of(const char *text, size_t size)
{
	for (int kind = PATTERN_INSTANCE; kind <= PATTERN_HOUR; kind++)
		if (strlen(kinds[kind]) == size && memcmp(kinds[kind], text, size) == 0)
			return (enum pattern_kind)kind;
	return PATTERN_FIELD;
}

static void note(struct pattern *pattern, enum pattern_kind kind)
{
	pattern->has_field |= kind == PATTERN_FIELD;
	pattern->has_number |= kind == PATTERN_NUMBER;
	pattern->has_time |= kind >= PATTERN_YEAR;
}

static int add(struct sl_context *ctx, struct pattern *pattern, enum pattern_kind kind,
	const char *text, size_t size)
{
	if (kind == PATTERN_TEXT && size == 0)
		return 0;
	if (pattern->count == PATTERN_PARTS)
		return sl_error(ctx, -EINVAL, "`path` has more than %d parts", PATTERN_PARTS / 2);
	if (kind == PATTERN_FIELD && size == 0)
		return sl_error(ctx, -EINVAL, "`path`: {} names no field");
	if (kind == PATTERN_NUMBER && pattern->has_number)
		return sl_error(ctx, -EINVAL, "`path`: {n} may stand in it once");
	pattern->parts[pattern->count++] = (struct pattern_part){ kind, text, size };
	note(pattern, kind);
	return 0;
}

static int check(struct sl_context *ctx, const char *text, const struct pattern *pattern)
{
	const char *number = strstr(text, "{n}");

	if (strlen(text) > PATH_MAX / 2)
		return sl_error(ctx, -ENAMETOOLONG, "`path` is longer than the kernel takes");
	if (pattern_is_many(pattern))
		for (const char *c = text; *c; c++)
			if ((unsigned char)*c < ' ')
				return sl_error(ctx, -EINVAL, "`path` holds a control character");
	if (number && strchr(number, '/'))
		return sl_error(ctx, -EINVAL,
			"`path`: {n} belongs into the last name: write for "
			"instance \"out/{day}.{n}.ndjson\"");
	return 0;
}

int pattern_parse(struct sl_context *ctx, const char *text, struct pattern *ret)
{
	struct pattern pattern = { .count = 0 };
	const char *at = text, *open = strchr(text, '{');
	size_t base;
	int r = 0;

	while (open && r == 0) {
		const char *close = strchr(open, '}');
		size_t size = close ? (size_t)(close - open) - 1 : 0;

		if (!close)
			return sl_error(ctx, -EINVAL, "`path`: a { has no }");
		r = add(ctx, &pattern, PATTERN_TEXT, at, (size_t)(open - at));
		if (r == 0)
			r = add(ctx, &pattern, kind_of(open + 1, size), open + 1, size);
		at = close + 1;
		open = strchr(at, '{');
	}
	if (r == 0)
		r = add(ctx, &pattern, PATTERN_TEXT, at, strlen(at));
	if (r == 0)
		r = check(ctx, text, &pattern);
	if (r < 0)
		return r;
	base = strcspn(text, "{");
	while (base > 0 && text[base - 1] != '/')
		base--;
	(void)snprintf(pattern.base, sizeof(pattern.base), "%.*s",
		base > 1 ? (int)base - 1 : (int)base, text);
	if (base == 0)
		(void)snprintf(pattern.base, sizeof(pattern.base), ".");
	*ret = pattern;
	return 0;
}

bool pattern_is_many(const struct pattern *pattern)
{
	return pattern->has_field || pattern->has_time || pattern->has_number;
}

/* --- values ------------------------------------------------------------------------------------- */

struct text {
	char *data;
	size_t size;
};

static bool put(struct text *out, const char *text, size_t size)
{
	if (out->size + size >= PATH_MAX)
		return false;
	memcpy(out->data + out->size, text, size);
	out->size += size;
	return true;
}

static bool must_be_written_otherwise(const char *text, size_t i)
{
	unsigned char c = (unsigned char)text[i];

	return c < ' ' || c == 0x7f || c == '/' || c == '%' || (c == '.' && i == 0);
}

/* What a name may hold of a text. */
static bool put_safe(struct text *out, const char *text, size_t size)
{
	size_t begin = out->size;
	bool fits = true;
	char hash[24];
	size_t i;

	if (size == 0)
		return put(out, "%none", 5);
	for (i = 0; i < size && fits && out->size - begin <= VALUE_MAX; i++) {
		char code[4];

		(void)snprintf(code, sizeof(code), "%%%02X", (unsigned char)text[i]);
		fits = must_be_written_otherwise(text, i) ? put(out, code, 3)
							  : put(out, text + i, 1);
	}
	if (!fits || out->size - begin <= VALUE_MAX)
		return fits;
	/* Not in the middle of a character, nor of a code. */
	out->size = begin + VALUE_MAX - 20;
	while (out->size > begin && ((unsigned char)out->data[out->size] & 0xc0) == 0x80)
		out->size--;
	for (i = 1; i < 3; i++)
		if (out->size - begin > i && out->data[out->size - i] == '%')
			out->size -= i;
	(void)snprintf(
		hash, sizeof(hash), "%%~%016llx", (unsigned long long)XXH3_64bits(text, size));
	return put(out, hash, strlen(hash));
}

static const char *put_field(
	struct text *out, const struct pattern_part *part, struct sl_value record)
{
	struct sl_value value = { 0 };
	enum sl_kind kind;
	char number[64];
	const char *text;
	size_t size;

	if (sl_kind(record) == SL_MAP)
		value = sl_find(record, part->text, part->size);
	kind = value.data ? sl_kind(value) : SL_NIL;
	if (kind == SL_NIL)
		return put_safe(out, "", 0) ? NULL : "the name is too long";
	if (kind == SL_MAP || kind == SL_ARRAY || kind == SL_BIN || kind == SL_EXT)
		return "a field of `path` is neither text nor number";
	if (!sl_get_str(value, &text, &size)) {
		sl_print(value, number, sizeof(number));
		text = number;
		size = strlen(number);
	}
	return put_safe(out, text, size) ? NULL : "the name is too long";
}

/* In the calendar of these days a name has room for it. */
static bool tell_time(struct pattern *pattern, int64_t seconds)
{
	time_t time = (time_t)seconds;
	int64_t hour = seconds / 3600 - (seconds % 3600 < 0);
	struct tm tm;

	if (pattern->has_hour && pattern->hour == hour)
		return true;
	if (!gmtime_r(&time, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
		return false;
	(void)strftime(pattern->times[PATTERN_YEAR], sizeof(pattern->times[0]), "%Y", &tm);
	(void)strftime(pattern->times[PATTERN_MONTH], sizeof(pattern->times[0]), "%Y-%m", &tm);
	(void)strftime(pattern->times[PATTERN_DAY], sizeof(pattern->times[0]), "%Y-%m-%d", &tm);
	(void)strftime(pattern->times[PATTERN_HOUR], sizeof(pattern->times[0]), "%Y-%m-%dT%H", &tm);
	pattern->has_hour = true;
	pattern->hour = hour;
	return true;
}

static const char *put_part(struct text *out, const struct pattern *pattern,
	const struct pattern_part *part, const struct pattern_values *values)
{
	static const char mark = PATTERN_NUMBER_MARK;
	char number[16];
	bool fits;

	switch (part->kind) {
	case PATTERN_TEXT:
		fits = put(out, part->text, part->size);
		break;
	case PATTERN_FIELD:
		return put_field(out, part, values->record);
	case PATTERN_INSTANCE:
		(void)snprintf(number, sizeof(number), "%u", values->instance);
		fits = put(out, number, strlen(number));
		break;
	case PATTERN_NUMBER:
		fits = put(out, &mark, 1);
		break;
	default:
		fits = put(out, pattern->times[part->kind], strlen(pattern->times[part->kind]));
	}
	return fits ? NULL : "the name is too long";
}

static bool names_fit(const char *path)
{
	for (const char *at = path; *at; at += strspn(at, "/")) {
		size_t size = strcspn(at, "/");

		if (size > NAME_MAX - NAME_SPACE)
			return false;
		at += size;
	}
	return true;
}

int pattern_fill(struct pattern *pattern, const struct pattern_values *values, char *path,
	const char **ret_reason)
{
	struct text out = { path, 0 };
	const char *reason = NULL;

	if (pattern->has_time && !tell_time(pattern, values->seconds))
		reason = "its time is none of the calendar";
	for (uint32_t i = 0; i < pattern->count && !reason; i++)
		reason = put_part(&out, pattern, &pattern->parts[i], values);
	path[out.size] = '\0';
	if (!reason && !names_fit(path))
		reason = "the name is too long";
	if (reason)
		*ret_reason = reason;
	return reason ? -EINVAL : 0;
}

/* --- time --------------------------------------------------------------------------------------- */

int64_t pattern_period(const struct pattern *pattern, int64_t seconds)
{
	enum pattern_kind shortest = PATTERN_TEXT;
	time_t time = (time_t)seconds;
	struct tm tm;

	for (uint32_t i = 0; i < pattern->count; i++)
		if (pattern->parts[i].kind > shortest)
			shortest = pattern->parts[i].kind;
	if (shortest < PATTERN_YEAR || !gmtime_r(&time, &tm))
		return 0;
	tm.tm_min = tm.tm_sec = 0;
	tm.tm_hour = shortest < PATTERN_HOUR ? 0 : tm.tm_hour;
	tm.tm_mday = shortest < PATTERN_DAY ? 1 : tm.tm_mday;
	tm.tm_mon = shortest < PATTERN_MONTH ? 0 : tm.tm_mon;
	return timegm(&tm);
}

/* Z, +01:00, +0100, +01 or nothing. */
static bool offset_of(const char *text, int64_t *ret_seconds)
{
	int hours = 0, minutes = 0, used = 0;

	*ret_seconds = 0;
	if (*text == '\0' || strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return true;
	if (*text != '+' && *text != '-')
		return false;
	if (sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) < 2 &&
		sscanf(text + 1, "%2d%2d%n", &hours, &minutes, &used) < 2 &&
		sscanf(text + 1, "%2d%n", &hours, &used) < 1)
		return false;
	*ret_seconds = (*text == '-' ? -1 : 1) * (INT64_C(3600) * hours + INT64_C(60) * minutes);
	return text[1 + used] == '\0';
}

static bool time_of_text(const char *text, int64_t *ret_seconds)
{
	struct tm tm = { 0 };
	const char *at = strptime(text, "%Y-%m-%d", &tm);
	const char *next;
	int64_t offset;

	if (!at)
		return false;
	if (*at == 'T' || *at == 't' || *at == ' ') {
		at = strptime(at + 1, "%H:%M", &tm);
		next = at && *at == ':' ? strptime(at, ":%S", &tm) : at;
		if (!next)
			return false;
		at = *next == '.' ? next + 1 + strspn(next + 1, "0123456789") : next;
	}
	if (!offset_of(at, &offset))
		return false;
	*ret_seconds = (int64_t)timegm(&tm) - offset;
	return true;
}

bool pattern_time(struct sl_value value, int64_t *ret_seconds)
{
	const char *text;
	char copy[64];
	size_t size;
	double x;

	if (!value.data)
		return false;
	if (sl_get_str(value, &text, &size)) {
		if (size >= sizeof(copy) || memchr(text, '\0', size))
			return false;
		(void)snprintf(copy, sizeof(copy), "%.*s", (int)size, text);
		return time_of_text(copy, ret_seconds);
	}
	if (!sl_get_double(value, &x) || !(x >= 0 && x < 1e15))
		return false;
	*ret_seconds = (int64_t)x;
	if (*ret_seconds >= MILLISECONDS_FROM)
		*ret_seconds /= 1000;
	return *ret_seconds < INT64_C(253402300800);
}
