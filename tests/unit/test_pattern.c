/* SPDX-License-Identifier: MIT */
/* Names with parts that records and the clock fill in. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../stages/file/pattern.h"

/* Of the engine: what is wrong with a pattern. */
int sl_error(struct sl_context *ctx, int error, const char *format, ...)
{
	(void)ctx;
	(void)format;
	return error;
}

static bool time_of(const char *text, int64_t *ret)
{
	struct sl_writer w;
	bool is_time;

	sl_writer_init(&w);
	sl_put_cstr(&w, text);
	is_time = pattern_time((struct sl_value){ w.data, w.size }, ret);
	sl_writer_fini(&w);
	return is_time;
}

static void a_text_is_a_time(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} rows[] = {
		{ "2026-11-21", 1795219200 },
		{ "2026-11-21T18:59", 1795287540 },
		{ "2026-11-21 18:59:07", 1795287547 },
		{ "2026-11-21T18:59:07Z", 1795287547 },
		{ "2026-11-21T18:59:07.123456Z", 1795287547 },
		{ "2026-11-21T18:59:07+01:00", 1795283947 },
		{ "2026-11-21T18:59:07-0130", 1795292947 },
		{ "2026-11-21T18:59:07+02", 1795280347 },
	};
	static const char *const others[] = { "", "today", "2026-13-01", "2026-11-21T",
		"2026-11-21T18:59:07 CET", "2026-11-21T18:59:07+1x", "21.11.2026" };
	int64_t seconds;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(time_of(rows[i].text, &seconds));
		assert_int_equal(seconds, rows[i].seconds);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(time_of(others[i], &seconds));
}

static const char *fill(const char *text, const char *field, int64_t seconds)
{
	static char path[PATH_MAX];
	struct pattern pattern;
	struct sl_writer w;
	const char *reason;
	int r;

	assert_int_equal(pattern_parse(NULL, text, &pattern), 0);
	sl_writer_init(&w);
	sl_put_map(&w, 1);
	sl_put_cstr(&w, "f");
	sl_put_cstr(&w, field);
	r = pattern_fill(&pattern,
		&(struct pattern_values){
			.record = { w.data, w.size }, .seconds = seconds, .instance = 3 },
		path, &reason);
	sl_writer_fini(&w);
	return r == 0 ? path : reason;
}

static void parts_are_filled_in(void **state)
{
	(void)state;
	assert_string_equal(fill("o/{day}/{f}.{instance}", "DE", 1795287547), "o/2026-11-21/DE.3");
	assert_string_equal(
		fill("{year} {month} {hour}", "", 1795287547), "2026 2026-11 2026-11-21T18");
	assert_string_equal(fill("{hour}", "", -1), "1969-12-31T23");
	assert_string_equal(fill("a.{n}.b", "", 0), "a.\001.b");
	assert_string_equal(fill("{f}/{g}", "..", 0), "%2E./%none");
	assert_string_equal(fill("{f}", "a/../b%\n", 0), "a%2F..%2Fb%25%0A");
	assert_string_equal(
		fill("{day}", "", INT64_C(1) << 60), "its time is none of the calendar");
}

static void a_long_text_ends_in_a_hash(void **state)
{
	char text[600], first[PATH_MAX];

	(void)state;
	for (size_t size = 100; size < 599; size++) {
		memset(text, size % 2 ? '/' : 'x', size);
		memcpy(text + 90, "\xc3\xa9", 2);
		text[size] = '\0';
		(void)strcpy(first, fill("{f}", text, 0));
		assert_true(strlen(first) <= 130);
		assert_null(strchr(first, '/'));
		text[size - 1] = 'y';
		assert_string_not_equal(fill("{f}", text, 0), first);
	}
}

static void what_is_no_pattern(void **state)
{
	static const char *const texts[] = { "{", "a{b", "{}", "{n}{n}", "{n}/x", "a\n{b}" };
	struct pattern pattern;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(pattern_parse(NULL, texts[i], &pattern), -EINVAL);
	assert_int_equal(pattern_parse(NULL, "/a/b/c{x}/d", &pattern), 0);
	assert_string_equal(pattern.base, "/a/b");
	assert_int_equal(pattern_parse(NULL, "/{x}", &pattern), 0);
	assert_string_equal(pattern.base, "/");
	assert_int_equal(pattern_parse(NULL, "{x}/d", &pattern), 0);
	assert_string_equal(pattern.base, ".");
	assert_int_equal(pattern_parse(NULL, "a.{instance}", &pattern), 0);
	assert_false(pattern_is_many(&pattern));
}

static void a_period_begins(void **state)
{
	struct pattern pattern;

	(void)state;
	assert_int_equal(pattern_parse(NULL, "{month}/{day}", &pattern), 0);
	assert_int_equal(pattern_period(&pattern, 1795287547), 1795219200);
	assert_int_equal(pattern_parse(NULL, "{month}", &pattern), 0);
	assert_int_equal(pattern_period(&pattern, 1795287547), 1793491200);
	assert_int_equal(pattern_parse(NULL, "{f}", &pattern), 0);
	assert_int_equal(pattern_period(&pattern, 1795287547), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_is_a_time),
		cmocka_unit_test(parts_are_filled_in),
		cmocka_unit_test(a_long_text_ends_in_a_hash),
		cmocka_unit_test(what_is_no_pattern),
		cmocka_unit_test(a_period_begins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
