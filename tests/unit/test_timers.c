/* SPDX-License-Identifier: MIT */
/* Row and heap together are one queue: random adds and removes against a sorted list, with deadlines of several kinds. */
#include "tasks.h"

#define TASKS 400
#define STEPS 3000
#define SEEDS 24

static uint64_t state_of_random;

static uint64_t draw(uint64_t below)
{
	state_of_random ^= state_of_random << 13;
	state_of_random ^= state_of_random >> 7;
	state_of_random ^= state_of_random << 17;
	return state_of_random % below;
}

/* The reference: all deadlines that are in, sorted. */
static int64_t sorted[TASKS];
static size_t count;

static size_t place_of(int64_t due)
{
	size_t i = 0;

	while (i < count && sorted[i] < due)
		i++;
	return i;
}

static void insert(int64_t due)
{
	size_t i = place_of(due);

	memmove(&sorted[i + 1], &sorted[i], (count - i) * sizeof(sorted[0]));
	sorted[i] = due;
	count++;
}

static void erase(int64_t due)
{
	size_t i = place_of(due);

	assert_true(i < count && sorted[i] == due);
	count--;
	memmove(&sorted[i], &sorted[i + 1], (count - i) * sizeof(sorted[0]));
}

static int64_t wide(int64_t step)
{
	(void)step;
	return (int64_t)draw(1000000);
}

static int64_t few_different(int64_t step)
{
	(void)step;
	return (int64_t)draw(5);
}

static int64_t equally_long(int64_t step)
{
	return step + 1000;
}

static int64_t mostly_equally_long(int64_t step)
{
	return draw(4) == 0 ? step + (int64_t)draw(2000) : step + 1000;
}

static int64_t (*const kinds[])(
	int64_t) = { wide, few_different, equally_long, mostly_equally_long };

static struct timers timers;
static struct sl_task tasks[TASKS];

static void first_is_right(void)
{
	const struct sl_task *first = timers_first(&timers);

	if (count == 0) {
		assert_null(first);
		return;
	}
	assert_non_null(first);
	assert_int_equal(first->due, sorted[0]);
	assert_int_not_equal(first->timer_index, 0);
}

/* Sometimes the first, as a deadline that passes; sometimes any, as one that is woken before. */
static void step_once(int64_t step, size_t kind)
{
	struct sl_task *task = &tasks[draw(TASKS)];

	if (draw(3) == 0 && timers_first(&timers))
		task = timers_first(&timers);
	if (task->timer_index != 0) {
		erase(task->due);
		timers_remove(&timers, task);
		assert_int_equal(task->timer_index, 0);
		timers_remove(&timers, task); /* not in it: fine */
	} else {
		assert_int_equal(timers_add(&timers, task, kinds[kind](step)), 0);
		insert(task->due);
	}
	first_is_right();
}

static void drains_in_order(void)
{
	while (count > 0) {
		struct sl_task *first = timers_first(&timers);

		first_is_right();
		erase(first->due);
		timers_remove(&timers, first);
	}
	assert_null(timers_first(&timers));
	assert_int_equal(timers.count, 0);
	assert_null(timers.row);
	for (size_t i = 0; i < TASKS; i++)
		assert_int_equal(tasks[i].timer_index, 0);
}

static void the_first_is_always_the_earliest(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		state_of_random = seed * 0x9e3779b97f4a7c15u;
		for (int64_t step = 0; step < STEPS; step++)
			step_once(step, seed % 4);
		drains_in_order();
		timers_fini(&timers);
	}
}

static void equal_waits_cost_no_heap(void **state)
{
	(void)state;
	for (size_t i = 0; i < TASKS; i++)
		assert_int_equal(timers_add(&timers, &tasks[i], 1000 + (int64_t)(i / 2)), 0);
	assert_int_equal(timers.count, 0);
	assert_null(timers.heap);
	for (size_t i = 0; i < TASKS; i++) {
		assert_ptr_equal(timers_first(&timers), &tasks[i]);
		timers_remove(&timers, &tasks[i]);
	}
	assert_null(timers_first(&timers));
	timers_fini(&timers);
}

static void a_heap_alone_sorts(void **state)
{
	struct sl_task late = { 0 };

	(void)state;
	state_of_random = 4711;
	count = 0;
	/* Behind one that is later than all of them they go into the heap. */
	assert_int_equal(timers_add(&timers, &late, INT64_MAX), 0);
	for (size_t i = 0; i < TASKS; i++) {
		assert_int_equal(timers_add(&timers, &tasks[i], (int64_t)draw(1000)), 0);
		insert(tasks[i].due);
	}
	assert_int_equal(timers.count, TASKS);
	timers_remove(&timers, &late);
	drains_in_order();
	timers_fini(&timers);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_is_always_the_earliest),
		cmocka_unit_test(equal_waits_cost_no_heap),
		cmocka_unit_test(a_heap_alone_sorts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
