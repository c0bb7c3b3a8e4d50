/* SPDX-License-Identifier: MIT */
/* From figures to numbers: each case is one that a person can check by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/advice.h"

#define SECONDS 10.0
#define CORES 4

/* A source, the stage in question, a sink. */
static struct graph_stage stages[3];
static struct advice_measured measured[3];
static struct advice_stage said[3];
static struct graph graph = { .stages = stages, .stage_count = 3 };
static struct advice advice = { .stages = said };

static void prepare(unsigned flags, uint32_t processes, uint32_t threads, uint32_t coroutines)
{
	stages[0] = (struct graph_stage){ .role = SL_SOURCE,
		.flags = SL_ONE_PROCESS | SL_ONE_THREAD,
		.processes = 1,
		.threads = 1 };
	stages[1] = (struct graph_stage){ .role = SL_TRANSFORM,
		.flags = flags,
		.processes = processes,
		.threads = threads,
		.coroutines = coroutines };
	stages[2] = stages[0];
	stages[2].role = SL_SINK;
}

/* One record: so long computing, waiting in tasks, waiting otherwise; `rate` of them a second. */
static void measure(double compute, double wait, double block, double rate)
{
	double n = rate * SECONDS;

	measured[0] = measured[2] = (struct advice_measured){
		.in = n, .records = n, .computing = n * 1e-6, .calls = n * 1e-6
	};
	measured[1] = (struct advice_measured){
		.in = n,
		.records = n,
		.computing = n * compute,
		.waited = n * wait,
		.calls = n * (compute + wait + block),
	};
	advice_make(&graph, measured, SECONDS, CORES, &advice);
}

static void numbers_are(uint32_t processes, uint32_t threads, uint32_t coroutines)
{
	assert_true(said[1].should_change);
	assert_int_equal(said[1].processes, processes);
	assert_int_equal(said[1].threads, threads);
	assert_int_equal(said[1].coroutines, coroutines);
}

static void what_waits_gets_coroutines(void **state)
{
	(void)state;
	prepare(SL_TASKS, 1, 1, 0);
	/* 1 s each, next to no computing: as many as are suggested at all. */
	measure(1e-6, 1, 0, 1);
	assert_int_equal(advice.bottleneck, 1);
	assert_int_equal(advice.limit, ADVICE_HANDS);
	numbers_are(1, 1, ADVICE_COROUTINES_MAX);
	/* 1 ms computing and 9 ms waiting, on 4 processors at 95 %: 3 800 a second, 38 in work, 10 % more for headroom. */
	measure(1e-3, 9e-3, 0, 100);
	assert_int_equal(advice.limit, ADVICE_PROCESSORS);
	numbers_are(1, 4, 11);
}

static void what_computes_gets_threads(void **state)
{
	(void)state;
	prepare(SL_TASKS, 1, 1, 0);
	measure(10e-3, 0, 0, 100);
	assert_int_equal(advice.bottleneck, 1);
	assert_int_equal(advice.limit, ADVICE_PROCESSORS);
	numbers_are(1, 4, 0);
	/* ... or processes, where threads cannot be. */
	prepare(SL_ONE_THREAD, 1, 1, 0);
	measure(10e-3, 0, 0, 100);
	numbers_are(4, 1, 0);
}

static void what_blocks_its_thread_gets_threads(void **state)
{
	(void)state;
	/* Its waits are its own: other tasks could not run meanwhile. */
	prepare(SL_TASKS, 1, 1, 0);
	measure(1e-3, 0, 99e-3, 10);
	numbers_are(1, ADVICE_THREADS_MAX, 0);
	/* It waits as tasks do, but may not be one. */
	prepare(0, 1, 1, 0);
	measure(1e-3, 99e-3, 0, 10);
	numbers_are(1, ADVICE_THREADS_MAX, 0);
}

static void what_is_enough_stays(void **state)
{
	(void)state;
	prepare(SL_TASKS, 1, 4, 0);
	measure(10e-3, 0, 0, 380);
	assert_int_equal(advice.bottleneck, 1);
	assert_false(said[1].should_change);
	/* Not busy, so nobody waits for it. */
	prepare(SL_TASKS, 1, 1, 0);
	measure(1e-3, 0, 0, 10);
	assert_int_equal(advice.bottleneck, -1);
}

static void a_limit_elsewhere_is_found(void **state)
{
	(void)state;
	/* The source has one worker, which is busy for half of the time: twice as fast is the most. */
	prepare(SL_TASKS, 1, 1, 0);
	measure(0.1e-3, 9.9e-3, 0, 100);
	measured[0].calls = SECONDS / 2;
	advice_make(&graph, measured, SECONDS, CORES, &advice);
	assert_int_equal(advice.limit, ADVICE_STAGE);
	assert_int_equal(advice.limit_stage, 0);
	assert_true(advice.gain > 1.99 && advice.gain < 2.01);
	numbers_are(1, 1, 3);
	/* A rate of 150 a second, of which there were 100. */
	stages[1].rate_ns = 1000000000 / 150;
	advice_make(&graph, measured, SECONDS, CORES, &advice);
	assert_int_equal(advice.limit, ADVICE_RATE);
	assert_true(advice.gain > 1.49 && advice.gain < 1.51);
}

static void what_the_engine_held_back_is_not_work(void **state)
{
	(void)state;
	prepare(SL_TASKS, 1, 1, 0);
	stages[1].rate_ns = 1000000000 / 100;
	measure(0.1e-3, 0, 0, 100);
	measured[1].calls += 9.8;
	measured[1].paused = 9.8;
	measured[1].waited = 9.8;
	advice_make(&graph, measured, SECONDS, CORES, &advice);
	assert_int_equal(advice.bottleneck, 1);
	assert_true(said[1].held_back > 0.9);
	assert_true(said[1].wait < 1e-6);
	assert_int_equal(advice.limit, ADVICE_RATE);
	assert_false(said[1].should_change);
}

static void nothing_measured_says_nothing(void **state)
{
	(void)state;
	prepare(SL_TASKS, 2, 2, 10);
	measure(0, 0, 0, 0);
	assert_int_equal(advice.bottleneck, -1);
	assert_false(said[1].is_measured);
	assert_false(said[1].should_change);
	assert_int_equal(said[1].coroutines, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_waits_gets_coroutines),
		cmocka_unit_test(what_computes_gets_threads),
		cmocka_unit_test(what_blocks_its_thread_gets_threads),
		cmocka_unit_test(what_is_enough_stays),
		cmocka_unit_test(a_limit_elsewhere_is_found),
		cmocka_unit_test(what_the_engine_held_back_is_not_work),
		cmocka_unit_test(nothing_measured_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
