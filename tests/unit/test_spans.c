/* SPDX-License-Identifier: MIT */
/* Intervals merge, floors rise; compared with a plain set of positions under many random additions. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "link/spans.h"

#define POSITIONS 300

static const struct spans_key key = { .run = 1, .origin = 2, .path = 3 };

struct seen {
	bool position[POSITIONS];
	uint64_t end; /* of the last interval */
	bool touches;
};

static void mark(void *user, struct spans_key k, struct span span)
{
	struct seen *seen = user;

	assert_memory_equal(&k, &key, sizeof(key));
	assert_true(span.start < span.end);
	seen->touches = seen->touches || (seen->end > 0 && span.start <= seen->end);
	seen->end = span.end;
	for (uint64_t i = span.start; i < span.end; i++)
		seen->position[i] = true;
}

static void random_additions_are_a_set(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 50; seed++) {
		struct spans *all = NULL;
		struct seen seen = { 0 };
		bool expected[POSITIONS] = { false };

		srand(seed);
		for (int n = 0; n < 40; n++) {
			uint64_t start = (uint64_t)rand() % (POSITIONS - 20);
			uint64_t end = start + 1 + (uint64_t)rand() % 19;

			assert_int_equal(spans_add(&all, key, start, end), 0);
			for (uint64_t i = start; i < end; i++)
				expected[i] = true;
		}
		spans_forget(&all, key.origin, 25);
		memset(expected, 0, 25);
		spans_walk(all, mark, &seen);
		assert_memory_equal(seen.position, expected, sizeof(expected));
		assert_false(seen.touches);
		spans_free(&all);
	}
}

static bool is_other(void *user, uint64_t origin)
{
	(void)user;
	return origin != key.origin;
}

static void forgotten_sets_go(void **state)
{
	struct spans *all = NULL;

	(void)state;
	assert_int_equal(spans_add(&all, key, 0, 10), 0);
	spans_forget(&all, key.origin + 1, 100);
	assert_int_equal(spans_count(all), 1);
	spans_forget(&all, key.origin, 10);
	assert_null(all);
	assert_int_equal(spans_add(&all, key, 0, 10), 0);
	spans_retain(&all, is_other, NULL);
	assert_null(all);
}

static void floors_only_rise(void **state)
{
	struct floors *all = NULL;

	(void)state;
	assert_int_equal(floors_get(all, 1), 0);
	assert_int_equal(floors_raise(&all, 1, 5, 0), 1);
	assert_int_equal(floors_raise(&all, 1, 4, 0), 0);
	assert_int_equal(floors_get(all, 1), 5);
	assert_int_equal(floors_raise(&all, 2, 0, 3), 1);
	/* Named in round 3, so it stays; the other goes. */
	assert_true(floors_expire(&all, 3));
	assert_false(floors_knows(all, 1));
	assert_true(floors_knows(all, 2));
	floors_free(&all);
	assert_int_equal(floors_count(all), 0);
}

/* --- without memory ------------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static bool is_full;

/* The tables' own; what is kept in them comes from calloc. */
void *__wrap_malloc(size_t size)
{
	return is_full ? NULL : __real_malloc(size);
}

static void no_memory_is_an_error(void **state)
{
	struct spans *spans = NULL;
	struct floors *floors = NULL;

	(void)state;
	is_full = true;
	assert_int_equal(spans_add(&spans, key, 10, 20), -ENOMEM);
	assert_int_equal(floors_raise(&floors, 5, 10, 0), -ENOMEM);
	is_full = false;
	assert_null(spans);
	assert_null(floors);
	assert_int_equal(spans_add(&spans, key, 10, 20), 0);
	assert_int_equal(floors_raise(&floors, 5, 10, 0), 1);
	spans_free(&spans);
	floors_free(&floors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_additions_are_a_set),
		cmocka_unit_test(forgotten_sets_go),
		cmocka_unit_test(floors_only_rise),
		cmocka_unit_test(no_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
