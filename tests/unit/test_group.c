/* SPDX-License-Identifier: MIT */
/* Groups: when members run, what a failure or a cancel does, what close waits for; gather. Each from the thread and in a task. */
#include "tasks.h"

static int ran;
static int canceled;

static int count_run(struct sl_context *ctx, void *arg)
{
	(void)ctx, (void)arg;
	ran++;
	return 0;
}

/* Ends by a cancel only. */
static int wait_for_cancel(struct sl_context *ctx, void *arg)
{
	int r = sl_sleep_until(ctx, in(LONG));

	(void)arg;
	assert_int_equal(r, -ECANCELED);
	canceled++;
	return r;
}

static int fail_after_turns(struct sl_context *ctx, void *arg)
{
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++)
		r = sl_yield(ctx);
	return r < 0 ? r : (int)(intptr_t)arg;
}

static int fail_at_once(struct sl_context *ctx, void *arg)
{
	(void)ctx;
	return (int)(intptr_t)arg;
}

/* --- when members run ----------------------------------------------------------------------------- */

static int start_and_compute(struct sl_context *ctx, void *arg)
{
	struct sl_group group, empty;

	(void)arg;
	ran = 0;
	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(sl_group_start(&group, count_run, NULL), 0);
	assert_int_equal(ran, 0);
	assert_int_equal(sl_yield(ctx), 0);
	assert_int_equal(ran, 10);
	assert_int_equal(sl_group_start(&group, count_run, NULL), 0);
	assert_int_equal(ran, 10);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(ran, 11);
	sl_group_open(ctx, &empty, 0);
	assert_int_equal(sl_group_close(&empty), 0);
	return 0;
}

static void members_run_only_when_the_opener_waits(void **state)
{
	(void)state;
	both(start_and_compute, NULL);
}

static int see_user(struct sl_context *ctx, void *arg)
{
	assert_ptr_equal(ctx->user, arg);
	return 0;
}

static void members_have_the_openers_user(void **state)
{
	int user;
	struct sl_context ctx = { .user = &user };
	struct sl_group group;

	(void)state;
	sl_group_open(&ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, see_user, &user), 0);
	assert_int_equal(sl_group_close(&group), 0);
	end_clean();
}

/* --- failure -------------------------------------------------------------------------------------- */

static int fail_among_others(struct sl_context *ctx, void *arg)
{
	struct sl_group group;

	(void)arg;
	canceled = 0;
	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(sl_group_start(&group, wait_for_cancel, NULL), 0);
	assert_int_equal(sl_group_start(&group, fail_after_turns, (void *)-EXDEV), 0);
	assert_int_equal(sl_group_close(&group), -EXDEV);
	assert_int_equal(canceled, 5);

	/* The first counts; the opener's own waits go on, and nothing more is started. */
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, fail_after_turns, (void *)-ENODEV), 0);
	assert_int_equal(sl_group_start(&group, fail_at_once, (void *)-EXDEV), 0);
	assert_int_equal(sl_group_start(&group, fail_at_once, (void *)-ENOSPC), 0);
	assert_int_equal(sl_sleep_until(ctx, in(MS)), 0);
	assert_int_equal(sl_group_start(&group, count_run, NULL), -ECANCELED);
	assert_int_equal(sl_group_close(&group), -EXDEV);

	/* A positive outcome is no failure. */
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, fail_at_once, (void *)7), 0);
	assert_int_equal(sl_group_start(&group, fail_after_turns, (void *)7), 0);
	assert_int_equal(sl_group_close(&group), 0);
	return 0;
}

static int the_last_starts_first(struct sl_context *ctx, void *arg)
{
	struct sl_group group;

	(void)arg;
	canceled = 0;
	sl_group_open(ctx, &group, 0);
	/* Cancelled before it ran: it runs all the same, and its first wait says so. */
	assert_int_equal(sl_group_start(&group, fail_at_once, (void *)-EXDEV), 0);
	assert_int_equal(sl_group_start(&group, wait_for_cancel, NULL), 0);
	assert_int_equal(sl_group_start(&group, fail_after_turns, (void *)-ENOSPC), 0);
	assert_int_equal(sl_group_close(&group), -EXDEV);
	assert_int_equal(canceled, 1);
	return 0;
}

static void the_first_failure_cancels_the_others_and_is_the_result(void **state)
{
	(void)state;
	both(the_last_starts_first, NULL);
	both(fail_among_others, NULL);
}

/* --- nested ---------------------------------------------------------------------------------------- */

struct nest {
	int depth;
	int closed;
};

static int nest_groups(struct sl_context *ctx, void *arg)
{
	struct nest *nest = arg;
	struct sl_group outer, inner;
	int r;

	if (nest->depth-- == 0)
		return wait_for_cancel(ctx, NULL);
	sl_group_open(ctx, &outer, 0);
	sl_group_open(ctx, &inner, 0);
	assert_int_equal(sl_group_start(&outer, wait_for_cancel, NULL), 0);
	assert_int_equal(sl_group_start(&inner, nest_groups, nest), 0);
	r = sl_group_close(&inner);
	assert_int_equal(r, -ECANCELED);
	assert_int_equal(sl_group_close(&outer), -ECANCELED);
	nest->closed++;
	return r;
}

/* A failure at the outside reaches members of members. */
static int cancel_a_nest(struct sl_context *ctx, void *arg)
{
	struct nest nest = { .depth = 5 };
	struct sl_group group;

	(void)arg;
	canceled = 0;
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, nest_groups, &nest), 0);
	while (nest.depth >= 0)
		assert_int_equal(sl_yield(ctx), 0);
	assert_int_equal(sl_group_start(&group, fail_after_turns, (void *)-EXDEV), 0);
	assert_int_equal(sl_group_close(&group), -EXDEV);
	assert_int_equal(nest.closed, 5);
	assert_int_equal(canceled, 6);
	return 0;
}

/* A failure inside stays inside, when it is not passed on. */
static int keep_a_failure(struct sl_context *ctx, void *arg)
{
	struct sl_group outer, inner;

	(void)arg;
	ran = 0;
	sl_group_open(ctx, &outer, 0);
	assert_int_equal(sl_group_start(&outer, fail_after_turns, NULL), 0);
	sl_group_open(ctx, &inner, 0);
	assert_int_equal(sl_group_start(&inner, fail_at_once, (void *)-EXDEV), 0);
	assert_int_equal(sl_group_close(&inner), -EXDEV);
	assert_int_equal(sl_group_start(&outer, count_run, NULL), 0);
	assert_int_equal(sl_group_close(&outer), 0);
	assert_int_equal(ran, 1);
	return 0;
}

static void groups_nest(void **state)
{
	(void)state;
	both(cancel_a_nest, NULL);
	both(keep_a_failure, NULL);
}

/* --- results as they come -------------------------------------------------------------------------- */

#define RUNNERS 8

struct runner {
	struct sl_sem go;
	int result;
};

static int run_when_told(struct sl_context *ctx, void *arg)
{
	struct runner *runner = arg;
	int r = sl_sem_take(ctx, &runner->go, SL_NEVER);

	return r < 0 ? r : runner->result;
}

static int collect_in_order_of_ending(struct sl_context *ctx, void *arg)
{
	static const int order[RUNNERS] = { 3, 7, 0, 5, 1, 6, 2, 4 };
	struct runner runners[RUNNERS];
	struct sl_group group;
	void *which = NULL;
	int result = 1;

	(void)arg;
	sl_group_open(ctx, &group, SL_COLLECT);
	for (int i = 0; i < RUNNERS; i++) {
		sl_sem_init(&runners[i].go, 0);
		runners[i].result = i % 2 == 0 ? -i - 1 : i;
		assert_int_equal(sl_group_start(&group, run_when_told, &runners[i]), 0);
	}
	assert_int_equal(sl_group_next(&group, in(MS), &which, &result), -ETIMEDOUT);
	/* One by one, then several that have ended before they are asked for. */
	for (int i = 0; i < RUNNERS / 2; i++) {
		sl_sem_give(&runners[order[i]].go);
		assert_int_equal(sl_group_next(&group, SL_NEVER, &which, &result), 1);
		assert_ptr_equal(which, &runners[order[i]]);
		assert_int_equal(result, runners[order[i]].result);
	}
	for (int i = RUNNERS / 2; i < RUNNERS; i++) {
		sl_sem_give(&runners[order[i]].go);
		assert_int_equal(sl_yield(ctx), 0);
	}
	for (int i = RUNNERS / 2; i < RUNNERS - 2; i++) {
		assert_int_equal(sl_group_next(&group, 0, &which, &result), 1);
		assert_ptr_equal(which, &runners[order[i]]);
		assert_int_equal(result, runners[order[i]].result);
	}
	/* Either may be NULL; a failure has cancelled nobody, more can be started. */
	assert_int_equal(sl_group_next(&group, SL_NEVER, NULL, NULL), 1);
	assert_int_equal(sl_group_next(&group, SL_NEVER, &which, NULL), 1);
	assert_ptr_equal(which, &runners[order[RUNNERS - 1]]);
	assert_int_equal(sl_group_next(&group, SL_NEVER, &which, &result), 0);
	sl_sem_give(&runners[0].go);
	assert_int_equal(sl_group_start(&group, run_when_told, &runners[0]), 0);
	assert_int_equal(sl_group_next(&group, SL_NEVER, NULL, &result), 1);
	assert_int_equal(result, -1);
	/* Two that nobody reads: their failures are not close's. */
	assert_int_equal(sl_group_start(&group, fail_at_once, (void *)-EXDEV), 0);
	assert_int_equal(sl_group_start(&group, fail_after_turns, (void *)-EXDEV), 0);
	assert_int_equal(sl_group_close(&group), 0);
	return 0;
}

static int collect_after_cancel(struct sl_context *ctx, void *arg)
{
	struct sl_group group;
	int result = 1;

	(void)arg;
	canceled = 0;
	sl_group_open(ctx, &group, SL_COLLECT);
	assert_int_equal(sl_group_start(&group, wait_for_cancel, NULL), 0);
	assert_int_equal(sl_group_start(&group, wait_for_cancel, NULL), 0);
	assert_int_equal(sl_yield(ctx), 0);
	sl_group_cancel(&group);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sl_group_next(&group, SL_NEVER, NULL, &result), 1);
		assert_int_equal(result, -ECANCELED);
	}
	assert_int_equal(sl_group_next(&group, SL_NEVER, NULL, &result), 0);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(canceled, 2);
	return 0;
}

static void results_come_in_the_order_of_ending(void **state)
{
	(void)state;
	both(collect_in_order_of_ending, NULL);
	both(collect_after_cancel, NULL);
}

/* --- cancel and deadlines of the opener -------------------------------------------------------------- */

struct opener {
	struct sl_group *group;
	int is_waiting, cleaned, closed;
};

/* Needs some waits before it can end, also when cancelled. */
static int clean_up_slowly(struct sl_context *ctx, void *arg)
{
	struct opener *opener = arg;
	struct sl_scope shield;

	assert_int_equal(sl_sleep_until(ctx, in(LONG)), -ECANCELED);
	sl_scope_open(ctx, &shield, in(LONG), SL_SHIELD);
	assert_int_equal(sl_sleep_until(ctx, in(2 * MS)), 0);
	assert_int_equal(sl_scope_close(ctx, &shield), 0);
	opener->cleaned++;
	return -ECANCELED;
}

static int open_and_close(struct sl_context *ctx, void *arg)
{
	struct opener *opener = arg;
	struct sl_group group;

	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sl_group_start(&group, clean_up_slowly, opener), 0);
	opener->is_waiting = 1;
	assert_int_equal(sl_group_close(&group), -ECANCELED);
	assert_int_equal(opener->cleaned, 3);
	opener->closed = 1;
	return -ECANCELED;
}

/* It hears of the cancel in another wait than close. */
static int open_and_sleep(struct sl_context *ctx, void *arg)
{
	struct opener *opener = arg;
	struct sl_group group;

	sl_group_open(ctx, &group, SL_COLLECT);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sl_group_start(&group, clean_up_slowly, opener), 0);
	assert_int_equal(sl_yield(ctx), 0);
	opener->is_waiting = 1;
	assert_int_equal(sl_group_next(&group, SL_NEVER, NULL, NULL), -ECANCELED);
	assert_int_equal(sl_group_close(&group), -ECANCELED);
	assert_int_equal(opener->cleaned, 3);
	opener->closed = 1;
	return -ECANCELED;
}

static int cancel_an_opener(struct sl_context *ctx, void *arg)
{
	static sl_member_fn *const fns[] = { open_and_close, open_and_sleep };

	(void)arg;
	for (size_t i = 0; i < 2; i++) {
		struct opener opener = { 0 };
		struct sl_group group;

		sl_group_open(ctx, &group, 0);
		assert_int_equal(sl_group_start(&group, fns[i], &opener), 0);
		yield_until(ctx, &opener.is_waiting, 1);
		assert_int_equal(sl_yield(ctx), 0);
		sl_group_cancel(&group);
		assert_int_equal(sl_group_close(&group), -ECANCELED);
		assert_int_equal(opener.closed, 1);
	}
	return 0;
}

static void close_waits_for_the_members_also_when_cancelled(void **state)
{
	(void)state;
	both(cancel_an_opener, NULL);
}

static int expect_timeout(struct sl_context *ctx, void *arg)
{
	int r = sl_sleep_until(ctx, in(LONG));

	assert_int_equal(r, -ETIMEDOUT);
	++*(int *)arg;
	return 0;
}

static int expect_no_timeout(struct sl_context *ctx, void *arg)
{
	assert_int_equal(sl_sleep_until(ctx, in(2 * MS)), 0);
	++*(int *)arg;
	return 0;
}

static int pass_on(struct sl_context *ctx, void *arg)
{
	struct sl_group group;

	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, expect_timeout, arg), 0);
	assert_int_equal(sl_group_close(&group), 0);
	return 0;
}

static int inherit_deadlines(struct sl_context *ctx, void *arg)
{
	struct sl_scope scope, shield;
	struct sl_group group;
	int ended = 0;

	(void)arg;
	sl_scope_open(ctx, &scope, in(3 * MS), 0);
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, expect_timeout, &ended), 0);
	assert_int_equal(sl_group_start(&group, pass_on, &ended), 0);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(ended, 2);
	/* It has passed; a shield around open keeps it from members too. */
	sl_scope_open(ctx, &shield, in(LONG), SL_SHIELD);
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, expect_no_timeout, &ended), 0);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(sl_scope_close(ctx, &shield), 0);
	assert_int_equal(ended, 3);
	assert_int_equal(sl_scope_close(ctx, &scope), -ETIMEDOUT);

	/* A scope inside of the group is the opener's alone. */
	sl_group_open(ctx, &group, 0);
	sl_scope_open(ctx, &scope, 0, 0);
	assert_int_equal(sl_group_start(&group, expect_no_timeout, &ended), 0);
	assert_int_equal(sl_scope_close(ctx, &scope), -ETIMEDOUT);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(ended, 4);
	return 0;
}

static void members_inherit_the_scopes_around_open(void **state)
{
	(void)state;
	both(inherit_deadlines, NULL);
}

/* --- gather ------------------------------------------------------------------------------------------ */

#define GATHERED 40

static struct gathered {
	int running, most, called;
	int late; /* the number of one that ends last */
} gathered;

static int square(struct sl_context *ctx, void *arg)
{
	int number = *(const int *)arg;

	gathered.called++;
	if (++gathered.running > gathered.most)
		gathered.most = gathered.running;
	/* They end in another order than they begin. */
	for (int i = 0; i <= (number * 7) % 11; i++)
		assert_int_equal(sl_yield(ctx), 0);
	gathered.running--;
	return number % 4 == 3 ? -number : number * number;
}

static int gather_squares(struct sl_context *ctx, void *arg)
{
	static const uint32_t limits[] = { 0, 1, 3, GATHERED, 1000 };
	int numbers[GATHERED], results[GATHERED];

	(void)arg;
	for (size_t l = 0; l < sizeof(limits) / sizeof(limits[0]); l++) {
		uint32_t limit = limits[l];

		gathered = (struct gathered){ 0 };
		for (int i = 0; i < GATHERED; i++) {
			numbers[i] = i;
			results[i] = -12345;
		}
		assert_int_equal(sl_gather(ctx, square, numbers, sizeof(numbers[0]), GATHERED,
					 limit, results),
			GATHERED / 4);
		for (int i = 0; i < GATHERED; i++)
			assert_int_equal(results[i], i % 4 == 3 ? -i : i * i);
		assert_int_equal(gathered.called, GATHERED);
		assert_int_equal(
			gathered.most, limit == 0 || limit > GATHERED ? GATHERED : (int)limit);
	}
	assert_int_equal(sl_gather(ctx, square, NULL, 4, 0, 0, NULL), 0);
	return 0;
}

static int number_in_turn(struct sl_context *ctx, void *arg)
{
	int number = (*(int *)arg)++;

	assert_int_equal(sl_yield(ctx), 0);
	return number;
}

/* args + i * 0: all have the same one. */
static int gather_with_one_arg(struct sl_context *ctx, void *arg)
{
	int results[5] = { 0 };
	int next = 10;

	(void)arg;
	assert_int_equal(sl_gather(ctx, number_in_turn, &next, 0, 5, 2, results), 0);
	assert_int_equal(next, 15);
	for (int i = 0; i < 5; i++)
		assert_int_equal(results[i], 10 + i);
	ran = 0;
	assert_int_equal(sl_gather(ctx, count_run, NULL, 0, 5, 0, results), 0);
	assert_int_equal(ran, 5);
	return 0;
}

static void gather_orders_results_and_keeps_to_its_limit(void **state)
{
	(void)state;
	both(gather_squares, NULL);
	both(gather_with_one_arg, NULL);
}

static int end_or_wait(struct sl_context *ctx, void *arg)
{
	int number = *(const int *)arg;

	gathered.called++;
	if (number == 0)
		return 100;
	if (number == 1)
		return -EXDEV;
	return wait_for_cancel(ctx, NULL);
}

struct gatherer {
	int results[6];
	int r;
	uint32_t limit;
};

static int gather_until_cancelled(struct sl_context *ctx, void *arg)
{
	struct gatherer *gatherer = arg;
	int numbers[6] = { 0, 1, 2, 3, 4, 5 };

	gatherer->r = sl_gather(ctx, end_or_wait, numbers, sizeof(numbers[0]), 6, gatherer->limit,
		gatherer->results);
	return 0;
}

static int cancel_gather(struct sl_context *ctx, void *arg)
{
	for (uint32_t limit = 0; limit < 5; limit++) {
		struct gatherer gatherer = { .limit = limit };
		struct sl_group group;
		int begun = limit == 0 ? 6 : (int)limit + 2;

		gathered = (struct gathered){ 0 };
		canceled = 0;
		sl_group_open(ctx, &group, 0);
		assert_int_equal(sl_group_start(&group, gather_until_cancelled, &gatherer), 0);
		yield_until(ctx, &gathered.called, begun);
		for (int i = 0; i < 3; i++)
			assert_int_equal(sl_yield(ctx), 0);
		assert_int_equal(gathered.called, begun);
		sl_group_cancel(&group);
		assert_int_equal(sl_group_close(&group), 0);
		assert_int_equal(gatherer.r, -ECANCELED);
		assert_int_equal(canceled, begun - 2);
		/* Those that had ended keep what they returned. */
		assert_int_equal(gatherer.results[0], 100);
		assert_int_equal(gatherer.results[1], -EXDEV);
		for (int i = 2; i < 6; i++)
			assert_int_equal(gatherer.results[i], -ECANCELED);
	}
	(void)arg;
	return 0;
}

/* A deadline around it does not cancel: its members hear of it, and their answers are results. */
static int wait_forever(struct sl_context *ctx, void *arg)
{
	(void)arg;
	return sl_sleep_until(ctx, SL_NEVER);
}

static int gather_with_a_deadline(struct sl_context *ctx, void *arg)
{
	char args[3];
	int results[3] = { 1, 1, 1 };
	struct sl_scope scope;
	int r;

	(void)arg;
	sl_scope_open(ctx, &scope, in(2 * MS), 0);
	r = sl_gather(ctx, wait_forever, args, 1, 3, 0, results);
	assert_int_equal(sl_scope_close(ctx, &scope), -ETIMEDOUT);
	/* All three failed, or gather itself was told first. */
	assert_true(r == 3 || r == -ETIMEDOUT);
	for (int i = 0; i < 3; i++)
		assert_true(results[i] == -ETIMEDOUT || results[i] == -ECANCELED);
	return 0;
}

static void a_cancelled_gather_keeps_what_has_ended(void **state)
{
	(void)state;
	both(cancel_gather, NULL);
	both(gather_with_a_deadline, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_run_only_when_the_opener_waits),
		cmocka_unit_test(members_have_the_openers_user),
		cmocka_unit_test(the_first_failure_cancels_the_others_and_is_the_result),
		cmocka_unit_test(groups_nest),
		cmocka_unit_test(results_come_in_the_order_of_ending),
		cmocka_unit_test(close_waits_for_the_members_also_when_cancelled),
		cmocka_unit_test(members_inherit_the_scopes_around_open),
		cmocka_unit_test(gather_orders_results_and_keeps_to_its_limit),
		cmocka_unit_test(a_cancelled_gather_keeps_what_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
