/* SPDX-License-Identifier: MIT */
/* Transform "delay": waits before each record and passes it on: a stand-in for slow work that waits. */
#include <sluice/stage.h>

struct shared {
	int64_t wait_ns;
};

static int delay_transform(struct sl_context *ctx, void *shared, void *worker,
	struct sl_value record, struct sl_writer *const *out)
{
	const struct shared *o = shared;
	int r;

	(void)worker;
	r = sl_sleep_until(ctx, sl_now() + o->wait_ns);
	if (r < 0)
		return r;
	sl_put_value(out[0], record);
	return sl_record_done(out[0]);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_transform_delay = {
	.abi = SL_ABI,
	.name = "delay",
	.role = SL_TRANSFORM,
	.summary = "waits before each record: a stand-in for slow work",
	.flags = SL_RESUMES | SL_TASKS | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.transform = delay_transform,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("wait", DURATION, struct shared, wait_ns), .required = true,
	  .help = "how long before each record", .example = "\"1s\"" },
	{ 0 },
};
/* clang-format on */
