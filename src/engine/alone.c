/* SPDX-License-Identifier: MIT */
/* See alone.h. */
#include "engine/alone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/quarantine.h"

/* Some records of a batch, as a batch. */
struct part {
	struct sl_batch *batch;
	uint32_t *places; /* of its records in the whole one */
};

static int64_t give(struct worker *worker, const struct sl_batch *in)
{
	struct host *host = worker->crew->host;
	struct sl_context *ctx = &worker->callback.context;

	if (host->impl->role == SL_SINK)
		return host->impl->write(ctx, host->shared, worker->own, in);
	return host->impl->transform_batch(ctx, host->shared, worker->own, in, worker->outputs);
}

static int64_t give_part(
	struct worker *worker, const struct sl_batch *in, const uint32_t *places, uint32_t kind)
{
	struct callback *callback = &worker->callback;
	int64_t consumed;

	callback->part = in;
	callback->places = places;
	callback->index = places[0];
	callback->kind = kind;
	callback->attempts = 1;
	quarantine_note(callback);
	(void)page_add(worker->slot->calls, 1);
	consumed = give(worker, in);
	quarantine_note_end(callback, consumed);
	quarantine_note_none(callback);
	callback->part = NULL;
	callback->places = NULL;
	return consumed;
}

/* --- without those that are poison ---------------------------------------------------------------- */

static int part_fill(
	const struct job *job, struct sl_writer *w, struct callback *callback, struct part *part)
{
	const struct sl_batch *whole = job->delivery->batch;
	uint32_t count = 0;

	for (uint32_t i = 0; i < whole->head.count; i++) {
		const struct quarantine_record *poison = quarantine_poison(job->quarantine, i);
		int r = 0;

		callback->index = i;
		if (poison) {
			quarantine_reject(callback, poison, sl_batch_record(whole, i));
			continue;
		}
		part->places[count++] = i;
		sl_put_value(w, sl_batch_record(whole, i));
		r = sl_record_done(w);
		if (r < 0)
			return r;
	}
	part->batch = batch_from_writer(w, &whole->head);
	return part->batch ? batch_check(part->batch) : -ENOMEM;
}

static int64_t give_rest(struct worker *worker, struct job *job)
{
	struct part part = { 0 };
	struct sl_writer w;
	int64_t consumed;

	part.places = calloc(job->delivery->batch->head.count, sizeof(*part.places));
	if (!part.places)
		return -ENOMEM;
	sl_writer_init(&w);
	consumed = part_fill(job, &w, &worker->callback, &part);
	sl_writer_fini(&w);
	if (consumed == 0 && part.batch->head.count > 0)
		consumed = give_part(worker, part.batch, part.places, PAGE_WORK_BATCH);
	batch_unref(part.batch);
	free(part.places);
	return consumed;
}

/* --- one by one --------------------------------------------------------------------------------- */

/* Borrows the record, and lives as long as this call. */
static int64_t give_one(struct worker *worker, const struct sl_batch *whole, uint32_t index)
{
	struct sl_value record = sl_batch_record(whole, index);
	uint32_t offsets[2] = { 0, (uint32_t)record.size };
	struct sl_batch one = {
		.head = whole->head, .data = record.data, .size = record.size, .index = offsets
	};
	char step[32];

	one.head.count = 1;
	if (worker->crew->host->impl->role == SL_SINK) {
		(void)snprintf(step, sizeof(step), "alone %u", index);
		one.head.id.path = batch_path(whole->head.id.path, step);
	}
	return give_part(worker, &one, &index, PAGE_WORK_ALONE);
}

static int64_t give_each(struct worker *worker, struct job *job)
{
	const struct sl_batch *whole = job->delivery->batch;
	int64_t all = 0;

	for (uint32_t i = 0; i < whole->head.count && !worker->callback.must_stop; i++) {
		const struct quarantine_record *poison = quarantine_poison(job->quarantine, i);
		int64_t one = 0;

		if (poison) {
			worker->callback.index = i;
			quarantine_reject(&worker->callback, poison, sl_batch_record(whole, i));
		} else {
			one = give_one(worker, whole, i);
		}
		if (one < 0)
			return one;
		all += one;
	}
	return all;
}

int64_t alone_transform(struct worker *worker, struct job *job)
{
	return job->quarantine->is_suspected ? give_each(worker, job) : give_rest(worker, job);
}

int64_t alone_write(struct worker *worker, struct job *job)
{
	struct host *host = worker->crew->host;
	int64_t consumed;

	if (!job->quarantine->is_suspected)
		return give_rest(worker, job);
	consumed = give_each(worker, job);
	if (consumed < 0 || worker->callback.must_stop)
		return consumed < 0 ? consumed : -EINVAL;
	quarantine_clear(host, &job->delivery->batch->head.id, PAGE_ANY_RECORD, true);
	return err_set(&worker->callback.err, -EAGAIN,
		"a batch that ended a process before was written a record at a time, and none of "
		"them did it: it is taken back, to be written as a whole");
}
