/* SPDX-License-Identifier: MIT */
/* Sink "stdout": records as text on the standard output that `sluice run` was given. */
#include <sluice/stage.h>

#include <errno.h>
#include <unistd.h>

#include "../file/codec_options.h"
#include "../file/writer.h"

static const char name[] = "standard output";

struct shared {
	struct codec_options codec;
	struct sl_codec resolved;
};

struct worker {
	struct sl_encoder *encoder;
};

static int stdout_open(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;

	return codec_options_resolve(ctx, &o->codec, name, &o->resolved);
}

static int stdout_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct shared *o = shared;
	struct worker *w = worker;
	int r;

	(void)ctx;
	w->encoder = sl_encoder_new(&o->resolved, STDOUT_FILENO, &r);
	return w->encoder ? 0 : r;
}

static int failed(struct sl_context *ctx, int error, const struct worker *w)
{
	if (error == -EPIPE)
		return sl_error(ctx, error, "the reader of standard output has gone");
	return sl_error(
		ctx, error, "cannot write standard output: %s", sl_encoder_reason(w->encoder));
}

static int64_t stdout_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	struct worker *w = worker;

	(void)shared;
	return writer_write(ctx, w->encoder, name, in);
}

static int stdout_commit(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;
	int r = sl_encoder_flush(w->encoder);

	(void)shared;
	return r < 0 ? failed(ctx, r, w) : 0;
}

static int stdout_finish(struct sl_context *ctx, void *shared, void *worker, bool complete)
{
	struct worker *w = worker;
	int r = sl_encoder_finish(w->encoder);

	(void)shared;
	(void)complete;
	return r < 0 ? failed(ctx, r, w) : 0;
}

static void stdout_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	sl_encoder_free(w->encoder);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_sink_stdout = {
	.abi = SL_ABI,
	.name = "stdout",
	.role = SL_SINK,
	.summary = "writes to standard output",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.open = stdout_open,
	.start = stdout_start,
	.write = stdout_write,
	.commit = stdout_commit,
	.finish = stdout_finish,
	.stop = stdout_stop,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	CODEC_OPTIONS(struct shared, "ndjson"),
	{ 0 },
};
/* clang-format on */
