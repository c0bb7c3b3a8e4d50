/* SPDX-License-Identifier: MIT */
/* See sink.h. */
#include "sink.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"

#define SAY_LATE SL_SECOND
#define GIVE_SIZE (8u << 20) /* bytes of results in one transaction at the end */

/* --- state in the store ------------------------------------------------------------------------- */

static int load(struct sl_context *ctx, void *user, int64_t n, const void *bytes, size_t size)
{
	struct aggregator *a = user;
	uint64_t layout;

	if (n != KEEP_HEAD && a->is_foreign)
		return sl_error(ctx, -EPROTO,
			"%s holds groups that were counted with other options (`by`, `set`, "
			"`time`, "
			"`processes` or the windows): write those again until the run has ended, "
			"or begin anew with --from-start",
			a->keep.into.store.path);
	if (n != KEEP_HEAD)
		return groups_load(&a->groups, n, bytes, size);
	if (size < sizeof(layout))
		return -EBADMSG;
	memcpy(&layout, bytes, sizeof(layout));
	a->is_foreign = layout != a->spec.layout;
	return a->is_foreign ? 0
			     : marks_load(&a->marks, (const char *)bytes + sizeof(layout),
				       size - sizeof(layout), sl_now());
}

static int save(struct sl_context *ctx, void *user, struct keep *keep)
{
	struct aggregator *a = user;
	int r;

	sl_writer_reset(&a->head);
	bytes_put(&a->head, &a->spec.layout, sizeof(a->spec.layout));
	marks_save(&a->marks, &a->head);
	if (a->head.error)
		return -ENOMEM;
	r = keep_put(ctx, keep, KEEP_HEAD, a->head.data, a->head.size);
	return r == 0 ? groups_save(ctx, &a->groups, keep, a->is_over) : r;
}

static const struct keep_stage state = { .load = load, .save = save };

static int commit(struct sl_context *ctx, struct aggregator *a)
{
	int r = keep_commit(ctx, &a->keep);

	if (r == 0)
		groups_saved(&a->groups);
	return r;
}

/* --- beginning and end -------------------------------------------------------------------------- */

int aggregate_prepare(struct sl_context *ctx, const struct aggregate *options,
	const struct spec *spec, struct conditions *expressions)
{
	*expressions = (struct conditions){
		.option = "set",
		.names = spec->names,
		.count = spec->expression_count,
		.takes_any = true,
		.timeout_ns = options->timeout_ns,
	};
	return spec->expression_count > 0 ? conditions_open(expressions, ctx, spec->expressions)
					  : 0;
}

static int start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct aggregate *o = shared;
	struct aggregator *a = worker;
	int r = spec_read(ctx, o, &a->spec);

	a->spec.layout += sl_process_count(ctx);
	a->options = o;
	a->marks = (struct marks){ .wanted = o->inputs,
		.lateness = a->spec.lateness,
		.idle = o->idle,
		.begun = sl_now(),
		.mark = MOMENT_NONE,
		.latest = MOMENT_NONE };
	sl_writer_init(&a->key);
	sl_writer_init(&a->values);
	sl_writer_init(&a->head);
	groups_init(&a->groups, &a->spec);
	if (r == 0)
		r = aggregate_prepare(ctx, o, &a->spec, &a->expressions);
	if (r == 0)
		r = keep_open(ctx, &o->store, &state, a, &a->keep);
	if (r == 0)
		groups_saved(&a->groups);
	return r;
}

static void stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct aggregator *a = worker;

	(void)ctx;
	(void)shared;
	keep_close(&a->keep);
	groups_fini(&a->groups);
	marks_fini(&a->marks);
	if (a->expressions.box.db)
		conditions_close(&a->expressions);
	spec_free(&a->spec);
	sl_writer_fini(&a->key);
	sl_writer_fini(&a->values);
	sl_writer_fini(&a->head);
}

/* --- callbacks ---------------------------------------------------------------------------------- */

/* Without `time` a record is of when it comes, and time goes on without records. */
static int look_at_clock(struct aggregator *a)
{
	int64_t now = moment_now();

	if (a->spec.size == 0)
		return 0;
	if (a->spec.time >= 0)
		marks_look(&a->marks, sl_now());
	else if (now > a->marks.mark)
		a->marks.mark = now;
	return result_close(a);
}

static int64_t write_batch(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	struct aggregator *a = worker;
	int64_t rejected, consumed;
	int r = keep_had(ctx, &a->keep, in, &consumed);

	(void)shared;
	if (r != 0)
		return r > 0 ? consumed : r;
	r = look_at_clock(a);
	if (r < 0)
		return r;
	rejected = aggregate_count(ctx, a, in);
	if (rejected < 0)
		return rejected;
	r = keep_name(&a->keep, in, (uint32_t)rejected);
	return r < 0 ? r : (int64_t)sl_batch_count(in) - rejected;
}

static void say_late(struct sl_context *ctx, struct aggregator *a, bool is_end)
{
	static const char *const fates[] = { "they are dead letters", "they were dropped",
		"they went to the output `late`" };
	int64_t now = sl_now();

	if (a->late == 0 || (now < a->late_said && !is_end))
		return;
	sl_log(ctx, SL_LOG_WARNING, "%llu records came too late for their windows: %s",
		(unsigned long long)a->late, fates[a->options->late]);
	a->late = 0;
	a->late_said = now + SAY_LATE;
}

static int commit_batches(struct sl_context *ctx, void *shared, void *worker)
{
	struct aggregator *a = worker;

	(void)shared;
	say_late(ctx, a, false);
	return commit(ctx, a);
}

static int tick(struct sl_context *ctx, void *shared, void *worker)
{
	struct aggregator *a = worker;
	int r = look_at_clock(a);

	(void)shared;
	return r == 0 && (a->keep.out.count > 0 || a->keep.into.group.count > 0) ? commit(ctx, a)
										 : r;
}

/* Each transaction has some results, and how far they are: so there is no memory for all of them, and none is given twice. */
static int give_all(struct sl_context *ctx, struct aggregator *a)
{
	int r = 0;

	while (r >= 0 && a->groups.count > 0) {
		r = result_give(a, GIVE_SIZE);
		if (r == 0)
			r = groups_close_first(&a->groups);
		else if (r > 0)
			r = commit(ctx, a);
	}
	a->is_over = true;
	a->marks.mark = MOMENT_NONE;
	a->marks.latest = MOMENT_NONE;
	marks_fini(&a->marks);
	return r < 0 ? r : commit(ctx, a);
}

static int finish(struct sl_context *ctx, void *shared, void *worker, bool complete)
{
	struct aggregator *a = worker;
	int r;

	(void)shared;
	say_late(ctx, a, true);
	if (!complete)
		return 0;
	r = give_all(ctx, a);
	return r == 0 ? into_end(ctx, &a->keep.into) : r;
}

static int sync_store(struct sl_context *ctx, const void *shared)
{
	return into_sync(ctx, &((const struct aggregate *)shared)->store);
}

static int tell_known(struct sl_context *ctx, const void *shared, sl_known_fn *tell, void *user)
{
	return into_known(ctx, &((const struct aggregate *)shared)->store, tell, user);
}

extern const struct sl_option aggregate_options[];

const struct sl_stage sl_stage_sink_aggregate = {
	.abi = SL_ABI,
	.name = "aggregate",
	.role = SL_SINK,
	.summary = "groups of records, in a store",
	.flags = SL_ONE_THREAD | SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct aggregate),
	.worker_size = sizeof(struct aggregator),
	.start = start,
	.write = write_batch,
	.commit = commit_batches,
	.tick = tick,
	.finish = finish,
	.stop = stop,
	.sync = sync_store,
	.known = tell_known,
	.options = aggregate_options,
};
