/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as what the stage parse is given: the first says of what kind, and how it is read. Pairs become a well-formed map of distinct keys; a time that is
 * read and written is the same when it is read again; a pattern, which stands before the text in a line of its own, has its groups inside the text.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../stages/parse/pattern.h"
#include "../../stages/parse/text.h"
#include "../../stages/parse/times.h"

#define PATTERN_MAX 64 /* what compiles for long is PCRE2's own matter */
#define SUBJECT_MAX 256

enum kind { PAIRS, TIME, PATTERN, KINDS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the engine: what is wrong with a format or a pattern. */
int sl_error(struct sl_context *ctx, int error, const char *format, ...)
{
	(void)ctx;
	(void)format;
	return error;
}

static void require(bool is_so)
{
	if (!is_so)
		abort();
}

/* Of its own, so that reading beyond it is found; a 0 behind it. */
static char *copy(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	require(text);
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* --- key=value ---------------------------------------------------------------------------------- */

static void check_map(struct sl_value map)
{
	struct sl_cursor cursor = sl_walk(map);
	struct sl_value key, value;
	const char *name;
	size_t size;

	require(sl_check(map.data, map.size) && sl_kind(map) == SL_MAP);
	while (sl_next(&cursor, &key, &value)) {
		require(sl_get_str(key, &name, &size) && size > 0);
		require(sl_find(map, name, size).data == value.data);
	}
}

static void read_pairs(unsigned variant, const uint8_t *data, size_t size)
{
	static const char separators[] = " ;,&", assigns[] = "=:";
	struct pair pairs[PAIRS_MAX];
	struct logfmt logfmt = { .separator = separators[variant % 4],
		.assign = assigns[variant / 4 % 2],
		.numbers = variant / 8 % 2,
		.pairs = pairs };
	/* No 0 behind it: the text ends where its size says. */
	char *text = malloc(size + (size == 0));
	const char *reason = NULL;
	struct sl_writer w;

	require(text);
	memcpy(text, data, size);
	sl_writer_init(&w);
	if (logfmt_put(&logfmt, &w, text, size, &reason) < 0)
		require(reason);
	else
		check_map((struct sl_value){ w.data, w.size });
	sl_writer_fini(&w);
	free(text);
}

/* --- times -------------------------------------------------------------------------------------- */

static bool read_as(const char *format, struct sl_value v, const char *zone, struct instant *ret)
{
	struct sl_strings formats = { .items = &format, .count = 1 };
	struct times times;

	times_init(&times, &formats, zone);
	return times_read(&times, v, ret);
}

/* Written in one way and read in the same it is what it was, but for digits that the way has not. */
static void check_again(int output, struct instant instant)
{
	static const uint32_t lost[] = { 1, 1000000000, 1000000, 1000, 1 };
	struct instant again;
	struct sl_writer w;

	sl_writer_init(&w);
	if (times_put((enum time_output)output, instant, &w) == 0) {
		require(read_as(
			time_outputs[output], (struct sl_value){ w.data, w.size }, "UTC", &again));
		require(again.seconds == instant.seconds);
		require(again.ns == instant.ns - instant.ns % lost[output]);
	}
	sl_writer_fini(&w);
}

static void read_number(unsigned variant, const char *text)
{
	struct instant instant;
	struct sl_writer w;

	sl_writer_init(&w);
	if (variant % 2)
		sl_put_int(&w, strtoll(text, NULL, 10));
	else
		sl_put_double(&w, strtod(text, NULL));
	for (int unit = TIME_S; unit <= TIME_NS; unit++)
		if (read_as(time_outputs[unit], (struct sl_value){ w.data, w.size }, "UTC",
			    &instant))
			require(instant.ns < 1000000000);
	sl_writer_fini(&w);
}

static void read_time(unsigned variant, const char *format, const char *text, size_t size)
{
	static const char *const zones[] = { "UTC", "+02:00", "-0530", "Europe/Berlin" };
	const char *zone = zones[variant % 4];
	struct sl_strings formats = { .items = &format, .count = 1 };
	struct instant instant;
	struct sl_writer w;

	times_open("Europe/Berlin");
	read_number(variant, text);
	if (times_check(NULL, &formats, zone) < 0)
		return;
	sl_writer_init(&w);
	sl_put_str(&w, text, size);
	if (read_as(format, (struct sl_value){ w.data, w.size }, zone, &instant)) {
		require(instant.ns < 1000000000);
		for (int output = 0; time_outputs[output]; output++)
			check_again(output, instant);
	}
	sl_writer_fini(&w);
}

/* --- patterns ----------------------------------------------------------------------------------- */

static void match(const char *expression, const char *text, size_t size)
{
	struct pattern *pattern;
	size_t begin, end;

	if (strlen(expression) > PATTERN_MAX || size > SUBJECT_MAX ||
		pattern_new(NULL, "pattern", expression, &pattern) < 0)
		return;
	if (pattern_match(pattern, text, size) > 0)
		for (uint32_t i = 0; i < pattern_group_count(pattern); i++)
			if (pattern_group(pattern, i, &begin, &end))
				require(begin <= end && end <= size);
	pattern_free(pattern);
}

/* --- all ---------------------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned variant = size > 0 ? data[0] / KINDS : 0;
	const uint8_t *line = size > 0 ? memchr(data + 1, '\n', size - 1) : NULL;
	char *format, *text;

	if (size == 0)
		return 0;
	if (data[0] % KINDS == PAIRS)
		read_pairs(variant, data + 1, size - 1);
	if (data[0] % KINDS == PAIRS || !line)
		return 0;
	format = copy(data + 1, (size_t)(line - data - 1));
	text = copy(line + 1, (size_t)(data + size - line - 1));
	if (data[0] % KINDS == TIME)
		read_time(variant, format, text, (size_t)(data + size - line - 1));
	else
		match(format, text, (size_t)(data + size - line - 1));
	free(format);
	free(text);
	return 0;
}
