/* SPDX-License-Identifier: MIT */
/* See tasks.h. All of it runs on the worker's thread. */
#include "engine/tasks.h"

#include <errno.h>

#include "base/clock.h"
#include "engine/quarantine.h"
#include "engine/segment.h"

#define TURN_MAX NSEC_PER_MSEC /* a runner gives way after so long */

struct tasks {
	struct worker *worker;
	struct loop *loop;
	struct stretch stretch; /* at == end: nothing at hand */
	uint32_t limit;         /* runners at once */
	uint32_t active;
	bool has_fresh; /* a runner that has not run yet */
};

static bool has_records(const struct tasks *tasks)
{
	return tasks->stretch.at < tasks->stretch.end;
}

/* It takes more, if there is room. */
static void wake_root(const struct tasks *tasks)
{
	struct sl_task *root = &tasks->loop->root;

	if (root->state == TASK_PARKED)
		task_wake(root, 0);
}

/* --- a runner ----------------------------------------------------------------------------------- */

static int start_runner(struct tasks *tasks);

/* What one runner has in hand. */
struct hand {
	struct tasks *tasks;
	struct callback callback;
	struct segment *segment;
	int64_t begin;
};

static int end_segment(struct hand *hand)
{
	struct worker *worker = hand->tasks->worker;
	struct segment *segment = hand->segment;
	struct job *job;
	int64_t work = clock_now() - hand->begin;
	int r;

	if (!segment)
		return 0;
	hand->segment = NULL;
	hand->callback.batch = NULL;
	quarantine_note_none(&hand->callback);
	job = segment->job;
	(void)page_add(worker->slot->in_calls_ns, work);
	(void)page_add(worker->slot->records, segment->count);
	(void)page_add(worker->in_hand, -segment->count);
	r = segment_end(worker->crew, segment, work);
	if (r > 0)
		worker_done(worker->crew, job, &job->next_in_list);
	return r < 0 ? r : 0;
}

/* The segment that record `at` continues, or a new one. */
static int hold_segment(struct hand *hand, struct job *job, uint32_t at)
{
	const struct segment *held = hand->segment;
	int r;

	if (held && held->job == job && held->first + held->count == at)
		return 0;
	r = end_segment(hand);
	if (r < 0)
		return r;
	hand->begin = clock_now();
	hand->segment = segment_new(hand->tasks->worker->crew->host, job, at);
	return hand->segment ? 0 : -ENOMEM;
}

static int run_next(struct hand *hand, struct sl_context *ctx)
{
	struct tasks *tasks = hand->tasks;
	struct job *job = tasks->stretch.job;
	uint32_t at = tasks->stretch.at++;
	int r = hold_segment(hand, job, at);

	if (!has_records(tasks))
		wake_root(tasks);
	if (r == 0 && has_records(tasks) && !tasks->has_fresh && tasks->active < tasks->limit)
		r = start_runner(tasks);
	if (r == 0)
		r = segment_run(tasks->worker->crew->host, hand->segment, ctx, tasks->worker->own);
	if (r == 0 && hand->callback.must_stop)
		r = -EINVAL;
	if (r == 0 && clock_now() - tasks->loop->now > TURN_MAX)
		r = sl_yield(ctx);
	return r;
}

static int runner_main(struct sl_context *ctx, void *arg)
{
	struct tasks *tasks = arg;
	struct hand hand; /* not zeroed: its error text is a page that nearly nobody touches */
	int r = 0;

	tasks->has_fresh = false;
	hand.tasks = tasks;
	hand.segment = NULL;
	callback_init(&hand.callback, tasks->worker->crew->host, tasks->worker->slot);
	ctx->user = &hand.callback;
	while (r == 0 && has_records(tasks))
		r = run_next(&hand, ctx);
	if (r == 0)
		r = end_segment(&hand);
	/* The pump ends the process. */
	if (r < 0)
		worker_fail(tasks->worker->crew, &hand.callback, r);
	ctx->user = NULL;
	return r;
}

static void on_runner_end(struct sl_task *task)
{
	struct tasks *tasks = task->arg;

	tasks->active--;
	wake_root(tasks);
}

static int start_runner(struct tasks *tasks)
{
	if (!task_start(tasks->loop, runner_main, tasks, NULL, on_runner_end))
		return -ENOMEM;
	tasks->active++;
	tasks->has_fresh = true;
	return 0;
}

/* --- the root ----------------------------------------------------------------------------------- */

/* A batch without records is done by being taken: 1. */
static int end_empty(struct tasks *tasks)
{
	struct worker *worker = tasks->worker;
	struct segment *segment = segment_new(worker->crew->host, tasks->stretch.job, 0);
	int r = segment ? segment_end(worker->crew, segment, 0) : -ENOMEM;

	if (r > 0)
		worker_done(worker->crew, tasks->stretch.job, &tasks->stretch.job->next_in_list);
	return r < 0 ? r : 1;
}

static int fetch(struct tasks *tasks)
{
	struct page *page = tasks->worker->crew->host->page;
	int r = 1;

	while (r > 0 && !has_records(tasks) && tasks->active < tasks->limit) {
		r = worker_take(tasks->worker, tasks->limit - tasks->active, &tasks->stretch);
		if (r > 0 && !has_records(tasks))
			r = end_empty(tasks);
		else if (r > 0 && page_get(page->first_record_ns) == 0)
			page_set(page->first_record_ns, clock_now());
	}
	if (r < 0)
		return r;
	if (has_records(tasks) && !tasks->has_fresh && tasks->active < tasks->limit)
		return start_runner(tasks);
	return 0;
}

/* Nothing to do now: to be told when there is. False: the crew finishes. */
static bool ask_for_more(struct tasks *tasks, bool *ret_has_more)
{
	struct crew *crew = tasks->worker->crew;
	bool has_room = !has_records(tasks) && tasks->active < tasks->limit;
	bool has_ended;

	(void)pthread_mutex_lock(&crew->lock);
	*ret_has_more = has_room && crew->todo.head;
	tasks->worker->is_hungry = has_room && !crew->todo.head;
	has_ended = crew->is_finishing && !crew->todo.head;
	(void)pthread_mutex_unlock(&crew->lock);
	return !(has_ended && tasks->active == 0 && !has_records(tasks));
}

int tasks_run(struct worker *worker)
{
	struct tasks tasks = {
		.worker = worker,
		.loop = loop_get(),
		.limit = worker->crew->host->stage->coroutines,
	};
	bool has_more;
	int r = 0;

	while (r == 0 && ask_for_more(&tasks, &has_more)) {
		if (!has_more)
			task_park_root(tasks.loop, SL_NEVER);
		r = fetch(&tasks);
	}
	return r;
}
