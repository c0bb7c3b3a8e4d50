/* SPDX-License-Identifier: MIT */
/* Source "sequence": the integers from `first` on, for load. A position is the index of an integer. */
#include <sluice/stage.h>

#include <errno.h>
#include <string.h>

#include <msgpuck.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define ENDLESS (-1)
#define INTEGER_MAX 9 /* bytes of one in MessagePack */

struct shared {
	int64_t first;
	int64_t count;
};

struct worker {
	uint64_t position;
	uint64_t origin;
	bool is_new;
};

static int sequence_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;

	if (o->count > 0 && o->first > INT64_MAX - o->count)
		return sl_error(
			ctx, -ERANGE, "first + count is beyond 64 bits: choose smaller ones");
	return 0;
}

static int sequence_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)shared;
	w->is_new = true;
	w->origin = XXH3_64bits_withSeed(sl_stage_name(ctx), strlen(sl_stage_name(ctx)), 2);
	return 0;
}

static void go_on(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	struct sl_place place;

	w->is_new = false;
	if (!sl_checkpoint(ctx, w->origin, &place))
		return;
	w->position = place.position;
	if (o->count != ENDLESS && w->position > (uint64_t)o->count)
		w->position = (uint64_t)o->count;
}

static uint64_t how_many(
	struct sl_context *ctx, const struct worker *w, const struct sl_cut *cut, uint64_t left)
{
	uint64_t fits = cut->size_max / INTEGER_MAX + 1;
	uint64_t n = left < cut->want ? left : cut->want;
	uint64_t bound = sl_bound(ctx, w->origin, w->position);

	if (bound > 0 && bound - w->position < n)
		n = bound - w->position;
	if (cut->until > w->position && cut->until - w->position <= left)
		return cut->until - w->position;
	return n < fits ? n : fits;
}

static int sequence_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	uint64_t left, n;
	char *at;

	if (w->is_new)
		go_on(ctx, o, w);
	left = o->count == ENDLESS ? UINT64_MAX : (uint64_t)o->count - w->position;
	n = how_many(ctx, w, cut, left);
	at = sl_writer_reserve(cut->out, n * INTEGER_MAX + 1);
	if (!at)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++) {
		int64_t x = o->first + (int64_t)(w->position + i);

		at = x < 0 ? mp_encode_int(at, x) : mp_encode_uint(at, (uint64_t)x);
	}
	cut->out->size = (size_t)(at - cut->out->data);
	cut->out->mark = cut->out->size;
	cut->out->count += (uint32_t)n;
	cut->origin = w->origin;
	cut->start = w->position;
	w->position += n;
	cut->end = w->position;
	cut->origin_done = n == left;
	sl_progress(ctx, w->position, o->count == ENDLESS ? 0 : (uint64_t)o->count, "records");
	return cut->origin_done ? SL_END : SL_MORE;
}

static const struct sl_option options[];

const struct sl_stage sl_stage_source_sequence = {
	.abi = SL_ABI,
	.name = "sequence",
	.role = SL_SOURCE,
	.summary = "integers in sequence, for load",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = sequence_check,
	.start = sequence_start,
	.produce = sequence_produce,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("first", INT, struct shared, first), .fallback = "0",
	  .min = INT64_MIN, .max = INT64_MAX,
	  .help = "the first integer", .example = "100" },
	{ SL_OPTION("count", INT, struct shared, count), .fallback = "-1",
	  .min = -1, .max = INT64_MAX,
	  .help = "how many; -1: without end", .example = "1000000" },
	{ 0 },
};
/* clang-format on */
