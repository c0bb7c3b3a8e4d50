/* SPDX-License-Identifier: MIT */
/* See segment.h. */
#include "engine/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "engine/attempt.h"
#include "engine/output.h"
#include "engine/quarantine.h"

struct segment *segment_new(const struct host *host, struct job *job, uint32_t first)
{
	uint32_t ports = host->stage->port_count;
	struct segment *segment = calloc(
		1, sizeof(*segment) + ports * (sizeof(struct lane) + sizeof(struct sl_writer *)));

	if (!segment)
		return NULL;
	segment->job = job;
	segment->first = first;
	segment->out = (struct sl_writer **)&segment->lanes[ports];
	for (uint32_t i = 0; i < ports; i++)
		segment->out[i] = &segment->lanes[i].writer;
	return segment;
}

void segment_free(const struct host *host, struct segment *segment)
{
	for (uint32_t i = 0; i < host->stage->port_count; i++)
		sl_writer_fini(&segment->lanes[i].writer);
	free(segment);
}

/* Which record it is: into the slot. */
static void note(struct callback *callback, const struct segment *segment)
{
	callback->kind = segment->job->is_apart ? PAGE_WORK_ALONE : PAGE_WORK_RECORD;
	if (segment->count == 0)
		quarantine_note(callback);
	else
		quarantine_note_record(callback);
}

static int refuse_poison(struct callback *callback, const struct quarantine *quarantine)
{
	const struct quarantine_record *poison = quarantine_poison(quarantine, callback->index);

	if (!poison)
		return 0;
	quarantine_reject(callback, poison, sl_batch_record(callback->batch, callback->index));
	return SL_REJECTED;
}

int segment_run(struct host *host, struct segment *segment, struct sl_context *ctx, void *worker)
{
	const struct sl_batch *batch = segment->job->delivery->batch;
	const struct quarantine *quarantine = segment->job->quarantine;
	struct callback *callback = ctx->user;
	uint64_t dead = callback->dead;
	int r = 0;
	int kept;

	callback->batch = batch;
	callback->index = segment->first + segment->count;
	callback->attempts = 1;
	note(callback, segment);
	if (batch->head.again && host->stage->on_error == GRAPH_ON_ERROR_DEAD_LETTER) {
		r = callback_is_dead(callback);
		callback->dead += r > 0;
	}
	if (r == 0 && quarantine)
		r = refuse_poison(callback, quarantine);
	if (r == 0) {
		r = attempt_record(
			host, ctx, worker, segment, sl_batch_record(batch, callback->index));
		task_check_left_by(ctx, "transform");
	}
	if (r < 0) {
		quarantine_note_end(callback, r);
		return r;
	}
	kept = callback_keep_owed(callback, ctx);
	if (kept < 0)
		return kept;
	segment->count++;
	segment->consumed += r == 0;
	segment->dead += callback->dead - dead;
	return 0;
}

/* --- putting together --------------------------------------------------------------------------- */

static int by_first(const struct segment *a, const struct segment *b)
{
	return a->first < b->first ? -1 : a->first > b->first;
}

static int append(struct sl_writer *to, struct sl_writer *from)
{
	char *at;

	/* Two that are empty have no memory, and need none. */
	if (from->mark == 0)
		return 0;
	at = sl_writer_reserve(to, from->mark);
	if (!at)
		return -ENOMEM;
	memcpy(at, from->data, from->mark);
	to->size += from->mark;
	to->mark = to->size;
	to->count += from->count;
	return 0;
}

static int join(const struct host *host, struct segment *whole, struct segment *rest)
{
	int r = 0;

	for (uint32_t i = 0; i < host->stage->port_count && r == 0; i++)
		r = append(whole->out[i], rest->out[i]);
	whole->consumed += rest->consumed;
	whole->dead += rest->dead;
	return r;
}

static int finish_job(struct host *host, struct job *job)
{
	struct segment *whole, *rest, *next;
	int r = 0;

	LL_SORT(job->segments, by_first);
	whole = job->segments;
	for (rest = whole->next; rest; rest = next) {
		next = rest->next;
		if (r == 0)
			r = join(host, whole, rest);
		segment_free(host, rest);
	}
	job->segments = NULL;
	job->consumed = whole->consumed;
	job->dead = whole->dead;
	if (r == 0)
		r = output_make_all(host, job, &job->delivery->batch->head, whole->out);
	segment_free(host, whole);
	return r;
}

/* A suspected record has gone through. Under the lock. */
static void end_apart(struct crew *crew, const struct segment *segment, bool is_last)
{
	struct job *job = segment->job;

	quarantine_clear(crew->host, &job->delivery->batch->head.id, segment->first, false);
	job->is_apart = false;
	if (is_last)
		return;
	crew_put_back(crew, job);
	crew_rouse(crew);
}

int segment_end(struct crew *crew, struct segment *segment, int64_t work_ns)
{
	struct job *job = segment->job;
	bool is_last;
	int r;

	(void)pthread_mutex_lock(&crew->lock);
	LL_PREPEND(job->segments, segment);
	job->left -= segment->count;
	job->work_ns += work_ns;
	is_last = job->left == 0;
	if (job->is_apart)
		end_apart(crew, segment, is_last);
	(void)pthread_mutex_unlock(&crew->lock);
	if (!is_last)
		return 0;
	r = finish_job(crew->host, job);
	return r < 0 ? r : 1;
}
