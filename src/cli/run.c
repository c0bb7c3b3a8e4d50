/* SPDX-License-Identifier: MIT */
/* run: the whole pipeline in the foreground. */
#include "cli/run.h"

#include <errno.h>

#include "cli/show.h"

static const char help[] =
	"Ctrl-C (or SIGTERM) stops reading and settles what was read; a second one stops at once.\n"
	"\n"
	"A run that was stopped, or died, goes on where it stood; after one that came to its end a "
	"new "
	"one begins.\n"
	"\n"
	"--from-start   begins anew in any case\n"
	"--resume       goes on where the checkpoints stand in any case: reads only what is new\n"
	"--accept-mixed goes on in the middle of a run although the config has changed\n"
	"--quiet        only warnings and errors\n"
	"--set NAME=VALUE  what ${NAME} stands for in the config, instead of the environment "
	"variable\n"
	"--state DIR    where state is kept (default: $STATE_DIRECTORY, else below "
	"$XDG_STATE_HOME/sluice)\n"
	"--runtime DIR  where sockets are (default: $RUNTIME_DIRECTORY, else below "
	"$XDG_RUNTIME_DIR/sluice)\n"
	"\n"
	"Exit status: 0 settled; 3 settled, but records were given up; 1 failed; 2 wrong command "
	"line; 78 bad config.\n";

int run_plan(struct plan *plan, struct supervisor_start start, struct cli_options *options)
{
	struct supervisor *supervisor;
	struct supervisor_result result;
	struct show show;
	struct supervisor_view view = {
		.line = show_line, .stopping = show_stopping, .tick = show_tick, .user = &show
	};
	struct err err = { 0 };
	int r = plan_lock(plan, &err);

	if (r == 0) {
		show_init(&show, options->quiet);
		r = supervisor_run(plan, start, &view, &supervisor, &err);
	}
	if (r < 0) {
		(void)fprintf(stderr, "sluice run: %s\n", err.text);
		return CLI_FAILED;
	}
	supervisor_result(supervisor, &result);
	show_end(&show, supervisor, &result);
	options->was_stopped = result.is_stopped;
	supervisor_free(supervisor);
	return (int)result.end;
}

static struct supervisor_start how_to_start(const struct cli_options *options)
{
	return (struct supervisor_start){
		.mode = options->from_start ? RESUME_NEVER
			: options->resume   ? RESUME_ALWAYS
					    : RESUME_UNFINISHED,
		.accept_mixed = options->accept_mixed,
	};
}

static int run_run(const struct cli_command *command, int argc, char **argv)
{
	struct cli_options options;
	struct plan plan;
	struct err err = { 0 };
	int r = cli_parse(command, argc, argv, "FILE", &options);

	if (r != 0)
		return r == 1 ? CLI_OK : CLI_USAGE;
	if (options.resume && options.from_start)
		return cli_usage(command, "--resume and --from-start: choose one");
	r = plan_make(
		options.file, options.sets.items, options.state, options.runtime, &plan, &err);
	if (r < 0) {
		if (r != -EINVAL)
			(void)fprintf(stderr, "sluice run: %s\n", err.text);
		return cli_plan_status(r);
	}
	r = run_plan(&plan, how_to_start(&options), &options);
	plan_fini(&plan);
	return r;
}

const struct cli_command cli_run = {
	.name = "run",
	.arguments = "FILE [--resume | --from-start] [--accept-mixed] [--quiet] "
		     "[--set NAME=VALUE] [--state DIR] "
		     "[--runtime DIR]",
	.summary = "runs a pipeline to its end, in the foreground",
	.help = help,
	.run = run_run,
};
