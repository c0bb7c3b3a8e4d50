/* SPDX-License-Identifier: MIT */
/* See worker.h. A worker takes a job, or its share of one, runs the stage over it, hands it back. */
#include "engine/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "engine/crash.h"
#include "engine/quarantine.h"
#include "engine/sandbox.h"
#include "engine/segment.h"
#include "engine/tasks.h"
#include "engine/worker_room.h"

#define TICK (100 * NSEC_PER_MSEC)
#define HELD_QUIET (10 * NSEC_PER_SEC)

void worker_wake_pump(struct crew *crew)
{
	uint64_t one = 1;

	/* Only a counter near 2^64 could refuse it, and then the pump is awake. */
	(void)!write(crew->wake_fd, &one, sizeof(one));
}

void worker_done(struct crew *crew, struct job *first, struct job **last)
{
	(void)pthread_mutex_lock(&crew->lock);
	*crew->done.tail = first;
	crew->done.tail = last;
	(void)pthread_mutex_unlock(&crew->lock);
	worker_wake_pump(crew);
}

static void add_hint(struct err *err, const char *hint)
{
	size_t used = strlen(err->text);

	(void)snprintf(err->text + used, sizeof(err->text) - used, "%s", hint);
}

void worker_fail(struct crew *crew, struct callback *callback, int error)
{
	struct err *err = &callback->err;

	if (err->text[0] == '\0')
		(void)err_set(err, error, "%s: %s", crew->host->impl->name, err_name(error));
	(void)pthread_mutex_lock(&crew->lock);
	if (!crew->has_failed) {
		crew->has_failed = true;
		crew->is_final = callback->must_stop;
		crew->error = error;
		crew->err = *err;
		add_hint(&crew->err, sandbox_hint(crew->host, error));
	}
	(void)pthread_mutex_unlock(&crew->lock);
	worker_wake_pump(crew);
}

void worker_slot_enter(struct worker *worker)
{
	(void)page_add(worker->slot->calls, 1);
	page_set(worker->slot->state, PAGE_BUSY);
}

void worker_slot_leave(struct worker *worker)
{
	page_set(worker->slot->state, PAGE_IDLE);
}

/* --- taking records ------------------------------------------------------------------------------- */

/*
 * A batch that comes into the stage: counts it, and checks its payload. 1; 0: refused and handed back; -ENOMEM: who gave it back instead would
 * begin those behind it before it.
 */
static int take_in(struct worker *worker, struct job *job)
{
	struct page *page = worker->crew->host->page;
	struct sl_batch *batch;
	int r;

	if (!job->delivery)
		return 1;
	batch = job->delivery->batch;
	(void)page_add(page->records_in, batch->head.count);
	(void)page_add(page->batches_in, 1);
	r = batch_check(batch);
	if (r == -ENOMEM)
		return err_set(&worker->callback.err, r, "no memory for a batch of %u records",
			batch->head.count);
	if (r == 0)
		return 1;
	job->is_refused = true;
	worker_done(worker->crew, job, &job->next_in_list);
	return 0;
}

/* Under the lock. */
static struct job *pop(struct crew *crew)
{
	struct job *job = crew->todo.head;

	crew->todo.head = job->next_in_list;
	if (!crew->todo.head)
		crew->todo.tail = &crew->todo.head;
	job->next_in_list = NULL;
	return job;
}

static void note_begun(struct crew *crew, struct job *job)
{
	job->is_begun = true;
	job->next_begun = NULL;
	*crew->begun.tail = job;
	crew->begun.tail = &job->next_begun;
}

/* This worker's part of `count` records: others that have nothing to do get theirs. */
static uint32_t share_of(const struct worker *worker, uint32_t count, uint32_t limit)
{
	const struct crew *crew = worker->crew;
	uint64_t mine = 1, all = 1 + (uint64_t)crew->waiting;
	uint64_t share;

	assert(limit > 0);
	if (crew->host->stage->coroutines > 0) {
		mine = limit;
		all = 0;
		for (uint32_t i = 0; i < crew->worker_count; i++)
			all += crew->host->stage->coroutines - page_get(crew->workers[i].in_hand);
		all = all < mine ? mine : all;
	}
	share = (count * mine + all - 1) / all;
	return share < limit ? (uint32_t)share : limit;
}

/* Takes the first job that is new out of the queue, checks it, and puts it back to be shared. As take_in. Under the lock. */
static int begin_first(struct worker *worker)
{
	struct crew *crew = worker->crew;
	struct job *job = pop(crew);
	int r;

	note_begun(crew, job);
	(void)pthread_mutex_unlock(&crew->lock);
	worker_wake_pump(crew);
	r = take_in(worker, job);
	(void)pthread_mutex_lock(&crew->lock);
	if (r <= 0)
		return r;
	job->left = job->delivery->batch->head.count;
	crew_put_back(crew, job);
	return 1;
}

/* A record that is suspected goes before the others, and they wait for it: the queue has no more of the job until it is done. */
static bool take_suspect(struct crew *crew, struct job *job, struct stretch *ret_stretch)
{
	uint32_t index = quarantine_suspect(job->quarantine, job->tried);

	if (index >= job->delivery->batch->head.count)
		return false;
	job->tried++;
	job->is_apart = true;
	(void)pop(crew);
	*ret_stretch = (struct stretch){ .job = job, .at = index, .end = index + 1 };
	return true;
}

/* From job->next: how many records in a row were not tried alone. Never 0, but for a batch without records. */
static uint32_t count_untried(struct job *job)
{
	uint32_t count = job->delivery->batch->head.count;
	uint32_t end;

	if (job->tried == 0)
		return count - job->next;
	while (job->next < count && quarantine_suspects(job->quarantine, job->next))
		job->next++;
	end = job->next;
	while (end < count && !quarantine_suspects(job->quarantine, end))
		end++;
	return end - job->next;
}

static void take_share(
	struct worker *worker, struct job *job, uint32_t limit, struct stretch *ret_stretch)
{
	struct crew *crew = worker->crew;
	uint32_t share = share_of(worker, count_untried(job), limit);

	*ret_stretch = (struct stretch){ .job = job, .at = job->next, .end = job->next + share };
	job->next += share;
	if (count_untried(job) == 0)
		(void)pop(crew);
	if (crew->todo.head)
		crew_rouse(crew);
}

int worker_take(struct worker *worker, uint32_t limit, struct stretch *ret_stretch)
{
	struct crew *crew = worker->crew;
	struct job *job;
	int r = 0;

	(void)pthread_mutex_lock(&crew->lock);
	while (r == 0 && crew->todo.head && !crew->todo.head->is_begun)
		r = begin_first(worker);
	job = crew->todo.head;
	if (r < 0 || !job) {
		(void)pthread_mutex_unlock(&crew->lock);
		return r;
	}
	if (!take_suspect(crew, job, ret_stretch))
		take_share(worker, job, limit, ret_stretch);
	if (crew->host->stage->coroutines > 0)
		(void)page_add(worker->in_hand, ret_stretch->end - ret_stretch->at);
	(void)pthread_mutex_unlock(&crew->lock);
	return 1;
}

/* --- the loop ----------------------------------------------------------------------------------- */

static void note_time(struct worker *worker, int64_t ns, uint64_t records)
{
	struct page *page = worker->crew->host->page;

	(void)page_add(worker->slot->in_calls_ns, ns);
	(void)page_add(worker->slot->records, records);
	if (page_get(page->first_record_ns) == 0)
		page_set(page->first_record_ns, clock_now());
}

/* A sink's batch that it wrote before is settled with the commit that covers it. `known`: or a negative errno. */
static int skip_known(struct worker *worker, struct job *job, int known)
{
	if (known == MEMORY_WRITTEN)
		return worker_keep_uncommitted(worker, job);
	if (known == MEMORY_COMMITTED) {
		job->next_in_list = NULL;
		worker_done(worker->crew, job, &job->next_in_list);
	}
	return known < 0 ? known : 0;
}

static int run_job(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	int64_t begin = clock_now();
	int64_t elapsed;
	int r;

	r = take_in(worker, job);
	if (r <= 0)
		return r;
	if (worker->callback.memory) {
		r = memory_recognise(&worker->callback, worker->uncommitted, job);
		if (r != MEMORY_NEW)
			return skip_known(worker, job, r);
	}
	worker->callback.dead = 0;
	worker->callback.waited_ns = 0;
	worker->callback.batch = job->delivery ? job->delivery->batch : NULL;
	if (job->delivery) {
		worker->callback.kind = PAGE_WORK_BATCH;
		quarantine_note(&worker->callback);
	}
	worker_slot_enter(worker);
	r = worker_run_role(worker, job);
	task_check_left_by(&worker->callback.context, "a callback");
	worker_slot_leave(worker);
	quarantine_note_end(&worker->callback, r);
	quarantine_note_none(&worker->callback);
	job->dead = worker->callback.dead;
	elapsed = clock_now() - begin;
	job->work_ns = elapsed - worker->callback.waited_ns;
	note_time(worker, elapsed, job->consumed + job->dead);
	if (r == 0)
		r = callback_keep_owed(&worker->callback, &worker->callback.context);
	if (r == 0 && worker->callback.must_stop)
		r = -EINVAL;
	if (r < 0 || host->impl->role == SL_SINK)
		return r < 0 ? r : worker_keep_uncommitted(worker, job);
	worker_done(worker->crew, job, &job->next_in_list);
	return 0;
}

/* Records of a batch, one after the other. */
static int run_stretch(struct worker *worker, const struct stretch *stretch)
{
	struct host *host = worker->crew->host;
	struct segment *segment = segment_new(host, stretch->job, stretch->at);
	int64_t begin = clock_now();
	int64_t work;
	int r = segment ? 0 : -ENOMEM;

	worker_slot_enter(worker);
	for (uint32_t i = stretch->at; i < stretch->end && r == 0; i++) {
		r = segment_run(host, segment, &worker->callback.context, worker->own);
		(void)page_add(worker->slot->calls, 1);
	}
	worker_slot_leave(worker);
	quarantine_note_none(&worker->callback);
	if (r < 0 || worker->callback.must_stop)
		return r < 0 ? r : -EINVAL;
	work = clock_now() - begin;
	note_time(worker, work, segment->count);
	r = segment_end(worker->crew, segment, work);
	if (r > 0)
		worker_done(worker->crew, stretch->job, &stretch->job->next_in_list);
	return r < 0 ? r : 0;
}

/* Until there is a job, or nothing more. False: it has been a while, and the stage wants to know. Under the lock. */
static bool wait_for_job(struct worker *worker)
{
	struct crew *crew = worker->crew;
	int64_t at = clock_now() + TICK;
	struct timespec until = { .tv_sec = at / NSEC_PER_SEC, .tv_nsec = at % NSEC_PER_SEC };

	if (!crew->host->impl->tick)
		return pthread_cond_wait(&crew->wake, &crew->lock) == 0;
	return pthread_cond_timedwait(&crew->wake, &crew->lock, &until) != ETIMEDOUT;
}

/* The next whole job; NULL: the end. A sink that finds nothing at hand is told by *ret_idle instead. */
static struct job *next_job(struct worker *worker, bool *ret_idle)
{
	struct crew *crew = worker->crew;
	struct job *job = NULL;

	*ret_idle = false;
	(void)pthread_mutex_lock(&crew->lock);
	while (!crew->todo.head && !crew->is_finishing && !worker->uncommitted)
		if (!wait_for_job(worker))
			break;
	if (crew->todo.head) {
		job = pop(crew);
		note_begun(crew, job);
	} else if (!crew->is_finishing || worker->uncommitted) {
		*ret_idle = true;
	}
	(void)pthread_mutex_unlock(&crew->lock);
	if (job)
		worker_wake_pump(crew);
	return job;
}

static int work_on_jobs(struct worker *worker)
{
	for (;;) {
		bool is_idle;
		struct job *job = next_job(worker, &is_idle);
		int r;

		if (!job && !is_idle)
			return 0;
		r = job ? run_job(worker, job) : worker_commit(worker);
		if (r < 0)
			return r;
	}
}

/* False: the end. */
static bool wait_for_records(struct crew *crew)
{
	bool has_ended;

	(void)pthread_mutex_lock(&crew->lock);
	crew->waiting++;
	while (!crew->todo.head && !crew->is_finishing)
		(void)pthread_cond_wait(&crew->wake, &crew->lock);
	crew->waiting--;
	has_ended = !crew->todo.head;
	(void)pthread_mutex_unlock(&crew->lock);
	return !has_ended;
}

static int work_on_records(struct worker *worker)
{
	struct stretch stretch;
	int r = 0;

	while (r >= 0 && wait_for_records(worker->crew)) {
		r = worker_take(worker, UINT32_MAX, &stretch);
		if (r > 0)
			r = run_stretch(worker, &stretch);
	}
	return r < 0 ? r : 0;
}

static int work(struct worker *worker)
{
	const struct host *host = worker->crew->host;

	if (host->stage->coroutines > 0)
		return tasks_run(worker);
	return host->impl->transform ? work_on_records(worker) : work_on_jobs(worker);
}

/* --- beginning and end -------------------------------------------------------------------------- */

/* A task kept its worker's thread for long. Said once in a while: it is nearly always the same one. */
static void on_held(struct loop *loop, const struct sl_task *task, int64_t ns)
{
	struct worker *worker = loop->setup->user;
	char text[32];

	if (loop->now < worker->held_quiet_until)
		return;
	worker->held_quiet_until = loop->now + HELD_QUIET;
	log_event(LOG_EVENT_HELD, LOG_LEVEL_WARNING,
		"task %u held its worker for %s, and all its other tasks waited: such work is for "
		"threads or processes, or for sl_offload",
		task->number, units_print_duration(ns, text, sizeof(text)));
}

/* A task goes on: what it works on is what the thread works on. */
static void on_turn(const struct sl_task *task)
{
	if (task->context.user)
		quarantine_note(task->context.user);
}

static void on_nudge(struct loop *loop)
{
	const struct worker *worker = loop->setup->user;

	/* What a predecessor had read is read again, pause or no pause. */
	if (worker->crew->host->impl->role == SL_SOURCE &&
		(atomic_load(&worker->crew->host->stopping) ||
			(atomic_load(&worker->crew->host->pausing) && !worker->callback.repeat)))
		task_cancel(&loop->root);
}

/* A loop is made at the first wait; where others must be able to wake it, now. */
static int prepare_loop(struct worker *worker)
{
	const struct host *host = worker->crew->host;
	struct loop *loop;

	worker->setup = (struct loop_setup){
		.name = host->stage->name,
		.stack_size = host->stage->stack_size,
		.slot = worker->slot,
		.on_nudge = on_nudge,
		.on_turn = on_turn,
		.on_away = crash_away,
		.on_held = on_held,
		.user = worker,
	};
	loop_set_up(&worker->setup);
	if (host->stage->coroutines == 0 && host->impl->role != SL_SOURCE)
		return 0;
	loop = loop_get();
	atomic_store(&worker->loop, loop);
	return loop ? 0 : -errno;
}

static int begin(struct worker *worker)
{
	struct host *host = worker->crew->host;
	int r = prepare_loop(worker);

	if (r == 0 && (host->impl->flags & SL_REMEMBERED))
		r = memory_open(&worker->memory, &worker->callback);
	if (r == 0 && host->impl->start)
		r = host->impl->start(&worker->callback.context, host->shared, worker->own);
	task_check_left_by(&worker->callback.context, "start");
	if (r == 0 && worker->callback.memory)
		r = memory_started(&worker->callback);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&worker->crew->lock);
	worker->crew->started++;
	(void)pthread_mutex_unlock(&worker->crew->lock);
	worker_wake_pump(worker->crew);
	return 0;
}

/* Nobody nudges it any more, also not one who has just looked. */
static void forget_loop(struct worker *worker)
{
	(void)pthread_mutex_lock(&worker->crew->lock);
	atomic_store(&worker->loop, NULL);
	(void)pthread_mutex_unlock(&worker->crew->lock);
}

static int end(struct worker *worker)
{
	struct crew *crew = worker->crew;
	struct host *host = crew->host;
	int r = 0;

	forget_loop(worker);
	worker_forget_cancel();
	worker_slot_enter(worker);
	if (host->impl->finish)
		r = host->impl->finish(
			&worker->callback.context, host->shared, worker->own, crew->is_complete);
	if (r == 0 && host->impl->stop)
		host->impl->stop(&worker->callback.context, host->shared, worker->own);
	task_check_left_by(&worker->callback.context, "stop");
	worker_slot_leave(worker);
	if (r < 0)
		return r;
	loop_end();
	(void)pthread_mutex_lock(&crew->lock);
	worker_show_cpu(worker);
	worker->has_left = true;
	crew->stopped++;
	(void)pthread_mutex_unlock(&crew->lock);
	worker_wake_pump(crew);
	return 0;
}

static void *worker_main(void *user)
{
	struct worker *worker = user;
	int r;

	crash_watch_thread(worker->slot);
	r = begin(worker);
	if (r == 0)
		r = work(worker);
	if (r == 0)
		r = end(worker);
	if (r < 0)
		worker_fail(worker->crew, &worker->callback, r);
	crash_forget_thread();
	return NULL;
}

void worker_show_cpu(struct worker *worker)
{
	struct timespec cpu;
	int64_t now;

	if (worker->has_left || clock_gettime(worker->clock, &cpu) < 0)
		return;
	now = cpu.tv_sec * NSEC_PER_SEC + cpu.tv_nsec;
	(void)page_add(worker->slot->cpu_ns, now - worker->cpu_shown);
	worker->cpu_shown = now;
}

static uint64_t read_max(const struct host *host)
{
	uint64_t max = UINT64_MAX;

	(void)sl_get_uint(
		sl_find(host->stage->options, GRAPH_READ_MAX, sizeof(GRAPH_READ_MAX) - 1), &max);
	return max;
}

int worker_start(struct worker *worker, struct crew *crew, uint32_t index)
{
	struct host *host = crew->host;
	uint32_t ports = host->stage->port_count;
	char name[16];
	int r;

	worker->crew = crew;
	worker->uncommitted_tail = &worker->uncommitted;
	worker->slot = &host->page->workers[index % PAGE_WORKERS_MAX];
	callback_init(&worker->callback, host, worker->slot);
	worker->left = read_max(host);
	worker->own = calloc(1, host->impl->worker_size + 1);
	worker->writers = calloc(ports + 1, sizeof(*worker->writers));
	worker->outputs = calloc(ports + 1, sizeof(struct sl_writer *));
	if (!worker->own || !worker->writers || !worker->outputs)
		return -ENOMEM;
	for (uint32_t i = 0; i < ports; i++)
		worker->outputs[i] = &worker->writers[i];
	r = pthread_create(&worker->thread, NULL, worker_main, worker);
	if (r != 0)
		return -r;
	/* It may have failed and ended already: then it says so itself. */
	if (pthread_getcpuclockid(worker->thread, &worker->clock) != 0)
		worker->has_left = true;
	(void)snprintf(name, sizeof(name), "worker %u", index);
	(void)pthread_setname_np(worker->thread, name);
	return 0;
}

void worker_join(struct worker *worker)
{
	(void)pthread_join(worker->thread, NULL);
	for (uint32_t i = 0; i < worker->crew->host->stage->port_count; i++)
		sl_writer_fini(&worker->writers[i]);
	memory_fini(&worker->memory);
	free(worker->writers);
	free(worker->outputs);
	free(worker->own);
}
