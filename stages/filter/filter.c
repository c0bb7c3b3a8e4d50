/* SPDX-License-Identifier: MIT */
/*
 * Transform "filter": passes on the records for which a condition is true, byte for byte, and lets the others go. What a condition is: the
 * rooms of the stage `sql`, conditions.h.
 */
#include <sluice/stage.h>

#include "../sql/conditions.h"

struct shared {
	const char *where;
	int64_t timeout_ns;
};

static int filter_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct conditions *c = worker;
	int r;

	c->option = "where";
	c->count = 1;
	c->timeout_ns = o->timeout_ns;
	r = conditions_open(c, ctx, &o->where);
	if (r < 0)
		conditions_close(c);
	return r;
}

static void filter_stop(struct sl_context *ctx, void *shared, void *worker)
{
	(void)ctx;
	(void)shared;
	conditions_close(worker);
}

static int filter_check(struct sl_context *ctx, const void *shared)
{
	struct conditions c = { 0 };
	int r = filter_start(ctx, (void *)shared, &c);

	conditions_close(&c);
	return r;
}

static int64_t filter_transform(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	struct conditions *c = worker;
	struct sl_value record;
	int r;

	(void)shared;
	conditions_begin(c, ctx, in);
	while ((r = conditions_next(c, &record)) > 0) {
		if (!conditions_hold(c, 0))
			continue;
		sl_put_value(out[0], record);
		r = sl_record_done(out[0]);
		if (r < 0)
			break;
	}
	return r < 0 ? r : (int64_t)sl_batch_count(in) - c->rejected;
}

static const struct sl_option options[];

const struct sl_stage sl_stage_filter = {
	.abi = SL_ABI,
	.name = "filter",
	.role = SL_TRANSFORM,
	.summary = "passes on the records for which a condition in SQL is true, unchanged",
	.flags = SL_RESUMES | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct conditions),
	.check = filter_check,
	.start = filter_start,
	.transform_batch = filter_transform,
	.stop = filter_stop,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("where", STRING, struct shared, where), .required = true,
	  .help = "the condition, as behind WHERE in SQL: names are the record's fields",
	  .example = "\"amount > 0 AND country = 'DE'\"" },
	{ SL_OPTION("timeout", DURATION, struct shared, timeout_ns), .fallback = "10s",
	  .min = 1000000, .max = INT64_C(86400000000000),
	  .help = "the time limit for one record", .example = "\"1s\"" },
	{ 0 },
};
/* clang-format on */
