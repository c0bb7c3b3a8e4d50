/* SPDX-License-Identifier: MIT */
/*
 * See worker_room.h. A source makes a cut, or makes one again to the byte; a transform's output is cut as its input was; a sink's jobs are handed
 * back after the commit that covers them: when the group is large, has waited long enough, or nothing more is at hand.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "engine/alone.h"
#include "engine/attempt.h"
#include "engine/output.h"
#include "engine/worker_room.h"

#define COMMIT_INTERVAL (50 * NSEC_PER_MSEC)
#define COMMIT_BYTES (4u << 20)

static int cannot_repeat(struct worker *worker, const struct job *job)
{
	struct callback *callback = &worker->callback;

	callback->must_stop = true;
	return sl_error(&callback->context, -ESTALE,
		"%s%swhat was read and not settled when the last process ended cannot be read "
		"again as it was: it was moved, changed or removed; bring it back, or begin anew "
		"with --from-start",
		job->cut.name ? job->cut.name : "", job->cut.name ? ": " : "");
}

static void take_back(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->crew->host->stage->port_count; i++)
		sl_writer_reset(&worker->writers[i]);
}

/* A cut that a predecessor made, or that an origin before it has come to its end. */
static int cut_again(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	struct callback *callback = &worker->callback;
	const struct cut *cut = &job->repeat.cut;
	int r;

	do {
		job->cut.origin = cut->origin;
		job->cut.until = cut->end;
		r = host->impl->produce(&callback->context, host->shared, worker->own, &job->cut);
	} while (r == SL_MORE && job->cut.start == job->cut.end);
	if (r < 0)
		return r;
	if (job->cut.origin != cut->origin || job->cut.start != cut->start ||
		job->cut.end != cut->end)
		return cannot_repeat(worker, job);
	/* What is settled leaves its place only. */
	if (job->repeat.is_settled)
		take_back(worker);
	return r;
}

/* A source that was cancelled may wait again in its last callbacks. */
void worker_forget_cancel(void)
{
	struct loop *loop = loop_of_thread();

	if (loop)
		loop->root.is_canceled = false;
}

static bool is_held(const struct worker *worker)
{
	const struct host *host = worker->crew->host;

	return atomic_load(&host->stopping) || atomic_load(&host->pausing);
}

/* A pause that cancelled a wait is over, or the cut was begun in it. */
static void forget_pause(const struct worker *worker)
{
	if (!atomic_load(&worker->crew->host->stopping))
		worker_forget_cancel();
}

/* It gives what it has, and waits for nothing. */
static bool drains(const struct worker *worker, const struct job *job)
{
	struct loop *loop = loop_of_thread();

	if (!(worker->crew->host->impl->flags & SL_TAKES_OVER) || job->is_repeat ||
		!is_held(worker))
		return false;
	if (loop)
		task_cancel(&loop->root);
	return true;
}

static int produce(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	int r = 0;

	job->cut = (struct sl_cut){
		.out = &worker->writers[0],
		.outs = worker->outputs,
		.want = job->want,
		.size_max = job->size_max,
	};
	worker->callback.cut = &job->cut;
	worker->callback.repeat = job->is_repeat ? &job->repeat : NULL;
	if (!drains(worker, job)) {
		forget_pause(worker);
		r = attempt_rate(host, &worker->callback.context, worker->owed);
		worker->owed = 0;
	}
	if (r < 0)
		return r;
	return job->is_repeat ? cut_again(worker, job)
			      : host->impl->produce(&worker->callback.context, host->shared,
					worker->own, &job->cut);
}

/* Has it read all that it may? */
static bool count_read(struct worker *worker, uint64_t count)
{
	if (worker->left != UINT64_MAX)
		worker->left -= count < worker->left ? count : worker->left;
	return worker->left == 0;
}

static int run_source(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	struct batch_head head = { 0 };
	int r;

	if (worker->has_ended && job->is_repeat)
		return cannot_repeat(worker, job);
	/* One that was handed out before a pause and would be begun in it could wait for long; but for a source that gives what it has, and does not wait. */
	job->is_canceled = worker->has_ended || (atomic_load(&host->pausing) && !job->is_repeat &&
							!(host->impl->flags & SL_TAKES_OVER));
	if (job->is_canceled)
		return 0;
	if (job->want > worker->left)
		job->want = (uint32_t)worker->left;
	r = produce(worker, job);
	if (r == -ECANCELED && is_held(worker)) {
		job->is_canceled = true;
		take_back(worker);
		return 0;
	}
	if (r < 0)
		return r;
	job->consumed = 0;
	for (uint32_t i = 0; i < host->stage->port_count; i++)
		job->consumed += worker->writers[i].count;
	job->is_end = r == SL_END || count_read(worker, job->consumed + worker->callback.dead);
	worker->has_ended = job->is_end;
	worker->owed = (uint32_t)job->consumed;
	head.id = (struct batch_id){
		.run = host->run,
		.origin = host_origin(host, job->cut.origin),
		.start = job->cut.start,
		.end = job->cut.end,
	};
	head.origin_done = job->cut.origin_done;
	head.again = job->is_repeat;
	if (host->keeper && job->cut.name)
		job->origin_name = strdup(job->cut.name);
	(void)page_add(host->page->records_in, job->consumed + worker->callback.dead);
	return output_make_all(host, job, &head, worker->outputs);
}

/* A stage that takes whole batches. */
static int run_transform(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	const struct sl_batch *in = job->delivery->batch;
	int64_t consumed = 0;
	int r = attempt_rate(host, &worker->callback.context, in->head.count);

	if (r == 0 && in->head.count > 0 && job->quarantine)
		consumed = alone_transform(worker, job);
	else if (r == 0 && in->head.count > 0)
		consumed = host->impl->transform_batch(
			&worker->callback.context, host->shared, worker->own, in, worker->outputs);
	if (r < 0 || consumed < 0)
		return r < 0 ? r : (int)consumed;
	job->consumed = (uint64_t)consumed;
	return output_make_all(host, job, &in->head, worker->outputs);
}

static int run_sink(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	const struct sl_batch *in = job->delivery->batch;
	int64_t consumed = 0;
	int r = attempt_rate(host, &worker->callback.context, in->head.count);

	if (r == 0 && in->head.count > 0 && job->quarantine)
		consumed = alone_write(worker, job);
	else if (r == 0 && in->head.count > 0)
		consumed =
			host->impl->write(&worker->callback.context, host->shared, worker->own, in);
	if (r < 0 || consumed < 0)
		return r < 0 ? r : (int)consumed;
	job->consumed = (uint64_t)consumed;
	return 0;
}

static int tick(struct worker *worker)
{
	struct host *host = worker->crew->host;
	int r = 0;

	worker_slot_enter(worker);
	if (host->impl->tick)
		r = host->impl->tick(&worker->callback.context, host->shared, worker->own);
	task_check_left_by(&worker->callback.context, "tick");
	worker_slot_leave(worker);
	return r;
}

int worker_commit(struct worker *worker)
{
	struct host *host = worker->crew->host;
	int64_t begin = clock_now();
	int r = 0;

	if (!worker->uncommitted)
		return tick(worker);
	worker_slot_enter(worker);
	if (host->impl->commit)
		r = host->impl->commit(&worker->callback.context, host->shared, worker->own);
	task_check_left_by(&worker->callback.context, "commit");
	worker_slot_leave(worker);
	(void)page_add(worker->slot->in_calls_ns, clock_now() - begin);
	if (r == 0 && worker->callback.memory)
		r = memory_keep(&worker->callback, worker->uncommitted);
	if (r < 0)
		return r;
	worker_done(worker->crew, worker->uncommitted, worker->uncommitted_tail);
	worker->uncommitted = NULL;
	worker->uncommitted_tail = &worker->uncommitted;
	worker->uncommitted_bytes = 0;
	return 0;
}

int worker_keep_uncommitted(struct worker *worker, struct job *job)
{
	if (!worker->uncommitted)
		worker->commit_at = clock_now() + COMMIT_INTERVAL;
	job->next_in_list = NULL;
	*worker->uncommitted_tail = job;
	worker->uncommitted_tail = &job->next_in_list;
	worker->uncommitted_bytes += job->bytes;
	if (worker->uncommitted_bytes >= COMMIT_BYTES || clock_now() >= worker->commit_at)
		return worker_commit(worker);
	return 0;
}

int worker_run_role(struct worker *worker, struct job *job)
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
