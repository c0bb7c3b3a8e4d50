/* SPDX-License-Identifier: MIT */
/* The re-sequencer: shuffled batches come out by position, repeats at once, holes are waited for, origins follow one another. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <utlist.h>

#include "link/order.h"

static void release_nothing(void *owner)
{
	(void)owner;
}

static struct delivery *make(uint64_t origin, uint64_t start, uint64_t end)
{
	struct batch_head head = {
		.id = { .run = 1, .origin = origin, .start = start, .end = end, .path = 9 }
	};
	struct delivery *delivery = calloc(1, sizeof(*delivery));

	assert_non_null(delivery);
	delivery->batch = batch_over(&head, "", 0, release_nothing, NULL);
	delivery->epoch = 1;
	return delivery;
}

/* The start of the next one, or -1. */
static int64_t next(struct order *order)
{
	struct delivery *delivery = order_next(order);
	int64_t start = delivery ? (int64_t)delivery->batch->head.id.start : -1;

	delivery_free(delivery);
	return start;
}

static void shuffled_come_out_sorted(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 20; seed++) {
		struct link_env env = { 0 };
		struct order *order = order_new(&env);
		uint64_t starts[50];
		int64_t expected = 0, got;

		srand(seed);
		for (uint64_t i = 0; i < 50; i++)
			starts[i] = i;
		for (uint64_t i = 49; i > 0; i--) {
			uint64_t other = (uint64_t)rand() % (i + 1);
			uint64_t one = starts[i];

			starts[i] = starts[other];
			starts[other] = one;
		}
		for (uint64_t i = 0; i < 50; i++) {
			assert_int_equal(order_add(order, make(5, starts[i], starts[i] + 1)), 0);
			while ((got = next(order)) >= 0)
				assert_int_equal(got, expected++);
		}
		assert_int_equal(expected, 50);
		assert_int_equal(order_held(order), 0);
		order_free(order);
	}
}

static void repeats_and_floors(void **state)
{
	struct link_env env = { 0 };
	struct order *order = order_new(&env);

	(void)state;
	assert_int_equal(order_add(order, make(5, 0, 10)), 0);
	assert_int_equal(next(order), 0);
	assert_int_equal(order_add(order, make(5, 0, 10)), 0);
	assert_int_equal(next(order), 0);
	/* A hole at 10; then the floor rises over it. */
	assert_int_equal(order_add(order, make(5, 20, 30)), 0);
	assert_int_equal(next(order), -1);
	assert_int_equal(floors_raise(&env.floors, 5, 20, 0), 1);
	assert_int_equal(next(order), 20);
	/* An empty batch over several settled ones closes a hole, whatever part of it was there. */
	assert_int_equal(order_add(order, make(5, 40, 50)), 0);
	assert_int_equal(order_add(order, make(5, 25, 40)), 0);
	assert_int_equal(next(order), 25);
	assert_int_equal(next(order), 40);
	order_free(order);
	floors_free(&env.floors);
}

static void origins_follow_one_another(void **state)
{
	struct link_env env = { 0 };
	struct order *order = order_new(&env);
	struct delivery *second = make(6, 0, 10);

	(void)state;
	second->batch->head.after_origin = 5;
	second->batch->head.after_end = 20;
	assert_int_equal(order_add(order, second), 0);
	assert_int_equal(next(order), -1);
	assert_int_equal(order_add(order, make(5, 0, 20)), 0);
	assert_int_equal(next(order), 0);
	assert_int_equal(next(order), 0);
	assert_int_equal(next(order), -1);
	order_free(order);
}

static void origins_that_are_apart_alternate(void **state)
{
	struct link_env env = { 0 };
	struct order *order = order_new(&env);

	(void)state;
	assert_int_equal(order_add(order, make(5, 0, 10)), 0);
	assert_int_equal(next(order), 0);
	/* The first of another one, while the first one has no end. */
	assert_int_equal(order_add(order, make(6, 0, 7)), 0);
	assert_int_equal(next(order), 0);
	assert_int_equal(order_add(order, make(6, 20, 30)), 0);
	assert_int_equal(order_add(order, make(5, 10, 11)), 0);
	assert_int_equal(next(order), 10);
	assert_int_equal(next(order), -1);
	assert_int_equal(order_add(order, make(6, 7, 20)), 0);
	assert_int_equal(next(order), 7);
	assert_int_equal(next(order), 20);
	order_free(order);
}

static void the_dead_are_dropped(void **state)
{
	struct link_env env = { 0 };
	struct order *order = order_new(&env);

	(void)state;
	assert_int_equal(order_add(order, make(5, 10, 20)), 0);
	order_drop(order, NULL, 0, 1);
	assert_int_equal(order_held(order), 0);
	assert_int_equal(order_add(order, make(5, 10, 20)), 0);
	order_drop(order, NULL, 0, 2);
	assert_int_equal(order_held(order), 1);
	order_free(order);
}

/* What was handed on and not begun goes back, so that nothing passes what is dropped and comes again. */
static void what_was_not_begun_is_ordered_again(void **state)
{
	struct link_env env = { 0 };
	struct order *order = order_new(&env);
	struct delivery *handed[6], *list = NULL;

	(void)state;
	for (uint64_t at = 0; at < 40; at += 10)
		assert_int_equal(order_add(order, make(5, at, at + 10)), 0);
	assert_int_equal(next(order), 0); /* begun */
	assert_int_equal(order_add(order, make(5, 0, 10)), 0);
	for (int i = 0; i < 4; i++) {
		handed[i] = order_next(order);
		DL_APPEND(list, handed[i]);
	}
	assert_int_equal(order_add(order, make(5, 0, 10)), 0);
	assert_int_equal(order_add(order, make(5, 20, 30)), 0);
	for (int i = 4; i < 6; i++) {
		handed[i] = order_next(order);
		DL_APPEND(list, handed[i]);
	}
	/* Only what was begun passes, and the first. */
	for (int i = 0; i < 6; i++)
		assert_int_equal(order_may_pass(list, handed[i]), i == 0 || i == 4);
	handed[2]->epoch = 7; /* [20, 30) is of one that died */
	handed[5]->epoch = 7;
	for (int i = 5; i >= 0; i--)
		assert_int_equal(order_take_back(order, handed[i]), 0);
	order_drop(order, NULL, 0, 7);
	assert_int_equal(next(order), 0); /* the repeats, which have not moved the lane */
	assert_int_equal(next(order), 0);
	assert_int_equal(next(order), 10);
	assert_int_equal(next(order), -1);
	assert_int_equal(order_add(order, make(5, 20, 30)), 0);
	assert_int_equal(next(order), 20);
	assert_int_equal(next(order), 30);
	assert_int_equal(order_held(order), 0);
	order_free(order);
}

/* Two empty places are missing, and nobody is left to fill them. */
static void at_the_end_gaps_are_not_waited_for(void **state)
{
	struct link_env env = { 0 };
	struct order *order = order_new(&env);

	(void)state;
	assert_int_equal(order_add(order, make(5, 30, 40)), 0);
	assert_int_equal(order_add(order, make(5, 10, 20)), 0);
	assert_int_equal(next(order), -1);
	order_end(order);
	assert_int_equal(next(order), 10);
	assert_int_equal(next(order), 30);
	assert_int_equal(next(order), -1);
	assert_int_equal(order_held(order), 0);
	order_free(order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shuffled_come_out_sorted),
		cmocka_unit_test(at_the_end_gaps_are_not_waited_for),
		cmocka_unit_test(repeats_and_floors),
		cmocka_unit_test(origins_follow_one_another),
		cmocka_unit_test(origins_that_are_apart_alternate),
		cmocka_unit_test(the_dead_are_dropped),
		cmocka_unit_test(what_was_not_begun_is_ordered_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
