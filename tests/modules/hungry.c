/* SPDX-License-Identifier: MIT */
/*
 * Transforms, of single records and of whole batches, that need as much memory as a record says: its field `mb`, mebibytes that are used while it works on the record. What it is refused it
 * returns as an error, or, with `abort`, as many a library does.
 */
#include <errno.h>
#include <sluice/stage.h>
#include <stdlib.h>
#include <string.h>

struct shared {
	bool abort;
};

static int eat(struct sl_context *ctx, const struct shared *o, struct sl_value record)
{
	int64_t mb = 0;
	char *memory;

	(void)sl_get_int(sl_find(record, "mb", 2), &mb);
	memory = malloc((size_t)mb << 20);
	if (!memory && o->abort)
		abort();
	if (!memory)
		return sl_error(ctx, -ENOMEM, "no memory for %lld MiB", (long long)mb);
	for (int64_t at = 0; at < mb << 20; at += 4096)
		((volatile char *)memory)[at] = 1;
	free(memory);
	return 0;
}

static int one(struct sl_context *ctx, void *shared, void *worker, struct sl_value record,
	struct sl_writer *const *out)
{
	int r = eat(ctx, shared, record);

	(void)worker;
	if (r < 0)
		return r;
	sl_put_value(out[0], record);
	return sl_record_done(out[0]);
}

static int64_t batch(struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in,
	struct sl_writer *const *out)
{
	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		int r = one(ctx, shared, worker, sl_batch_record(in, i), out);

		if (r < 0)
			return r;
	}
	return sl_batch_count(in);
}

static const char *const out_port[] = { "out", NULL };

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("abort", BOOL, struct shared, abort), .fallback = "false", .example = "true", .help = "aborts for want of memory" },
	{ .name = NULL },
};
/* clang-format on */

#define STAGE                                                                                      \
	.abi = SL_ABI, .role = SL_TRANSFORM, .summary = "uses as much memory as a record says",    \
	.shared_size = sizeof(struct shared), .options = options, .flags = SL_RESUMES,             \
	.ports = out_port

static const struct sl_stage hungry = { STAGE, .name = "hungry", .transform = one };
static const struct sl_stage hungry_batch = { STAGE, .name = "hungry_batch",
	.transform_batch = batch };

SL_MODULE(&hungry, &hungry_batch);
