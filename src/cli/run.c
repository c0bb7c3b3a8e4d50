/* SPDX-License-Identifier: MIT */
/* run: the whole pipeline in the foreground. */
#include "cli/run.h"

#include <errno.h>
#include <stdlib.h>

#include "cli/show.h"
#include "supervisor/journal.h"
#include "supervisor/notify.h"

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

struct foreground {
	struct show show;
	struct journal journal;
	struct notify notify;
};

static void on_line(void *user, const struct log_line *line)
{
	show_line(&((struct foreground *)user)->show, line);
}

static void on_ready(void *user)
{
	notify_ready(&((struct foreground *)user)->notify);
}

static void on_stopping(void *user)
{
	struct foreground *foreground = user;

	show_stopping(&foreground->show);
	notify_stopping(&foreground->notify);
}

static void on_reloading(void *user, bool is_under_way)
{
	notify_reloading(&((struct foreground *)user)->notify, is_under_way);
}

static void on_tick(void *user, const struct supervisor *supervisor)
{
	struct foreground *foreground = user;

	if (foreground->show.journal)
		journal_tick(&foreground->journal);
	notify_tick(&foreground->notify, supervisor);
	show_tick(&foreground->show, supervisor);
}

/* A timer's run has nobody who watches it: its lines go to the journal. */
static int begin(struct foreground *foreground, const struct plan *plan, bool is_quiet)
{
	show_init(&foreground->show, is_quiet);
	notify_init(&foreground->notify);
	if (!log_is_journal()) {
		foreground->show.repeats = calloc(1, sizeof(*foreground->show.repeats));
		return foreground->show.repeats ? 0 : -ENOMEM;
	}
	if (journal_open(&foreground->journal, "sluice") < 0)
		return -ENOMEM;
	journal_name(&foreground->journal, plan->graph->name);
	foreground->show.journal = &foreground->journal;
	return 0;
}

static void end(struct foreground *foreground)
{
	if (foreground->show.journal)
		journal_close(&foreground->journal);
	notify_fini(&foreground->notify);
	free(foreground->show.repeats);
}

int run_plan(struct plan *plan, struct supervisor_start start, struct cli_options *options)
{
	struct supervisor *supervisor;
	struct supervisor_result result;
	struct foreground foreground;
	struct supervisor_view view = {
		.line = on_line,
		.ready = on_ready,
		.stopping = on_stopping,
		.reloading = on_reloading,
		.tick = on_tick,
		.user = &foreground,
	};
	struct err err = { 0 };
	int r = plan_lock(plan, &err);

	if (r == 0)
		r = begin(&foreground, plan, options->quiet);
	if (r == 0) {
		r = supervisor_run(plan, start, &view, &supervisor, &err);
		if (r < 0)
			end(&foreground);
	}
	if (r < 0) {
		(void)fprintf(stderr, "sluice run: %s\n", err.text[0] ? err.text : err_name(r));
		return CLI_FAILED;
	}
	supervisor_result(supervisor, &result);
	show_end(&foreground.show, supervisor, &result,
		&(struct again){ options->file, options->sets.items,
			foreground.show.journal ? plan->state : options->state,
			foreground.show.journal ? NULL : options->runtime });
	end(&foreground);
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
