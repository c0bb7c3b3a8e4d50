/* SPDX-License-Identifier: MIT */
/* JSON: numbers survive, what is malformed is refused whole, doubles print as the shortest text that reads back. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sluice/record.h>

#include "record/json.h"

/* Text in, text out. */
static void same(const char *in, const char *out)
{
	struct sl_writer w, text;
	const char *reason = "";

	sl_writer_init(&w);
	sl_writer_init(&text);
	assert_int_equal(sl_json_parse(&w, in, strlen(in), &reason), 0);
	assert_true(sl_check(w.data, w.size));
	assert_int_equal(sl_json_print(&text, (struct sl_value){ w.data, w.size }, &reason), 0);
	assert_int_equal(text.size, strlen(out));
	assert_memory_equal(text.data, out, text.size);
	sl_writer_fini(&w);
	sl_writer_fini(&text);
}

static void values_survive(void **state)
{
	(void)state;
	same("{\"a\": 1, \"b\": [true, null, \"x\"]}", "{\"a\":1,\"b\":[true,null,\"x\"]}");
	same("9223372036854775807", "9223372036854775807");
	same("-9223372036854775808", "-9223372036854775808");
	same("18446744073709551615", "18446744073709551615");
	same("0.6000000000000001", "0.6000000000000001");
	same("[1.0, 1e3, 1e22, 1e-7, -0.0]", "[1.0,1000.0,1e+22,1e-07,-0.0]");
	same("\"\\u00e9\\n\\\"\\\\\\u0001 \xc3\xa9\"", "\"\xc3\xa9\\n\\\"\\\\\\u0001 \xc3\xa9\"");
	same("{}", "{}");
	same("[]", "[]");
	same("\"\"", "\"\"");
	same(" {\"k\\u0041\": {\"k\\u0041\": 2}} ", "{\"kA\":{\"kA\":2}}");
	same("null\t", "null");
	/* More digits than a double has. */
	same("[0.12345678901234567890123, 123456789012345678901.5, 2.225073858507201789e-20]",
		"[0.12345678901234568,1.2345678901234568e+20,2.2250738585072017e-20]");
	/* Sixteen members need a longer head than fifteen. */
	same("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,\"abcdefghijklmnopqrstuvwxyz0123456789\"]",
		"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,"
		"\"abcdefghijklmnopqrstuvwxyz0123456789\"]");
}

static void refused(const char *in, const char *why)
{
	struct sl_writer w;
	const char *reason = "";

	sl_writer_init(&w);
	sl_put_int(&w, 7);
	assert_int_equal(sl_json_parse(&w, in, strlen(in), &reason), -EINVAL);
	if (!strstr(reason, why))
		fail_msg("%s: \"%s\" does not say \"%s\"", in, reason, why);
	/* What stood before is untouched. */
	assert_int_equal(w.size, 1);
	sl_writer_fini(&w);
}

static void malformed_is_refused(void **state)
{
	static const char *const texts[] = { "{", "[1,2", "{\"a\":1,}", "[1 2]", "tru", "nul", "01",
		"1.", "+1", "\"a", "\"\\x\"", "{\"a\" 1}", "{a:1}", "{\"a\":1}}", "[1]]", "1 2",
		"{\"a\":tru}", "[nulll]", "\"\\ud800\"", "-", "[,]", "{\"a\":}", "{\"a\":\"b\":1}",
		"{\"a\":\"b\":\"c\"}}" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		refused(texts[i], "");
	refused("\"\xff\"", "UTF-8");
	refused("{\"a\":18446744073709551616}", "64 bits");
	refused("[-9223372036854775809]", "64 bits");
	refused("[\"18446744073709551616\", 1.]", "malformed");
	refused("\"a\nb\"", "control character");
	refused("{\"a\":[1]", "not closed");
	refused("[\"]\",[1], ", "not closed");
	refused("{\"a\":[1]} ]", "behind the end");
	refused("[1 2]", "malformed");
	refused("{\"a\":\"x}", "unclosed");
	refused("\"\\x\"", "escape");
	refused(" ", "nothing");
	refused("", "");
}

/* More members than simdjson counts. */
static void many_members_are_counted(void **state)
{
	const uint32_t count = (1u << 24) + 1;
	char *text = malloc(2 * (size_t)count + 2);
	struct sl_writer w;
	const char *reason = "";

	(void)state;
	sl_writer_init(&w);
	text[0] = '[';
	for (size_t i = 0; i < count; i++)
		memcpy(text + 1 + 2 * i, "7,", 2);
	text[2 * (size_t)count] = ']';
	assert_int_equal(sl_json_parse(&w, text, 2 * (size_t)count + 1, &reason), 0);
	assert_int_equal(sl_count((struct sl_value){ w.data, w.size }), count);
	assert_true(sl_check(w.data, w.size));
	sl_writer_fini(&w);
	free(text);
}

static void depth_is_bounded(void **state)
{
	char text[300] = "";

	(void)state;
	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	same(text, text);
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	refused(text, "64 deep");
}

static void doubles_read_back(void **state)
{
	(void)state;
	srand(7);
	for (int i = 0; i < 200000; i++) {
		uint64_t bits = 0;
		char text[40];
		double x;

		for (int n = 0; n < 5; n++)
			bits = bits << 15 ^ (uint64_t)rand();
		memcpy(&x, &bits, sizeof(x));
		if (!isfinite(x))
			continue;
		text[json_print_double(text, x)] = '\0';
		assert_true(strtod(text, NULL) == x);
		assert_true(strpbrk(text, ".e") != NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_survive),
		cmocka_unit_test(malformed_is_refused),
		cmocka_unit_test(many_members_are_counted),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(doubles_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
