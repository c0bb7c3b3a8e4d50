/* SPDX-License-Identifier: MIT */
/*
 * Sink "exec": writes records to a program. The encoder writes to memory, and what is there goes into the pipe without
 * blocking, so that the program's complaints reach the log meanwhile. A pipe gives no receipt: a commit means written, not
 * worked on; only the exit status at the end says that.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../file/codec_options.h"
#include "../file/writer.h"
#include "program.h"

struct shared {
	struct program_options program;
	struct codec_options codec;
	struct program_plan plan;
	struct sl_codec resolved;
};

struct worker {
	struct program program;
	bool is_running;
	int memory; /* what the encoder has written, from 0 to where the descriptor stands */
	struct sl_encoder *encoder;
	char buffer[64 << 10];
};

static int sink_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;
	struct sl_codec codec;
	int r = program_check(ctx, &o->program);

	return r == 0 ? codec_options_resolve(ctx, &o->codec, o->program.command.items[0], &codec)
		      : r;
}

static int sink_open(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;
	int r = codec_options_resolve(ctx, &o->codec, o->program.command.items[0], &o->resolved);

	return r == 0 ? program_plan_init(&o->plan, &o->program) : r;
}

static int sink_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r;

	w->memory = memfd_create("sluice-exec", MFD_CLOEXEC);
	if (w->memory < 0)
		return sl_error(ctx, -errno, "cannot get memory: %s", strerrordesc_np(errno));
	w->encoder = sl_encoder_new(&o->resolved, w->memory, &r);
	if (!w->encoder)
		return r;
	r = program_start(ctx, &w->program, &o->plan, NULL, SL_PIPE_IN);
	if (r < 0)
		return sl_error(ctx, r, "cannot start %s: %s", o->plan.name, strerrordesc_np(-r));
	w->is_running = true;
	return 0;
}

static int end_program(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	w->is_running = false;
	return program_end(ctx, &w->program, o->plan.grace);
}

/* It has ended, or closed its input, before the records have. */
static int lost(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	char obituary[400];
	int status = end_program(ctx, o, w);

	program_obituary(&w->program, status, obituary, sizeof(obituary));
	return sl_error(ctx, -EPIPE, "%s, before it had read all records", obituary);
}

static int send_buffer(
	struct sl_context *ctx, const struct shared *o, struct worker *w, size_t size)
{
	size_t sent = 0;
	int r;

	for (;;) {
		r = program_send(&w->program, w->buffer, size, &sent);
		if (r == 0)
			return 0;
		if (r == -EPIPE)
			return lost(ctx, o, w);
		r = program_wait(ctx, &w->program, PROGRAM_IN | PROGRAM_ENDED, SL_NEVER);
		if (r < 0)
			return r;
		if (r & PROGRAM_ENDED)
			return lost(ctx, o, w);
	}
}

/* Sends what the encoder has written so far. */
static int send_memory(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	off_t end = lseek(w->memory, 0, SEEK_CUR);
	off_t at = 0;
	int r = 0;

	while (r == 0 && at < end) {
		ssize_t n = pread(w->memory, w->buffer, sizeof(w->buffer), at);

		if (n <= 0)
			return sl_error(
				ctx, -EIO, "cannot read memory: %s", strerrordesc_np(errno));
		at += n;
		r = send_buffer(ctx, o, w, (size_t)n);
	}
	if (r == 0 && end > 0 && (lseek(w->memory, 0, SEEK_SET) < 0 || ftruncate(w->memory, 0) < 0))
		return sl_error(ctx, -errno, "cannot empty memory: %s", strerrordesc_np(errno));
	return r;
}

static int64_t sink_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int64_t consumed = writer_write(ctx, w->encoder, o->plan.name, in);
	int r = consumed < 0 ? (int)consumed : send_memory(ctx, o, w);

	return r < 0 ? r : consumed;
}

static int encoder_failed(struct sl_context *ctx, int error, const struct worker *w)
{
	return sl_error(ctx, error, "cannot write memory: %s", sl_encoder_reason(w->encoder));
}

static int sink_commit(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;
	int r = sl_encoder_flush(w->encoder);

	return r < 0 ? encoder_failed(ctx, r, w) : send_memory(ctx, shared, w);
}

/* Complete or stopped, what was committed stands, so the program sees the end of its input in both. */
static int sink_finish(struct sl_context *ctx, void *shared, void *worker, bool complete)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	char obituary[400];
	int status;
	int r = sl_encoder_finish(w->encoder);

	(void)complete;
	r = r < 0 ? encoder_failed(ctx, r, w) : send_memory(ctx, o, w);
	if (r < 0)
		return r;
	program_close_in(&w->program);
	/* It may have much to do yet: `grace` is for those that have nothing to finish. */
	r = program_wait(ctx, &w->program, PROGRAM_ENDED, SL_NEVER);
	if (r < 0)
		return r;
	status = end_program(ctx, o, w);
	if (status == 0)
		return 0;
	program_obituary(&w->program, status, obituary, sizeof(obituary));
	return sl_error(ctx, -EIO, "%s: its records may be lost", obituary);
}

static void sink_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	if (w->is_running)
		(void)end_program(ctx, shared, w);
	sl_encoder_free(w->encoder);
	(void)close(w->memory);
}

static void sink_close(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;

	(void)ctx;
	program_plan_fini(&o->plan);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_sink_exec = {
	.abi = SL_ABI,
	.name = "exec",
	.role = SL_SINK,
	.summary = "writes records to the standard input of a program",
	.flags = SL_CONFINED | SL_NEEDS_EXEC,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = sink_check,
	.open = sink_open,
	.start = sink_start,
	.write = sink_write,
	.commit = sink_commit,
	.finish = sink_finish,
	.stop = sink_stop,
	.close = sink_close,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	PROGRAM_OPTIONS(struct shared),
	CODEC_OPTIONS(struct shared, "ndjson"),
	{ 0 },
};
/* clang-format on */
