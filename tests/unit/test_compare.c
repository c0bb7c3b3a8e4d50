/* SPDX-License-Identifier: MIT */
/* What is the same, where two records differ, and who is paired with whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "record/compare.h"

/* Both as JSON. */
struct pair {
	struct sl_writer writers[2];
	struct sl_value a, b;
};

static struct pair parse(const char *a, const char *b)
{
	struct pair pair;
	const char *reason;

	sl_writer_init(&pair.writers[0]);
	sl_writer_init(&pair.writers[1]);
	assert_int_equal(sl_json_parse(&pair.writers[0], a, strlen(a), &reason), 0);
	assert_int_equal(sl_json_parse(&pair.writers[1], b, strlen(b), &reason), 0);
	pair.a = (struct sl_value){ pair.writers[0].data, pair.writers[0].size };
	pair.b = (struct sl_value){ pair.writers[1].data, pair.writers[1].size };
	return pair;
}

static void forget(struct pair *pair)
{
	sl_writer_fini(&pair->writers[0]);
	sl_writer_fini(&pair->writers[1]);
}

static bool is_same(const char *a, const char *b, double tolerance)
{
	struct pair pair = parse(a, b);
	bool there = compare_is_same(pair.a, pair.b, tolerance);

	assert_int_equal(compare_is_same(pair.b, pair.a, tolerance), there);
	forget(&pair);
	return there;
}

static void the_same_is_the_same(void **state)
{
	static const char *const values[] = { "null", "true", "-1", "18446744073709551615", "0.1",
		"\"x\"", "[1, [2]]", "{\"a\": {\"b\": null}}" };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++)
			assert_int_equal(is_same(values[i], values[k], 0), i == k);
}

static void the_order_of_fields_does_not_count(void **state)
{
	(void)state;
	assert_true(is_same("{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": 1}", 0));
	assert_false(is_same("{\"a\": 1, \"b\": 2}", "{\"a\": 1}", 0));
	assert_false(is_same("{\"a\": null}", "{}", 0));
	assert_false(is_same("[1, 2]", "[2, 1]", 0));
}

static void integers_are_no_floats(void **state)
{
	(void)state;
	assert_false(is_same("2", "2.0", 0));
	assert_true(is_same("2", "2.0", 1e-9));
	assert_false(is_same("-1", "18446744073709551615", 0));
	assert_false(is_same("9007199254740993", "9007199254740992", 0));
}

static void near_is_the_same_where_it_is_asked_for(void **state)
{
	(void)state;
	assert_false(is_same("{\"a\": [0.30000000000000004]}", "{\"a\": [0.3]}", 0));
	assert_true(is_same("{\"a\": [0.30000000000000004]}", "{\"a\": [0.3]}", 1e-9));
	assert_false(is_same("0.31", "0.3", 1e-9));
	assert_true(is_same("5", "6", 1));
	assert_false(is_same("5", "\"5\"", 1));
}

static void no_number_is_like_itself(void **state)
{
	struct sl_writer w;
	struct sl_value nan;

	(void)state;
	sl_writer_init(&w);
	sl_put_double(&w, NAN);
	nan = (struct sl_value){ w.data, w.size };
	assert_true(compare_is_same(nan, nan, 0));
	assert_true(compare_is_same(nan, nan, 0.1));
	sl_writer_fini(&w);
}

static void note(void *user, const char *path, struct sl_value expected, struct sl_value found)
{
	char *text = user, a[40] = "-", b[40] = "-";
	size_t used = strlen(text);

	if (expected.data)
		sl_print(expected, a, sizeof(a));
	if (found.data)
		sl_print(found, b, sizeof(b));
	(void)snprintf(text + used, 400 - used, "%s: %s, %s; ", path, a, b);
}

static void explains(const char *a, const char *b, const char *expected)
{
	struct pair pair = parse(a, b);
	char text[400] = "";

	compare_explain(pair.a, pair.b, 0, note, text);
	assert_string_equal(text, expected);
	forget(&pair);
}

static void differences_are_told_field_by_field(void **state)
{
	(void)state;
	explains("{\"a\": 1}", "{\"a\": 1}", "");
	explains("{\"a\": 1, \"b\": 2, \"c\": 3}", "{\"c\": 4, \"b\": 2, \"d\": 5}",
		"a: 1, -; c: 3, 4; d: -, 5; ");
	explains("{\"a\": {\"b\": [1, {\"c\": 2}]}}", "{\"a\": {\"b\": [1, {\"c\": 3}]}}",
		"a.b[1].c: 2, 3; ");
	explains("{\"a\": [1]}", "{\"a\": [1, 2]}", "a: [1], [1,2]; ");
	explains("1", "\"1\"", ": 1, \"1\"; ");
}

/* fits[e] has the bit of each found one that would do for e. */
static bool fits(void *user, size_t expected, size_t found)
{
	return ((const unsigned *)user)[expected] & (1u << found);
}

static size_t count_pairs(unsigned *masks, size_t expected, size_t found)
{
	size_t pairs[8], count = 0;
	unsigned used = 0;

	assert_int_equal(compare_pair(expected, found, fits, masks, pairs), 0);
	for (size_t e = 0; e < expected; e++) {
		if (pairs[e] == COMPARE_NONE)
			continue;
		assert_true(fits(masks, e, pairs[e]));
		assert_false(used & (1u << pairs[e]));
		used |= 1u << pairs[e];
		count++;
	}
	return count;
}

static void as_many_are_paired_as_can_be(void **state)
{
	(void)state;
	assert_int_equal(count_pairs((unsigned[]){ 7, 1, 2 }, 3, 3), 3);
	assert_int_equal(count_pairs((unsigned[]){ 1, 3, 6, 12 }, 4, 4), 4);
	assert_int_equal(count_pairs((unsigned[]){ 12, 6, 3, 2 }, 4, 4), 4);
	assert_int_equal(count_pairs((unsigned[]){ 1, 1, 1 }, 3, 1), 1);
	assert_int_equal(count_pairs((unsigned[]){ 0, 15 }, 2, 4), 1);
	assert_int_equal(count_pairs(NULL, 0, 3), 0);
	assert_int_equal(count_pairs((unsigned[]){ 1 }, 1, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_is_the_same),
		cmocka_unit_test(the_order_of_fields_does_not_count),
		cmocka_unit_test(integers_are_no_floats),
		cmocka_unit_test(near_is_the_same_where_it_is_asked_for),
		cmocka_unit_test(no_number_is_like_itself),
		cmocka_unit_test(differences_are_told_field_by_field),
		cmocka_unit_test(as_many_are_paired_as_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
