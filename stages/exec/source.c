/* SPDX-License-Identifier: MIT */
/* Source "exec": the records that a program writes. It runs once; its end is the end, if it ends well. */
#include <sluice/stage.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../file/codec_options.h"
#include "program.h"

struct shared {
	struct program_options program;
	struct codec_options codec;
	struct sl_strings exit_ok;
	struct program_plan plan;
	struct sl_codec resolved;
	uint8_t is_ok[256];
};

struct worker {
	struct program program;
	bool is_running;
	bool is_at_end; /* all that it wrote has been read */
	struct sl_decoder *decoder;
	uint64_t origin;
	uint64_t position;
	const struct shared *shared;
	struct sl_context *ctx; /* of the call, for refuse */
};

static int source_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;
	uint8_t is_ok[256] = { 0 };
	struct sl_codec codec;
	int r = program_check(ctx, &o->program);

	if (r == 0)
		r = program_statuses(ctx, "exit_ok", &o->exit_ok, 1, is_ok);
	return r == 0 ? codec_options_resolve(ctx, &o->codec, o->program.command.items[0], &codec)
		      : r;
}

static int source_open(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;
	int r = program_statuses(ctx, "exit_ok", &o->exit_ok, 1, o->is_ok);

	if (r == 0)
		r = codec_options_resolve(
			ctx, &o->codec, o->program.command.items[0], &o->resolved);
	return r == 0 ? program_plan_init(&o->plan, &o->program) : r;
}

static int source_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	w->shared = shared;
	w->origin = XXH3_64bits_withSeed(sl_stage_name(ctx), strlen(sl_stage_name(ctx)), 4);
	return 0;
}

static void refuse(void *user, uint64_t line, const char *reason, const char *text, size_t size)
{
	struct worker *w = user;
	char where[300];
	size_t fits = size < 120 ? size : 120;

	while (fits > 0 && (text[fits - 1] == '\n' || text[fits - 1] == '\r'))
		fits--;
	(void)snprintf(
		where, sizeof(where), "%s:%llu", w->shared->plan.name, (unsigned long long)line);
	(void)sl_reject(w->ctx, where, (struct sl_value){ 0 }, "%s: %.*s%s", reason, (int)fits,
		text, size > 120 ? "..." : "");
}

static int start_program(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int r = program_start(ctx, &w->program, &o->plan, NULL, SL_PIPE_OUT);

	if (r == -ECANCELED)
		return r;
	if (r < 0)
		return sl_error(ctx, r, "cannot start %s: %s", o->plan.name, strerrordesc_np(-r));
	w->is_running = true;
	w->decoder = sl_decoder_new(&o->resolved, w->program.child.out, refuse, w, &r);
	return w->decoder ? 0 : r;
}

/* Its output has ended: now it must end, and well. */
static int end_program(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	char obituary[400];
	int status, r;

	program_close_out(&w->program);
	r = program_wait(ctx, &w->program, PROGRAM_ENDED, SL_NEVER);
	if (r < 0)
		return r;
	status = program_end(ctx, &w->program, o->plan.grace);
	w->is_running = false;
	if (status >= 0 && WIFEXITED(status) && o->is_ok[WEXITSTATUS(status)])
		return SL_END;
	program_obituary(&w->program, status, obituary, sizeof(obituary));
	return sl_error(ctx, -EIO, "%s: its records may not be all", obituary);
}

static int read_some(
	struct sl_context *ctx, const struct shared *o, struct worker *w, struct sl_cut *cut)
{
	int r;

	for (;;) {
		r = sl_decoder_read(w->decoder, cut->out, cut->want, cut->size_max, &cut->end);
		if (r != -EAGAIN)
			break;
		/* Like a shell's pipe: until nobody can write any more, even if the program itself has ended. */
		r = program_wait(ctx, &w->program, PROGRAM_OUT, SL_NEVER);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return sl_error(ctx, r, "%s: %s", o->plan.name,
			*sl_decoder_reason(w->decoder) ? sl_decoder_reason(w->decoder)
						       : strerrordesc_np(-r));
	w->is_at_end = r == SL_DECODE_END;
	return 0;
}

static int source_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r = 0;

	w->ctx = ctx;
	cut->origin = w->origin;
	cut->start = cut->end = w->position;
	if (!w->is_running)
		r = start_program(ctx, o, w);
	if (r == 0 && !w->is_at_end)
		r = read_some(ctx, o, w, cut);
	if (r < 0)
		return r;
	w->position = cut->end;
	sl_progress(ctx, sl_decoder_bytes(w->decoder), 0, "bytes");
	/* What came before a bad end is passed on first. */
	if (!w->is_at_end || cut->out->count > 0)
		return SL_MORE;
	cut->origin_done = true;
	return end_program(ctx, o, w);
}

static void source_stop(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;

	if (w->is_running) {
		/* It has no input whose end could tell it. */
		program_signal(&w->program, SIGTERM);
		(void)program_end(ctx, &w->program, o->plan.grace);
	}
	sl_decoder_free(w->decoder);
}

static void source_close(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;

	(void)ctx;
	program_plan_fini(&o->plan);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_source_exec = {
	.abi = SL_ABI,
	.name = "exec",
	.role = SL_SOURCE,
	.summary = "the records that a program writes to its standard output",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_WAITS | SL_CONFINED | SL_NEEDS_EXEC,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = source_check,
	.open = source_open,
	.start = source_start,
	.produce = source_produce,
	.stop = source_stop,
	.close = source_close,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	PROGRAM_OPTIONS(struct shared),
	CODEC_OPTIONS(struct shared, "ndjson"),
	CODEC_READ_OPTIONS(struct shared),
	{ SL_OPTION("record_max", SIZE, struct shared, codec.record_max), .fallback = "16MiB", .min = 1024, .max = 1 << 30,
	  .help = "the longest record; a longer one is refused", .example = "\"1MiB\"" },
	{ SL_OPTION("exit_ok", STRINGS, struct shared, exit_ok), .fallback = "0",
	  .help = "exit statuses that are fine; any other fails the stage", .example = "[ \"0\", \"1\" ]" },
	{ 0 },
};
/* clang-format on */
