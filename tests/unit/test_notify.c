/* SPDX-License-Identifier: MIT */
/* The status line: which stage it calls the bottleneck, and what it says when there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/clock.h"
#include "supervisor/notify.h"

static struct graph_stage stages[] = {
	{ .name = "read", .impl = "sequence", .role = SL_SOURCE },
	{ .name = "price", .impl = "sql", .role = SL_TRANSFORM },
	{ .name = "save", .impl = "null", .role = SL_SINK },
};
static const struct graph graph = { .name = "shop", .stages = stages, .stage_count = 3 };

/* Per stage: the share of its time that nobody held it up. */
static const char *describe(double read, double price, double save, uint64_t records)
{
	static char text[256];
	const double shares[] = { read, price, save };
	struct notify_sample before[3] = { { 0 } }, now[3];

	for (int i = 0; i < 3; i++) {
		before[i] = (struct notify_sample){ 1000, 1000, NSEC_PER_SEC, 5 * NSEC_PER_SEC };
		now[i] = (struct notify_sample){ 1000 + records, 1000 + records,
			NSEC_PER_SEC + (int64_t)(shares[i] * 2 * NSEC_PER_SEC), 7 * NSEC_PER_SEC };
	}
	return notify_describe(&graph, before, now, 2, text, sizeof(text));
}

static void test_the_busy_one(void **state)
{
	(void)state;
	assert_string_equal(describe(0.1, 0.97, 0.2, 2000),
		"1 000 records/s read, 1 000 saved; bottleneck: price (busy 97 %)");
	assert_string_equal(describe(0.1, 0.3, 0.8, 2000),
		"1 000 records/s read, 1 000 saved; bottleneck: save (busy 80 %)");
}

/* Of two that are never held up the one behind is who the other will wait for. */
static void test_of_equals_the_last(void **state)
{
	(void)state;
	assert_string_equal(describe(1, 1, 0.2, 20),
		"10 records/s read, 10 saved; bottleneck: price (busy 100 %)");
}

static void test_nobody_is_busy(void **state)
{
	(void)state;
	assert_string_equal(
		describe(0.1, 0.2, 0.1, 20), "10 records/s read, 10 saved; no stage is busy");
}

static void test_nothing_moves(void **state)
{
	(void)state;
	assert_string_equal(describe(1, 0, 0, 0), "nothing to do: waits for input");
}

/* After a reload the counters begin again. */
static void test_counters_that_went_back(void **state)
{
	struct notify_sample before[3], now[3] = { { 0 } };
	char text[256];

	(void)state;
	for (int i = 0; i < 3; i++)
		before[i] = (struct notify_sample){ 1000, 1000, NSEC_PER_SEC, NSEC_PER_SEC };
	assert_string_equal(notify_describe(&graph, before, now, 2, text, sizeof(text)),
		"nothing to do: waits for input");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_busy_one),
		cmocka_unit_test(test_of_equals_the_last),
		cmocka_unit_test(test_nobody_is_busy),
		cmocka_unit_test(test_nothing_moves),
		cmocka_unit_test(test_counters_that_went_back),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
