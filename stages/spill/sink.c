/* SPDX-License-Identifier: MIT */
/*
 * Sink "spill": STAGE~in. Batches are collected in memory and written at the commit (into.h), which waits for room in the store; with `drops` what
 * does not fit is given up as it comes. Nothing else makes anything lasting.
 */
#include <sluice/stage.h>

#include "into.h"

#define SAY_DROPPED SL_SECOND

struct worker {
	struct into into;
	uint64_t dropped;
	int64_t drop_said; /* not again before */
};

/* --- beginning and end -------------------------------------------------------------------------- */

static int spill_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	return into_open(ctx, shared, &w->into);
}

static void spill_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	into_close(&w->into);
}

/* --- dropping ----------------------------------------------------------------------------------- */

/* 1: there is room; 0: there is none; negative errno. */
static int has_room(struct sl_context *ctx, struct into *into, size_t size)
{
	int r;

	if (!spill_has_disk(ctx, &into->store, into->group.size + size))
		return 0;
	if (into_fits(into, into->state.bytes + into->group.size, size))
		return 1;
	r = spill_look(ctx, &into->store, &into->state);
	return r < 0 ? r : into_fits(into, into->state.bytes + into->group.size, size);
}

static void say_dropped(struct sl_context *ctx, struct worker *w, bool is_end)
{
	int64_t now = sl_now();

	if (w->dropped == 0 || (now < w->drop_said && !is_end))
		return;
	sl_log_about(ctx, SL_ABOUT_DROPPED, SL_LOG_WARNING,
		"%llu records dropped: %s holds `spill_max`, or the disk is full",
		(unsigned long long)w->dropped, w->into.store.path);
	w->dropped = 0;
	w->drop_said = now + SAY_DROPPED;
}

/* --- batches ------------------------------------------------------------------------------------ */

/* Its name is kept all the same: given again it must not be there. */
static int drop(
	struct sl_context *ctx, struct worker *w, const struct sl_identity *id, uint32_t count)
{
	int r = group_add(&w->into.group,
		&(struct group_batch){ .id = *id, .count = count, .dead = count }, NULL);

	if (r < 0)
		return r;
	sl_drop(ctx, count);
	w->dropped += count;
	say_dropped(ctx, w, false);
	return 0;
}

static int64_t spill_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	const struct spill *o = shared;
	struct worker *w = worker;
	struct sl_identity id = sl_batch_identity(in);
	uint32_t count = sl_batch_count(in);
	struct sl_value first = sl_batch_record(in, 0), last = sl_batch_record(in, count - 1);
	size_t size = (size_t)(last.data + last.size - first.data);
	uint64_t dead = 0;
	int r = into_had(ctx, &w->into, &id, &dead);

	if (r > 0) {
		sl_rejected_before(ctx, dead > 0 ? count : 0);
		return dead > 0 ? 0 : (int64_t)count;
	}
	if (r == 0)
		r = o->drops ? has_room(ctx, &w->into, size) : 1;
	if (r < 0)
		return r;
	if (r == 0)
		return drop(ctx, w, &id, count);
	r = group_add(&w->into.group,
		&(struct group_batch){ .id = id, .count = count, .size = size }, first.data);
	return r < 0 ? r : (int64_t)count;
}

static int spill_commit(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)shared;
	say_dropped(ctx, w, false);
	return into_flush(ctx, &w->into);
}

static int spill_finish(struct sl_context *ctx, void *shared, void *worker, bool complete)
{
	struct worker *w = worker;

	(void)shared;
	say_dropped(ctx, w, true);
	return complete ? into_end(ctx, &w->into) : 0;
}

static int spill_sync(struct sl_context *ctx, const void *shared)
{
	return into_sync(ctx, shared);
}

static int spill_known(struct sl_context *ctx, const void *shared, sl_known_fn *tell, void *user)
{
	return into_known(ctx, shared, tell, user);
}

const struct sl_stage sl_stage_sink_spill = {
	.abi = SL_ABI,
	.name = "spill",
	.role = SL_SINK,
	.summary = "batches into the store before a stage, or behind a source",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct spill),
	.worker_size = sizeof(struct worker),
	.start = spill_start,
	.write = spill_write,
	.commit = spill_commit,
	.finish = spill_finish,
	.stop = spill_stop,
	.sync = spill_sync,
	.known = spill_known,
	.options = spill_options,
};
