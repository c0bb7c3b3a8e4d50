/* SPDX-License-Identifier: MIT */
/* Transform "exec": asks another program, one that runs on (stream.c) or one run for each record (once.c). */
#include "transform.h"

#include <errno.h>

enum { MODE_STREAM, MODE_ONCE };

static const char *const modes[] = { "stream", "once", NULL };
static const char *const inputs[] = { "json", "none", NULL };
static const char *const outputs[] = { "json", "text", "none", NULL };

static int read_exits(struct sl_context *ctx, const struct transform *o, uint8_t exits[256])
{
	int r = program_statuses(ctx, "exit_ok", &o->exit_ok, EXIT_OK, exits);

	return r == 0 ? program_statuses(ctx, "exit_reject", &o->exit_reject, EXIT_REJECT, exits)
		      : r;
}

static int check_stream(struct sl_context *ctx, const struct transform *o)
{
	if (o->input != INPUT_JSON || o->output != OUTPUT_JSON || o->into ||
		o->exit_reject.count > 0)
		return sl_error(ctx, -EINVAL,
			"`input`, `output`, `into` and `exit_reject` are for one run for each "
			"record: "
			"write mode = \"once\"; or remove them");
	return 0;
}

static int check_once(struct sl_context *ctx, const struct transform *o)
{
	uint8_t exits[256] = { 0 };

	if (o->output == OUTPUT_TEXT && !o->into)
		return sl_error(ctx, -EINVAL,
			"output = \"text\" needs the name of a field: write into = \"FIELD\";");
	if (o->output == OUTPUT_NONE && o->into)
		return sl_error(ctx, -EINVAL,
			"`into` takes what the program writes: write output = \"text\"; or remove "
			"it");
	return read_exits(ctx, o, exits);
}

static int transform_check(struct sl_context *ctx, const void *shared)
{
	const struct transform *o = shared;
	int r = o->mode == MODE_STREAM ? check_stream(ctx, o) : check_once(ctx, o);

	return r == 0 ? program_check(ctx, &o->program) : r;
}

static int transform_open(struct sl_context *ctx, void *shared)
{
	struct transform *o = shared;
	int r = read_exits(ctx, o, o->exits);

	return r == 0 ? program_plan_init(&o->plan, &o->program) : r;
}

static int transform_start(struct sl_context *ctx, void *shared, void *worker)
{
	(void)ctx;
	(void)shared;
	stream_init(worker);
	return 0;
}

static int transform_record(struct sl_context *ctx, void *shared, void *worker,
	struct sl_value record, struct sl_writer *const *out)
{
	const struct transform *o = shared;

	if (o->mode == MODE_STREAM)
		return stream_record(ctx, o, worker, record, out[0]);
	return once_record(ctx, o, record, out[0]);
}

static void transform_stop(struct sl_context *ctx, void *shared, void *worker)
{
	stream_fini(ctx, shared, worker);
}

static void transform_close(struct sl_context *ctx, void *shared)
{
	struct transform *o = shared;

	(void)ctx;
	program_plan_fini(&o->plan);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_transform_exec = {
	.abi = SL_ABI,
	.name = "exec",
	.role = SL_TRANSFORM,
	.summary = "asks another program: one that runs on, or one run for each record",
	.flags = SL_RESUMES | SL_TASKS | SL_CONFINED | SL_NEEDS_EXEC,
	.shared_size = sizeof(struct transform),
	.worker_size = sizeof(struct stream),
	.check = transform_check,
	.open = transform_open,
	.start = transform_start,
	.transform = transform_record,
	.stop = transform_stop,
	.close = transform_close,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	PROGRAM_OPTIONS(struct transform),
	{ SL_OPTION("mode", CHOICE, struct transform, mode), .fallback = "stream", .choices = modes,
	  .help = "stream: one program takes a line of JSON for each record and answers each by a line; once: one run for each record",
	  .example = "\"once\"" },
	{ SL_OPTION("input", CHOICE, struct transform, input), .fallback = "json", .choices = inputs,
	  .help = "once: what a run gets on its standard input: the record, or nothing", .example = "\"none\"" },
	{ SL_OPTION("output", CHOICE, struct transform, output), .fallback = "json", .choices = outputs,
	  .help = "once: what a run writes: the new record, text for the field `into`, or nothing that counts",
	  .example = "\"text\"" },
	{ SL_OPTION("into", STRING, struct transform, into),
	  .help = "once: the field that takes what a run writes; json without it replaces the record", .example = "\"size\"" },
	{ SL_OPTION("line_max", SIZE, struct transform, line_max), .fallback = "16MiB", .min = 1024, .max = 1 << 30,
	  .help = "the longest answer; a record with a longer one is refused", .example = "\"1MiB\"" },
	{ SL_OPTION("exit_ok", STRINGS, struct transform, exit_ok), .fallback = "0",
	  .help = "once: exit statuses that are fine", .example = "[ \"0\", \"1\" ]" },
	{ SL_OPTION("exit_reject", STRINGS, struct transform, exit_reject),
	  .help = "once: exit statuses that refuse the record; after all others it is tried again", .example = "\"1-255\"" },
	{ 0 },
};
/* clang-format on */
