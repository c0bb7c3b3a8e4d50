/* SPDX-License-Identifier: MIT */
/* Which lines are shown, which are counted, and when that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "supervisor/repeats.h"

#define START (100 * NSEC_PER_SEC)

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct repeats));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static bool take(struct repeats *repeats, const char *stage, const char *text, int64_t now)
{
	struct log_line line = {
		.level = 4, .event = LOG_EVENT_REFUSED, .stage = stage, .text = text
	};

	return repeats_take(repeats, &line, now);
}

static unsigned fill(struct repeats *repeats, const char *stage, unsigned count, int64_t now)
{
	unsigned shown = 0;
	char text[100];

	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(text, sizeof(text),
			"in.csv:%u: refused: no `f%u`: {\"id\": %u, \"x\": \"%c\"}", i, i % 7, i,
			'a' + i % 26);
		shown += take(repeats, stage, text, now);
	}
	return shown;
}

static void test_the_first_are_shown(void **state)
{
	assert_int_equal(fill(*state, "t", 142, START), REPEATS_SHOWN);
}

static void test_the_others_are_counted(void **state)
{
	struct log_line line;
	uint32_t count;

	(void)fill(*state, "t", 142, START);
	assert_false(repeats_due(*state, START + 9 * NSEC_PER_SEC, false, &line, &count));
	assert_true(repeats_due(*state, START + 10 * NSEC_PER_SEC, false, &line, &count));
	assert_int_equal(count, 132);
	assert_string_equal(line.stage, "t");
	assert_int_equal(line.level, 4);
	assert_non_null(strstr(line.text, "in.csv:141: refused"));
	assert_false(repeats_due(*state, START + 10 * NSEC_PER_SEC, false, &line, &count));
}

static void test_the_next_ten_seconds(void **state)
{
	struct log_line line;
	uint32_t count;

	(void)fill(*state, "t", 20, START);
	assert_true(repeats_due(*state, START + 10 * NSEC_PER_SEC, false, &line, &count));
	assert_int_equal(fill(*state, "t", 20, START + 11 * NSEC_PER_SEC), REPEATS_SHOWN);
}

static void test_the_end_says_all(void **state)
{
	struct log_line line;
	uint32_t count, sum = 0;

	(void)fill(*state, "t", 20, START);
	(void)fill(*state, "u", 15, START);
	while (repeats_due(*state, START, true, &line, &count))
		sum += count;
	assert_int_equal(sum, 15);
}

static void test_others_are_apart(void **state)
{
	(void)fill(*state, "t", 100, START);
	assert_true(take(*state, "u", "in.csv:1: refused: no `f`: {}", START));
	assert_true(take(*state, "t", "in.csv:1: refused: something else: {}", START));
	assert_true(take(*state, NULL, "in.csv:1: refused: no `f`: {}", START));
	assert_false(take(*state, "t", "in.csv:1: refused: no `f`: {}", START));
}

/* What a refused line was stands behind the reason. */
static void test_lines_of_text(void **state)
{
	assert_int_equal(fill(*state, "t", 10, START), 10);
	for (int i = 0; i < REPEATS_SHOWN; i++)
		assert_true(take(
			*state, "r", "a.csv:1: refused: expected 2 fields, found 1: x", START));
	assert_false(
		take(*state, "r", "a.csv:2: refused: expected 3 fields, found 4: y: z", START));
	assert_true(take(*state, "r", "a.csv:2: refused: invalid UTF-8: y: z", START));
	for (int i = 0; i < REPEATS_SHOWN; i++)
		assert_true(take(*state, "v", "refused: \"day\": it is no time: {}", START));
	assert_false(take(*state, "v", "refused: \"at\": it is no time: {}", START));
	assert_true(take(*state, "v", "refused: \"day\": it is null: {}", START));
	assert_true(take(*state, "v", "refused: \"", START));
	assert_true(take(*state, "v", "refused: `open: x", START));
}

/* Nothing is left out without being counted. */
static void test_more_kinds_than_room(void **state)
{
	unsigned shown = 0, said = 0;
	struct log_line line;
	uint32_t count;
	char stage[32];

	for (unsigned i = 0; i < 3 * REPEATS_KINDS; i++) {
		(void)snprintf(stage, sizeof(stage), "s%c%c", 'a' + i / 26, 'a' + i % 26);
		shown += fill(*state, stage, 30, START);
	}
	while (repeats_due(*state, START, true, &line, &count))
		said += count;
	assert_int_equal(shown + said, 3 * REPEATS_KINDS * 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_first_are_shown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_others_are_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_next_ten_seconds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_end_says_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_are_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lines_of_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_more_kinds_than_room, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
