/* SPDX-License-Identifier: MIT */
/* See task.h: the loop of a thread, on libuv. */
#include "task/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "task/overflow.h"

#define STACK_SIZE_DEFAULT (64u << 10)
#define REQUESTS_PATIENCE (SL_SECOND / 2)
#define TIMER_SLACK (SL_MILLISECOND / 20) /* so that timers close to each other cost one wake-up */

static const struct loop_setup plain_setup = { .name = NULL };
static _Thread_local struct loop *own;
static _Thread_local const struct loop_setup *own_setup = &plain_setup;

void loop_set_up(const struct loop_setup *setup)
{
	own_setup = setup;
}

struct loop *loop_of_thread(void)
{
	return own;
}

/* --- turns -------------------------------------------------------------------------------------- */

void loop_make_ready(struct loop *loop, struct sl_task *task)
{
	task->state = TASK_READY;
	task->queued = NULL;
	*loop->ready_tail = task;
	loop->ready_tail = &task->queued;
	loop->ready_count++;
	/* libuv runs timers, such as libcurl's, before it waits: it must not wait when one has made a task ready. */
	if (loop->is_looking)
		uv_stop(&loop->uv);
}

static struct sl_task *take_ready(struct loop *loop)
{
	struct sl_task *task = loop->ready;

	loop->ready = task->queued;
	if (!loop->ready)
		loop->ready_tail = &loop->ready;
	loop->ready_count--;
	return task;
}

static void note_turn(struct loop *loop, const struct sl_task *task)
{
	int64_t now = clock_now();
	int64_t held = now - loop->now;

	loop->now = now;
	if (held <= LOOP_HOLD_MAX)
		return;
	loop->counts.held++;
	if (held > loop->counts.held_max_ns)
		loop->counts.held_max_ns = held;
	if (loop->setup->on_held)
		loop->setup->on_held(loop, task, held);
}

static void bury(struct loop *loop)
{
	struct sl_task *task = loop->ended;

	if (!task)
		return;
	loop->ended = NULL;
	switch_fini(&task->point);
	if (!task->is_kept)
		task_free(task);
}

static void run_turn(struct loop *loop, struct sl_task *task)
{
	task->state = TASK_RUNNING;
	loop->current = task;
	if (loop->setup->on_turn)
		loop->setup->on_turn(task);
	switch_to(&loop->root.point, &task->point, false);
	loop->current = NULL;
	note_turn(loop, task);
	bury(loop);
}

static void arm_timer(struct loop *loop)
{
	const struct sl_task *first = timers_first(&loop->timers);
	int64_t due = first ? first->due : SL_NEVER;
	int64_t soonest = loop->now + TIMER_SLACK;
	struct itimerspec when = { 0 };

	if (due == loop->timer_due || (due < soonest && loop->timer_due <= soonest))
		return;
	due = due < soonest ? soonest : due;
	loop->timer_due = due;
	if (due != SL_NEVER) {
		when.it_value.tv_sec = due / NSEC_PER_SEC;
		when.it_value.tv_nsec = due % NSEC_PER_SEC;
	}
	(void)timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void loop_timer_expired(struct loop *loop)
{
	int64_t now = clock_now();
	struct sl_task *task;
	uint64_t times;

	(void)!read(loop->timer, &times, sizeof(times));
	loop->timer_due = SL_NEVER;
	while ((task = timers_first(&loop->timers)) && task->due <= now)
		task_wake(task, -ETIMEDOUT);
}

#define RAISE(cell, value)                                                                         \
	do {                                                                                       \
		if (page_get(cell) < (value))                                                      \
			page_set(cell, value);                                                     \
	} while (0)

/* What was counted by a process that died stays: sums grow, and the most is the most of all. */
static void publish(struct loop *loop, enum page_worker_state state)
{
	struct page_worker *slot = loop->setup->slot;
	const struct loop_counts *now = &loop->counts, *before = &loop->published;

	if (!slot)
		return;
	page_set(slot->state, state);
	(void)page_add(slot->calls, 1);
	(void)page_add(slot->waited_ns, now->waited_ns - before->waited_ns);
	(void)page_add(slot->held, now->held - before->held);
	RAISE(slot->held_max_ns, now->held_max_ns);
	page_set(slot->tasks, now->tasks);
	RAISE(slot->tasks_max, now->tasks_max);
	RAISE(slot->stack_deepest, loop->stacks.deepest);
	page_set(slot->unguarded, loop->stacks.unguarded);
	loop->published = *now;
}

static void look_around(struct loop *loop, bool may_wait)
{
	arm_timer(loop);
	if (may_wait)
		publish(loop, PAGE_WAITING);
	loop->is_looking = true;
	(void)uv_run(&loop->uv, may_wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
	loop->is_looking = false;
	publish(loop, PAGE_BUSY);
	loop->now = clock_now();
}

void loop_run(struct loop *loop)
{
	bool is_roots_turn = false;

	loop->current = NULL;
	loop->now = clock_now();
	while (!is_roots_turn) {
		for (uint32_t n = loop->ready_count; n > 0; n--) {
			struct sl_task *task = take_ready(loop);

			if (task == &loop->root)
				is_roots_turn = true;
			else
				run_turn(loop, task);
		}
		look_around(loop, !is_roots_turn && loop->ready_count == 0);
	}
	loop->root.state = TASK_RUNNING;
	loop->current = &loop->root;
}

/* --- from other threads --------------------------------------------------------------------------- */

static void deliver(struct sl_task *task)
{
	if (task->state == TASK_PARKED)
		task_wake(task, 0);
	else
		task->has_wake = true;
}

static void take_inbox(struct loop *loop)
{
	struct sl_task *task, *next;

	(void)pthread_mutex_lock(&loop->inbox_lock);
	task = loop->inbox;
	loop->inbox = NULL;
	(void)pthread_mutex_unlock(&loop->inbox_lock);
	for (; task; task = next) {
		next = task->inbox_next;
		deliver(task);
	}
}

static void on_async(uv_async_t *async)
{
	struct loop *loop = (struct loop *)async->loop->data;

	take_inbox(loop);
	if (!atomic_load(&loop->is_nudged))
		return;
	if (loop->setup->on_nudge)
		loop->setup->on_nudge(loop);
	if (loop->is_idle && loop->root.state == TASK_PARKED)
		task_wake(&loop->root, 0);
}

void loop_nudge(struct loop *loop)
{
	atomic_store(&loop->is_nudged, true);
	(void)uv_async_send(&loop->async);
}

void task_wake_from_afar(struct sl_task *task)
{
	struct loop *loop = task->loop;

	if (loop == own) {
		deliver(task);
		return;
	}
	(void)pthread_mutex_lock(&loop->inbox_lock);
	task->inbox_next = loop->inbox;
	loop->inbox = task;
	/* Under the lock: as soon as it is given up the task may be woken, by another's send, and end with its loop. */
	(void)uv_async_send(&loop->async);
	(void)pthread_mutex_unlock(&loop->inbox_lock);
}

/* --- beginning and end -------------------------------------------------------------------------- */

static int open_handles(struct loop *loop)
{
	int r = uv_loop_init(&loop->uv);

	if (r < 0)
		return r;
	loop->uv.data = loop;
	r = uv_async_init(&loop->uv, &loop->async, on_async);
	if (r < 0)
		return r;
	loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return loop->timer < 0 ? -errno : watches_open(loop);
}

static struct loop *loop_new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return NULL;
	loop->setup = own_setup;
	r = open_handles(loop);
	if (r < 0) {
		free(loop);
		errno = -r;
		return NULL;
	}
	loop->timer_due = SL_NEVER;
	loop->ready_tail = &loop->ready;
	loop->root = (struct sl_task){ .loop = loop, .state = TASK_RUNNING, .inherited = SL_NEVER };
	loop->current = &loop->root;
	switch_adopt(&loop->root.point);
	(void)pthread_mutex_init(&loop->inbox_lock, NULL);
	stack_pool_init(&loop->stacks,
		(own_setup->stack_size ? own_setup->stack_size : STACK_SIZE_DEFAULT) *
			switch_stack_factor);
	overflow_watch_thread();
	return loop;
}

struct loop *loop_get(void)
{
	if (!own)
		own = loop_new();
	return own;
}

/*
 * Look-ups of names that nobody waits for any more take as long as name servers do. False: then they keep the loop, which
 * stays behind for them until the process ends.
 */
static bool end_requests(struct loop *loop)
{
	int64_t until = clock_now() + REQUESTS_PATIENCE;

	while (loop->pending > 0 && clock_now() < until) {
		(void)uv_run(&loop->uv, UV_RUN_NOWAIT);
		(void)usleep(1000);
	}
	return loop->pending == 0;
}

void loop_end(void)
{
	struct loop *loop = own;

	if (!loop)
		return;
	assert(loop->counts.tasks == 0);
	http_close(loop);
	watches_close(loop);
	if (!end_requests(loop)) {
		own = NULL;
		return;
	}
	uv_close((uv_handle_t *)&loop->async, NULL);
	(void)close(loop->timer);
	(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
	(void)uv_loop_close(&loop->uv);
	stack_pool_fini(&loop->stacks);
	timers_fini(&loop->timers);
	(void)pthread_mutex_destroy(&loop->inbox_lock);
	overflow_forget_thread();
	free(loop);
	own = NULL;
	own_setup = &plain_setup;
}
