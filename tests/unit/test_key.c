/* SPDX-License-Identifier: MIT */
/* The name of a request of the sink "http": the hash as others compute it, and a name for each set of records and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../../stages/http/key.h"

static void expect_hash(const char *text, uint64_t high, uint64_t low)
{
	struct hash hash;

	hash_init(&hash);
	hash_add(&hash, text, strlen(text));
	assert_true((uint64_t)(hash.value >> 64) == high);
	assert_true((uint64_t)hash.value == low);
}

/* From the authors' table of FNV-1a with 128 bits. */
static void test_hash(void **state)
{
	(void)state;
	expect_hash("", UINT64_C(0x6c62272e07bb0142), UINT64_C(0x62b821756295c58d));
	expect_hash("a", UINT64_C(0xd228cb696f1a8caf), UINT64_C(0x78912b704e4a8964));
	expect_hash("foobar", UINT64_C(0x343e1662793c64bf), UINT64_C(0x6f0d3597ba446f18));
}

static void test_the_same_has_the_same_name(void **state)
{
	const struct sl_identity id = { .run = 1, .origin = 2, .path = 3, .start = 4, .end = 5 };
	struct sl_identity later = id;
	const uint32_t records[] = { 0, 1, 7 };
	char one[KEY_SIZE], two[KEY_SIZE];

	(void)state;
	later.floor = 4;
	key_make(one, &id, "shop/save", records, 3);
	key_make(two, &later, "shop/save", records, 3);
	assert_string_equal(one, two);
	assert_int_equal(strlen(one), KEY_SIZE - 1);
	assert_int_equal(one[14], '8');
	assert_non_null(strchr("89ab", one[19]));
}

static void test_each_has_its_own(void **state)
{
	const uint32_t records[] = { 0, 1, 7, 1 };
	const struct {
		struct sl_identity id;
		const char *sink;
		uint32_t from, count;
	} cases[] = {
		{ { 1, 2, 3, 4, 5, 0 }, "shop/save", 0, 3 },
		{ { 9, 2, 3, 4, 5, 0 }, "shop/save", 0, 3 },
		{ { 1, 9, 3, 4, 5, 0 }, "shop/save", 0, 3 },
		{ { 1, 2, 9, 4, 5, 0 }, "shop/save", 0, 3 },
		{ { 1, 2, 3, 9, 5, 0 }, "shop/save", 0, 3 },
		{ { 1, 2, 3, 4, 9, 0 }, "shop/save", 0, 3 },
		{ { 1, 2, 3, 4, 5, 0 }, "shop/copy", 0, 3 },
		{ { 1, 2, 3, 4, 5, 0 }, "shop/save", 0, 2 },
		{ { 1, 2, 3, 4, 5, 0 }, "shop/save", 1, 2 },
		{ { 1, 2, 3, 4, 5, 0 }, "shop/save", 1, 3 },
	};
	char names[10][KEY_SIZE];

	(void)state;
	for (size_t i = 0; i < 10; i++) {
		key_make(names[i], &cases[i].id, cases[i].sink, records + cases[i].from,
			cases[i].count);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(names[i], names[k]);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_the_same_has_the_same_name),
		cmocka_unit_test(test_each_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
