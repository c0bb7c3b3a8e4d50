/* SPDX-License-Identifier: MIT */
/* Who stands: by the counters that processes write. What may wait for long is well; what waits for nobody is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/clock.h"
#include "supervisor/watch.h"

#define LIMIT (60 * NSEC_PER_SEC)
#define START (1000 * NSEC_PER_SEC)
#define LATER (START + LIMIT + 2 * NSEC_PER_SEC)

/* read -> work (2 processes) -> save */
enum { READ, WORK_0, WORK_1, SAVE, COUNT };

struct example {
	struct graph_stage stages[3];
	struct graph_link links[2];
	struct graph graph;
	struct page *pages;
	struct supervisor_child children[COUNT];
	struct watch_mark marks[COUNT];
	int stopped; /* whose pump does not turn from here on; COUNT: nobody's */
};

static void put(struct example *e, int i, uint32_t stage, enum page_blocked blocked)
{
	e->children[i] = (struct supervisor_child){
		.stage = stage, .state = CHILD_RUNNING, .pid = 100 + i, .page = &e->pages[i]
	};
	page_set(e->pages[i].blocked, blocked);
}

/* clang-format off */
static int set_up(void **state)
{
	struct example *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	e->pages = calloc(COUNT, sizeof(*e->pages));
	assert_non_null(e->pages);
	e->stages[0] = (struct graph_stage){ .name = "read", .role = SL_SOURCE, .threads = 1, .retain = 1000, .stall_timeout_ns = LIMIT };
	e->stages[1] = (struct graph_stage){ .name = "work", .role = SL_TRANSFORM, .threads = 2, .retain = 1000, .stall_timeout_ns = LIMIT };
	e->stages[2] = (struct graph_stage){ .name = "save", .role = SL_SINK, .threads = 1, .stall_timeout_ns = LIMIT };
	e->links[0] = (struct graph_link){ .upstream = 0, .downstream = 1 };
	e->links[1] = (struct graph_link){ .upstream = 1, .downstream = 2 };
	e->graph = (struct graph){ .stages = e->stages, .stage_count = 3, .links = e->links, .link_count = 2 };
	e->stopped = COUNT;
	put(e, READ, 0, PAGE_NO_CREDIT);
	put(e, WORK_0, 1, PAGE_NO_INPUT);
	put(e, WORK_1, 1, PAGE_NO_INPUT);
	put(e, SAVE, 2, PAGE_NO_INPUT);
	*state = e;
	return 0;
}
/* clang-format on */

static int tear_down(void **state)
{
	struct example *e = *state;

	free(e->pages);
	free(e);
	return 0;
}

static void look(struct example *e, int64_t now)
{
	for (int i = 0; i < COUNT; i++)
		watch_note(&e->marks[i], &e->children[i], now);
}

static enum watch_kind judge_at(struct example *e, uint32_t i, int64_t now)
{
	const struct watch watch = { &e->graph, e->children, e->marks, COUNT, now };

	for (int k = 0; k < COUNT && k != e->stopped; k++)
		page_set(e->pages[k].pump_beat_ns, now);
	return watch_judge(&watch, i);
}

/* Looked at, and again when the limit has passed. */
static enum watch_kind judge(struct example *e, uint32_t i)
{
	look(e, START);
	look(e, LATER);
	return judge_at(e, i, LATER);
}

static void test_waits_for_those_who_wait_for_it(void **state)
{
	assert_int_equal(judge(*state, READ), WATCH_STANDING);
	assert_int_equal(judge(*state, WORK_0), WATCH_WELL);
	assert_int_equal(judge(*state, SAVE), WATCH_WELL);
}

static void test_not_before_its_time(void **state)
{
	struct example *e = *state;

	look(e, START);
	look(e, START + LIMIT / 2);
	assert_int_equal(judge_at(e, READ, START + LIMIT / 2), WATCH_WELL);
}

static void test_never(void **state)
{
	struct example *e = *state;

	e->stages[0].stall_timeout_ns = 0;
	assert_int_equal(judge(e, READ), WATCH_WELL);
}

static void test_moves(void **state)
{
	struct example *e = *state;

	look(e, START);
	page_set(e->pages[READ].records_out, 1);
	look(e, LATER);
	assert_int_equal(judge_at(e, READ, LATER), WATCH_WELL);
}

/* One of its neighbours has something to do: it may take as long as it likes. */
static void test_a_busy_neighbour(void **state)
{
	struct example *e = *state;

	page_set(e->pages[WORK_1].workers[1].state, PAGE_BUSY);
	assert_int_equal(judge(e, READ), WATCH_WELL);
	page_set(e->pages[WORK_1].workers[1].state, PAGE_IDLE);
	page_set(e->pages[WORK_1].workers[0].tasks, 500);
	assert_int_equal(judge(e, READ), WATCH_WELL);
	page_set(e->pages[WORK_1].workers[0].tasks, 0);
	page_set(e->pages[WORK_0].queued, 3);
	assert_int_equal(judge(e, READ), WATCH_WELL);
}

static void test_a_neighbour_that_is_started_again(void **state)
{
	struct example *e = *state;

	e->children[WORK_0].state = CHILD_WAITING;
	assert_int_equal(judge(e, READ), WATCH_WELL);
}

/* It looks idle, and is stopped: what it has cannot be seen. */
static void test_a_neighbour_that_is_stopped(void **state)
{
	struct example *e = *state;

	e->stopped = WORK_1;
	assert_int_equal(judge(e, READ), WATCH_WELL);
}

/* Room comes from all below, not only from the next. */
static void test_retention(void **state)
{
	struct example *e = *state;

	page_set(e->pages[READ].blocked, PAGE_NO_ROOM);
	page_set(e->pages[READ].held_bytes, 1000);
	assert_int_equal(judge(e, READ), WATCH_STANDING);
	page_set(e->pages[SAVE].workers[0].state, PAGE_BUSY);
	assert_int_equal(judge(e, READ), WATCH_WELL);
}

/* A source whose cuts cannot be written waits for its disk: it holds little. */
static void test_a_full_disk(void **state)
{
	struct example *e = *state;

	page_set(e->pages[READ].blocked, PAGE_NO_ROOM);
	page_set(e->pages[READ].held_bytes, 10);
	assert_int_equal(judge(e, READ), WATCH_WELL);
}

static void test_work_that_nobody_takes(void **state)
{
	struct example *e = *state;

	page_set(e->pages[WORK_0].blocked, PAGE_FREE);
	page_set(e->pages[WORK_0].queued, 2);
	assert_int_equal(judge(e, WORK_0), WATCH_STANDING);
	e->stages[1].rate_ns = NSEC_PER_SEC;
	assert_int_equal(judge(e, WORK_0), WATCH_WELL);
}

/* Batches that wait for one before them are no work yet. */
static void test_order(void **state)
{
	struct example *e = *state;

	page_set(e->pages[SAVE].queued, 2);
	assert_int_equal(judge(e, SAVE), WATCH_WELL);
}

static void test_a_source_without_news(void **state)
{
	struct example *e = *state;

	page_set(e->pages[READ].blocked, PAGE_FREE);
	assert_int_equal(judge(e, READ), WATCH_WELL);
}

static void test_late(void **state)
{
	struct example *e = *state;

	e->children[SAVE].state = CHILD_STARTING;
	assert_int_equal(judge(e, SAVE), WATCH_LATE);
	e->children[SAVE].state = CHILD_LEAVING;
	look(e, LATER + 1);
	assert_int_equal(judge_at(e, SAVE, LATER + 2), WATCH_WELL);
	assert_int_equal(judge_at(e, SAVE, LATER + LIMIT + 2), WATCH_LATE);
}

/* Another process begins anew, and only what it does says that it was of use. */
static void test_what_starting_again_helps(void **state)
{
	struct example *e = *state;

	look(e, START);
	e->marks[READ].ended = 2;
	e->children[READ].pid = 900;
	look(e, LATER);
	assert_int_equal(e->marks[READ].ended, 2);
	assert_int_equal(e->marks[READ].since_ns, LATER);
	page_set(e->pages[READ].records_out, 1);
	look(e, LATER + 1);
	assert_int_equal(e->marks[READ].ended, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(waits_for_those_who_wait_for_it),
		TEST(not_before_its_time),
		TEST(never),
		TEST(moves),
		TEST(a_busy_neighbour),
		TEST(a_neighbour_that_is_started_again),
		TEST(a_neighbour_that_is_stopped),
		TEST(retention),
		TEST(a_full_disk),
		TEST(work_that_nobody_takes),
		TEST(order),
		TEST(a_source_without_news),
		TEST(late),
		TEST(what_starting_again_helps),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
