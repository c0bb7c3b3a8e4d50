/* SPDX-License-Identifier: MIT */
/* dead: the records that stages gave up on. Reading and removing is done by sluice-stage, which knows the store. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/again.h"
#include "cli/replay.h"
#include "cli/run.h"
#include "supervisor/plan.h"

static const char help[] = "list          one line for each\n"
			   "show          everything about each\n"
			   "export        one JSON object for each, a line each\n"
			   "replay        gives the records to their stage again, and what becomes "
			   "of them to the stages below;\n"
			   "              what is refused again is a new letter. Wants --stage, "
			   "and that nobody runs the pipeline\n"
			   "purge         removes them; wants --stage, --id or --all\n"
			   "\n"
			   "--stage STAGE  only those of that stage\n"
			   "--id ID        only that one (not for replay)\n"
			   "--state DIR    where state is kept (default: as for run)\n"
			   "--runtime DIR  where sockets are, for replay (default: as for run)\n"
			   "\n"
			   "Exit status: 0 done; 3 replayed, and records were given up; 1 failed; "
			   "2 wrong command line; 78 bad config.\n";

static const char *const actions[] = { "list", "show", "export", "replay", "purge" };

/* The words for sluice-stage. */
struct question {
	const char *argv[16];
	int count;
	char last[24];
};

static void add(struct question *q, const char *word, const char *value)
{
	q->argv[q->count++] = word;
	if (value)
		q->argv[q->count++] = value;
}

static void ask_about(struct question *q, const char *action, const struct plan *plan,
	const struct cli_options *options)
{
	*q = (struct question){ 0 };
	add(q, "sluice-stage", NULL);
	add(q, "--dead", action);
	add(q, "--state", plan->state);
	if (options->stage)
		add(q, "--stage", options->stage);
	if (options->id)
		add(q, "--id", options->id);
}

static int take_place(const struct question *q)
{
	(void)execv(plan_stage_program(), (char *const *)q->argv);
	(void)fprintf(stderr, "sluice: cannot run %s: %s\n", plan_stage_program(), err_name(errno));
	return CLI_FAILED;
}

/* Runs it and reads what it says. Its exit status, or -1. */
static int hear(const struct question *q, char *text, size_t size)
{
	int ends[2], status;
	ssize_t n = 0;
	size_t read_size = 0;
	pid_t pid;

	if (pipe(ends) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)dup2(ends[1], STDOUT_FILENO);
		(void)close(ends[0]);
		(void)close(ends[1]);
		_exit(take_place(q));
	}
	(void)close(ends[1]);
	while (read_size < size - 1 &&
		(n = read(ends[0], text + read_size, size - 1 - read_size)) > 0)
		read_size += (size_t)n;
	text[read_size] = '\0';
	(void)close(ends[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* --- replay ------------------------------------------------------------------------------------- */

/* The highest id to be replayed and how many there are; false: failed, and said. */
static bool count_letters(const struct plan *plan, const struct cli_options *options,
	int64_t *ret_last, int64_t *ret_count)
{
	struct question q;
	char text[64];

	ask_about(&q, "last", plan, options);
	add(&q, "--whole", NULL);
	return hear(&q, text, sizeof(text)) == 0 &&
	       sscanf(text, "%" SCNd64 " %" SCNd64, ret_last, ret_count) == 2;
}

static int forget_letters(const struct plan *plan, const struct cli_options *options, int64_t last)
{
	struct question q;
	char text[128];

	ask_about(&q, "purge", plan, options);
	(void)snprintf(q.last, sizeof(q.last), "%" PRId64, last);
	add(&q, "--last", q.last);
	add(&q, "--whole", NULL);
	return hear(&q, text, sizeof(text));
}

static int replay(struct plan *plan, struct cli_options *options)
{
	struct graph *part;
	struct err err = { 0 };
	int64_t last, count;
	char text[32];
	int status;

	if (resume_is_unsettled(plan)) {
		(void)fprintf(stderr,
			"sluice dead: the last run of %s ended in the middle: let it come to its "
			"end first, with `",
			plan->graph->name);
		again_print(stderr, "run",
			&(struct again){ options->file, options->sets.items, options->state,
				options->runtime });
		(void)fputs("`\n", stderr);
		return CLI_FAILED;
	}
	if (!count_letters(plan, options, &last, &count))
		return CLI_FAILED;
	if (count == 0) {
		(void)printf("no dead letters of `%s` can be replayed\n", options->stage);
		return CLI_OK;
	}
	if (replay_graph(plan->graph, options->stage, last, &part, &err) < 0) {
		(void)fprintf(stderr, "sluice dead: %s\n", err.text);
		return CLI_FAILED;
	}
	graph_free(plan->graph);
	plan->graph = part;
	(void)fprintf(stderr, "replaying %s dead letter%s of `%s`\n",
		units_print_count((uint64_t)count, text, sizeof(text)), count == 1 ? "" : "s",
		options->stage);
	status = run_plan(plan, (struct supervisor_start){ .mode = RESUME_APART }, options);
	/* They are done, or are new letters. After a stop some may not have been read: all stay. */
	if ((status == CLI_OK || status == CLI_DEAD) && !options->was_stopped &&
		forget_letters(plan, options, last) != 0)
		status = CLI_FAILED;
	return status;
}

/* --- the command -------------------------------------------------------------------------------- */

static const char *find_action(const char *word)
{
	for (size_t i = 0; word && i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i], word) == 0)
			return actions[i];
	return NULL;
}

static int check_choice(
	const struct cli_command *command, const char *action, const struct cli_options *options)
{
	char *end;

	if (options->id && (strtoll(options->id, &end, 10) <= 0 || *end))
		return cli_usage(command, "--id %s is no number of a letter", options->id);
	if (strcmp(action, "replay") == 0 && (!options->stage || options->id))
		return cli_usage(command, "replay wants --stage STAGE, and no --id");
	if (strcmp(action, "purge") == 0 && !options->stage && !options->id && !options->all)
		return cli_usage(command, "purge wants --stage STAGE, --id ID, or --all");
	return 0;
}

static int act(const char *action, struct cli_options *options)
{
	struct plan plan;
	struct question q;
	struct err err = { 0 };
	int r = plan_make(
		options->file, options->sets.items, options->state, options->runtime, &plan, &err);

	if (r < 0) {
		if (r != -EINVAL)
			(void)fprintf(stderr, "sluice dead: %s\n", err.text);
		return cli_plan_status(r);
	}
	if (options->stage && graph_find(plan.graph, options->stage) < 0)
		(void)fprintf(stderr, "sluice dead: %s has no stage `%s` now\n", options->file,
			options->stage);
	if (strcmp(action, "replay") == 0) {
		r = replay(&plan, options);
	} else {
		ask_about(&q, action, &plan, options);
		r = take_place(&q);
	}
	plan_fini(&plan);
	return r;
}

static int run_dead(const struct cli_command *command, int argc, char **argv)
{
	const char *action = find_action(argc > 1 ? argv[1] : NULL);
	struct cli_options options;
	int r;

	if (argc == 1)
		return cli_usage(command, "say what: list, show, export, replay, purge");
	if (!action && argv[1][0] != '-')
		return cli_usage(command,
			"there is no `dead %s`: list, show, export, replay, purge", argv[1]);
	r = cli_parse(command, argc - (action != NULL), argv + (action != NULL), "FILE", &options);
	if (r != 0)
		return r == 1 ? CLI_OK : CLI_USAGE;
	if (!action)
		return cli_usage(command, "say what: list, show, export, replay, purge");
	r = check_choice(command, action, &options);
	return r != 0 ? r : act(action, &options);
}

const struct cli_command cli_dead = {
	.name = "dead",
	.arguments = "list|show|export|replay|purge FILE [--stage STAGE] [--id ID] [--all] "
		     "[--set NAME=VALUE] [--state DIR] "
		     "[--runtime DIR] [--quiet]",
	.summary = "records that stages gave up on",
	.help = help,
	.run = run_dead,
};
