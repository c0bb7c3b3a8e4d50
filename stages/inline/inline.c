/* SPDX-License-Identifier: MIT */
/* Source "inline": the records stand in the config. A position is the index of a record. */
#include <sluice/stage.h>

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct shared {
	struct sl_value records;
};

struct worker {
	struct sl_cursor cursor;
	uint32_t total;
	uint64_t position;
	uint64_t origin;
	bool has_begun;
};

static int inline_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *options = shared;
	struct worker *w = worker;

	w->cursor = sl_walk(options->records);
	w->total = sl_count(options->records);
	w->origin = XXH3_64bits_withSeed(sl_stage_name(ctx), strlen(sl_stage_name(ctx)), 1);
	return 0;
}

static void go_on(struct sl_context *ctx, struct worker *w)
{
	struct sl_value key, record;
	struct sl_place place;

	w->has_begun = true;
	if (!sl_checkpoint(ctx, w->origin, &place))
		return;
	while (w->position < place.position && sl_next(&w->cursor, &key, &record))
		w->position++;
}

static int inline_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	struct worker *w = worker;
	struct sl_value key, record;
	uint64_t until;

	(void)shared;
	if (!w->has_begun)
		go_on(ctx, w);
	cut->origin = w->origin;
	cut->start = w->position;
	until = cut->until ? cut->until : sl_bound(ctx, w->origin, w->position);
	for (uint32_t i = 0;
		i < cut->want && cut->out->size < cut->size_max &&
		(until == 0 || w->position < until) && sl_next(&w->cursor, &key, &record);
		i++) {
		sl_put_value(cut->out, record);
		int r = sl_record_done(cut->out);

		if (r < 0)
			return r;
		w->position++;
	}
	cut->end = w->position;
	cut->origin_done = w->cursor.left == 0;
	sl_progress(ctx, w->position, w->total, "records");
	return cut->origin_done ? SL_END : SL_MORE;
}

static const struct sl_option options[];

const struct sl_stage sl_stage_source_inline = {
	.abi = SL_ABI,
	.name = "inline",
	.role = SL_SOURCE,
	.summary = "records that stand in the config",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.start = inline_start,
	.produce = inline_produce,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("records", VALUES, struct shared, records), .required = true,
	  .help = "the records, in order: numbers, strings, booleans, groups (maps) and lists",
	  .example = "( 2, 4, { id = 1; } )" },
	{ 0 },
};
/* clang-format on */
