/* SPDX-License-Identifier: MIT */
/* Sink "null": takes everything, keeps nothing. */
#include <sluice/stage.h>

static int64_t null_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	(void)ctx;
	(void)shared;
	(void)worker;
	return sl_batch_count(in);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_sink_null = {
	.abi = SL_ABI,
	.name = "null",
	.role = SL_SINK,
	.summary = "takes everything, keeps nothing",
	.flags = SL_RESUMES | SL_CONFINED,
	.write = null_write,
	.options = options,
};

static const struct sl_option options[] = {
	{ 0 },
};
