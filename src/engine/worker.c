/* SPDX-License-Identifier: MIT */
/*
 * See worker.h. A worker takes a job, runs the stage over it, hands it back. A sink's jobs are handed back after the commit
 * that covers them: when the group is large, has waited long enough, or nothing more is at hand.
 */
#include "engine/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/output.h"

#define COMMIT_INTERVAL (50 * NSEC_PER_MSEC)
#define COMMIT_BYTES (4u << 20)

static void wake_pump(struct crew *crew)
{
	uint64_t one = 1;

	/* Only a counter near 2^64 could refuse it, and then the pump is awake. */
	(void)!write(crew->wake_fd, &one, sizeof(one));
}

static void post_done(struct crew *crew, struct job *first, struct job **last)
{
	(void)pthread_mutex_lock(&crew->lock);
	*crew->done.tail = first;
	crew->done.tail = last;
	(void)pthread_mutex_unlock(&crew->lock);
	wake_pump(crew);
}

static void fail(struct worker *worker, int error)
{
	struct crew *crew = worker->crew;
	struct err *err = &worker->context.err;

	if (err->text[0] == '\0')
		(void)err_set(err, error, "%s: %s", crew->host->impl->name, err_name(error));
	(void)pthread_mutex_lock(&crew->lock);
	if (!crew->has_failed) {
		crew->has_failed = true;
		crew->is_final = worker->context.must_stop;
		crew->err = *err;
	}
	(void)pthread_mutex_unlock(&crew->lock);
	wake_pump(crew);
}

static void slot_enter(struct worker *worker)
{
	(void)page_add(worker->context.slot->calls, 1);
	page_set(worker->context.slot->state, PAGE_BUSY);
}

static void slot_leave(struct worker *worker)
{
	page_set(worker->context.slot->state, PAGE_IDLE);
}

/* --- the three roles ---------------------------------------------------------------------------- */

static int make_outputs(struct worker *worker, struct job *job, const struct batch_head *head)
{
	const struct host *host = worker->crew->host;
	int r = 0;

	job->outputs = calloc(host->stage->port_count, sizeof(*job->outputs));
	if (!job->outputs)
		return -ENOMEM;
	job->port_count = host->stage->port_count;
	for (uint32_t i = 0; i < job->port_count && r == 0; i++) {
		(void)page_add(host->page->records_out, worker->writers[i].count);
		r = output_make(host, i, head, &worker->writers[i], &job->outputs[i]);
	}
	return r;
}

static int run_source(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	struct batch_head head = { 0 };
	int r;

	job->cut = (struct sl_cut){
		.out = &worker->writers[0], .want = job->want, .size_max = job->size_max
	};
	job->is_canceled = worker->has_ended;
	if (job->is_canceled)
		return 0;
	r = host->impl->produce(&worker->context, host->shared, worker->own, &job->cut);
	if (r == -ECANCELED && sl_is_stopping(&worker->context)) {
		job->is_canceled = true;
		sl_writer_reset(&worker->writers[0]);
		return 0;
	}
	if (r < 0)
		return r;
	job->is_end = r == SL_END;
	worker->has_ended = job->is_end;
	job->consumed = worker->writers[0].count;
	head.id = (struct batch_id){
		.run = host->run,
		.origin = job->cut.origin,
		.start = job->cut.start,
		.end = job->cut.end,
	};
	head.origin_done = job->cut.origin_done;
	(void)page_add(host->page->records_in, job->consumed + worker->context.dead);
	return make_outputs(worker, job, &head);
}

static int transform_records(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	const struct sl_batch *in = job->delivery->batch;

	for (uint32_t i = 0; i < in->head.count; i++) {
		int r = host->impl->transform(&worker->context, host->shared, worker->own,
			sl_batch_record(in, i), worker->outputs);

		if (r < 0)
			return r;
		for (uint32_t p = 0; p < host->stage->port_count; p++)
			sl_record_abandon(&worker->writers[p]);
		job->consumed += r == 0;
		(void)page_add(worker->context.slot->calls, 1);
	}
	return 0;
}

static int run_transform(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	const struct sl_batch *in = job->delivery->batch;
	int64_t consumed = 0;
	int r;

	if (host->impl->transform) {
		r = transform_records(worker, job);
		if (r < 0)
			return r;
	} else if (in->head.count > 0) {
		consumed = host->impl->transform_batch(
			&worker->context, host->shared, worker->own, in, worker->outputs);
		if (consumed < 0)
			return (int)consumed;
		job->consumed = (uint64_t)consumed;
	}
	return make_outputs(worker, job, &in->head);
}

static int run_sink(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	const struct sl_batch *in = job->delivery->batch;
	int64_t consumed = 0;

	if (in->head.count > 0)
		consumed = host->impl->write(&worker->context, host->shared, worker->own, in);
	if (consumed < 0)
		return (int)consumed;
	job->consumed = (uint64_t)consumed;
	return 0;
}

static int commit(struct worker *worker)
{
	struct host *host = worker->crew->host;
	int r = 0;

	if (!worker->uncommitted)
		return 0;
	slot_enter(worker);
	if (host->impl->commit)
		r = host->impl->commit(&worker->context, host->shared, worker->own);
	slot_leave(worker);
	if (r < 0)
		return r;
	post_done(worker->crew, worker->uncommitted, worker->uncommitted_tail);
	worker->uncommitted = NULL;
	worker->uncommitted_tail = &worker->uncommitted;
	worker->uncommitted_bytes = 0;
	return 0;
}

static int keep_uncommitted(struct worker *worker, struct job *job)
{
	if (!worker->uncommitted)
		worker->commit_at = clock_now() + COMMIT_INTERVAL;
	job->next = NULL;
	*worker->uncommitted_tail = job;
	worker->uncommitted_tail = &job->next;
	worker->uncommitted_bytes += job->bytes;
	if (worker->uncommitted_bytes >= COMMIT_BYTES || clock_now() >= worker->commit_at)
		return commit(worker);
	return 0;
}

/* --- the loop ----------------------------------------------------------------------------------- */

static int run_role(struct worker *worker, struct job *job)
{
	switch (worker->crew->host->impl->role) {
	case SL_SOURCE:
		return run_source(worker, job);
	case SL_TRANSFORM:
		return run_transform(worker, job);
	default:
		return run_sink(worker, job);
	}
}

static int run_job(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	int64_t begin = clock_now();
	int r = 0;

	worker->context.dead = 0;
	if (job->delivery) {
		r = batch_check(job->delivery->batch);
		(void)page_add(host->page->records_in, job->delivery->batch->head.count);
		(void)page_add(host->page->batches_in, 1);
	}
	if (r < 0) {
		job->is_refused = true;
		post_done(worker->crew, job, &job->next);
		return 0;
	}
	slot_enter(worker);
	r = run_role(worker, job);
	slot_leave(worker);
	job->dead = worker->context.dead;
	job->work_ns = clock_now() - begin;
	if (page_get(host->page->first_record_ns) == 0)
		page_set(host->page->first_record_ns, clock_now());
	if (r == 0 && worker->context.must_stop)
		r = -EINVAL;
	if (r < 0 || host->impl->role == SL_SINK)
		return r < 0 ? r : keep_uncommitted(worker, job);
	post_done(worker->crew, job, &job->next);
	return 0;
}

/* The next job; NULL: the end. A sink that finds nothing at hand is told by *ret_idle instead. */
static struct job *next_job(struct worker *worker, bool *ret_idle)
{
	struct crew *crew = worker->crew;
	struct job *job;

	*ret_idle = false;
	(void)pthread_mutex_lock(&crew->lock);
	while (!crew->todo.head && !crew->is_finishing && !worker->uncommitted)
		(void)pthread_cond_wait(&crew->wake, &crew->lock);
	job = crew->todo.head;
	if (job) {
		crew->todo.head = job->next;
		if (!crew->todo.head)
			crew->todo.tail = &crew->todo.head;
		job->next = NULL;
		job->next_begun = NULL;
		*crew->begun.tail = job;
		crew->begun.tail = &job->next_begun;
	} else if (!crew->is_finishing || worker->uncommitted) {
		*ret_idle = true;
	}
	(void)pthread_mutex_unlock(&crew->lock);
	if (job)
		wake_pump(crew);
	return job;
}

static int work(struct worker *worker)
{
	for (;;) {
		bool is_idle;
		struct job *job = next_job(worker, &is_idle);
		int r;

		if (!job && !is_idle)
			return 0;
		r = job ? run_job(worker, job) : commit(worker);
		if (r < 0)
			return r;
	}
}

static int begin(struct worker *worker)
{
	struct host *host = worker->crew->host;
	int r = 0;

	if (host->impl->start)
		r = host->impl->start(&worker->context, host->shared, worker->own);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&worker->crew->lock);
	worker->crew->started++;
	(void)pthread_mutex_unlock(&worker->crew->lock);
	wake_pump(worker->crew);
	return 0;
}

static int end(struct worker *worker)
{
	struct crew *crew = worker->crew;
	struct host *host = crew->host;
	int r = 0;

	slot_enter(worker);
	if (host->impl->finish)
		r = host->impl->finish(
			&worker->context, host->shared, worker->own, crew->is_complete);
	if (r == 0 && host->impl->stop)
		host->impl->stop(&worker->context, host->shared, worker->own);
	slot_leave(worker);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&crew->lock);
	crew->stopped++;
	(void)pthread_mutex_unlock(&crew->lock);
	wake_pump(crew);
	return 0;
}

static void *worker_main(void *user)
{
	struct worker *worker = user;
	int r = begin(worker);

	if (r == 0)
		r = work(worker);
	if (r == 0)
		r = end(worker);
	if (r < 0)
		fail(worker, r);
	return NULL;
}

int worker_start(struct worker *worker, struct crew *crew, uint32_t index)
{
	struct host *host = crew->host;
	uint32_t ports = host->stage->port_count;
	char name[16];
	int r;

	worker->crew = crew;
	worker->uncommitted_tail = &worker->uncommitted;
	context_init(&worker->context, host, &host->page->workers[index % PAGE_WORKERS_MAX]);
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
	(void)snprintf(name, sizeof(name), "worker %u", index);
	(void)pthread_setname_np(worker->thread, name);
	return 0;
}

void worker_join(struct worker *worker)
{
	(void)pthread_join(worker->thread, NULL);
	for (uint32_t i = 0; i < worker->crew->host->stage->port_count; i++)
		sl_writer_fini(&worker->writers[i]);
	free(worker->writers);
	free(worker->outputs);
	free(worker->own);
}
