/* SPDX-License-Identifier: MIT */
/* Transform "cpu": computes for each record, may wait, and passes it on: a stand-in for work that does both. */
#include <sluice/stage.h>
#include <sluice/task.h>

struct shared {
	int64_t iterations;
	int64_t wait;
};

struct worker {
	uint64_t state; /* every result depends on the last: nothing can be left out */
};

static int cpu_transform(struct sl_context *ctx, void *shared, void *worker, struct sl_value record,
	struct sl_writer *const *out)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	uint64_t x = w->state ^ record.size;
	int r = 0;

	for (int64_t i = 0; i < o->iterations; i++) {
		x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		x ^= x >> 29;
	}
	/* The store is seen outside this function: the loop cannot be optimised away. */
	w->state = x;
	if (o->wait > 0)
		r = sl_sleep_until(ctx, sl_now() + o->wait);
	if (r < 0)
		return r;
	sl_put_value(out[0], record);
	return sl_record_done(out[0]);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_transform_cpu = {
	.abi = SL_ABI,
	.name = "cpu",
	.role = SL_TRANSFORM,
	.summary = "computes for each record: a stand-in for heavy work",
	.flags = SL_RESUMES | SL_TASKS | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.transform = cpu_transform,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("iterations", INT, struct shared, iterations), .fallback = "2000000",
	  .min = 0, .max = INT64_MAX,
	  .help = "rounds of integer arithmetic for each record", .example = "2000000" },
	{ SL_OPTION("wait", DURATION, struct shared, wait), .fallback = "0s",
	  .help = "waited for after it, as for a server", .example = "\"1ms\"" },
	{ 0 },
};
/* clang-format on */
