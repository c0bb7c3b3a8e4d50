/* SPDX-License-Identifier: MIT */
/* peek: what the first records look like, stage by stage. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/apart.h"
#include "cli/cli.h"
#include "cli/part.h"
#include "supervisor/plan.h"

#define RECORDS_DEFAULT 10
#define LIMIT_DEFAULT (10 * NSEC_PER_SEC)
#define TITLES "titles" /* as sluice-stage --peek reads it */

static const char help[] =
	"Reads the first records of each source and shows what comes out of each stage; of STAGE "
	"only, when it\n"
	"is given, or what would go into it when it is a sink. Each field has the type that its "
	"records have;\n"
	"`?` says that some have null, or do not have it.\n"
	"\n"
	"Transforms run, with all their effects. Sinks do not. Nothing is remembered: it works in "
	"a "
	"state\n"
	"folder of its own. Sources that wait for what others send (listen) are refused.\n"
	"\n"
	"--records N     how many are read from each source, and shown of each stage (default: "
	"10)\n"
	"--for DURATION  shows what has come by then, when the input does not come (default: 10s)\n"
	"--json          a line of JSON for each record: with STAGE the bare record, else "
	"{\"from\": STAGE, \"record\": ...}\n"
	"\n"
	"Exit status: 0 shown; 1 failed; 2 wrong command line; 78 bad config.\n";

struct look {
	const struct graph *graph; /* without stores */
	int stage;                 /* where to look; -1: everywhere */
	bool *is_taken;
	struct part part;
	FILE *titles; /* a line for each tap */
};

/* --- which part ----------------------------------------------------------------------------------- */

/* In topological order an input is behind nobody who takes from it: from the end once is enough. */
static void mark_above(const struct graph *graph, uint32_t stage, bool *is_taken)
{
	is_taken[stage] = true;
	for (uint32_t i = stage + 1; i-- > 0;) {
		int above;

		for (uint32_t k = 0; is_taken[i] && (above = part_above(graph, i, k)) >= 0; k++)
			is_taken[above] = true;
	}
}

static void choose(struct look *look)
{
	for (uint32_t i = 0; look->stage < 0 && i < look->graph->stage_count; i++)
		look->is_taken[i] = !part_is_sink(&look->graph->stages[i]);
	if (look->stage >= 0)
		mark_above(look->graph, (uint32_t)look->stage, look->is_taken);
}

static int refuse_live(const struct look *look, struct err *err)
{
	for (uint32_t i = 0; i < look->graph->stage_count; i++) {
		const struct graph_stage *stage = &look->graph->stages[i];

		if (look->is_taken[i] && stage->role == SL_SOURCE &&
			(stage->listen || (stage->flags & SL_TAKES_OVER)))
			return err_set(err, -EINVAL,
				"`%s` waits for what others send, and a peek would take it from "
				"them: write a test with `feed`, and run `sluice test`",
				stage->name);
	}
	return 0;
}

static void add_title(struct look *look, const struct graph_stage *stage, uint32_t port)
{
	if (stage->port_count > 1)
		(void)fprintf(look->titles, "%.*s.%s\n", part_name_length(stage), stage->name,
			stage->ports[port]);
	else
		(void)fprintf(look->titles, "%.*s\n", part_name_length(stage), stage->name);
}

static void tap(struct look *look)
{
	const struct graph *graph = look->graph;

	for (uint32_t i = 0; i < graph->stage_count; i++) {
		const struct graph_stage *stage = &graph->stages[i];

		if (!look->is_taken[i] || (look->stage >= 0 && (uint32_t)look->stage != i))
			continue;
		for (uint32_t port = 0; port < stage->port_count; port++) {
			part_tap(&look->part, i, port);
			add_title(look, stage, port);
		}
		if (!part_is_sink(stage))
			continue;
		part_tap_sink(&look->part, i);
		add_title(look, stage, 0);
	}
}

static int make_part(struct look *look, uint64_t records, struct graph **ret_graph, struct err *err)
{
	const struct graph *graph = look->graph;
	int r = part_init(&look->part, graph);

	for (uint32_t i = 0; r == 0 && i < graph->stage_count; i++) {
		if (!look->is_taken[i])
			continue;
		if (part_is_source(&graph->stages[i]))
			part_take_some(&look->part, i, records);
		else if (!part_is_sink(&graph->stages[i]))
			part_take(&look->part, i);
	}
	if (r == 0) {
		tap(look);
		r = part_end(&look->part, ret_graph, err);
	}
	part_fini(&look->part);
	return r;
}

static int look_at(struct look *look, uint64_t records, char **ret_titles, size_t *ret_size,
	struct graph **ret_graph, struct err *err)
{
	int r;

	look->is_taken = calloc(look->graph->stage_count, sizeof(*look->is_taken));
	look->titles = open_memstream(ret_titles, ret_size);
	if (!look->is_taken || !look->titles) {
		r = err_set(err, -ENOMEM, "no memory");
	} else {
		choose(look);
		r = refuse_live(look, err);
	}
	if (r == 0)
		r = make_part(look, records, ret_graph, err);
	if (look->titles)
		(void)fclose(look->titles);
	free(look->is_taken);
	return r;
}

/* --- the run -------------------------------------------------------------------------------------- */

/* 0: no limit. */
static unsigned find_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
		size.ws_col > 0)
		return size.ws_col;
	return columns && atoi(columns) > 0 ? (unsigned)atoi(columns) : 0;
}

static int print(const char *folder, const struct cli_options *options, uint64_t records)
{
	char count[32], width[32];
	const char *words[] = { "sluice-stage", "--peek", folder, "--records", count, "--width",
		width, options->json ? "--json" : NULL, NULL };

	(void)snprintf(count, sizeof(count), "%" PRIu64, records);
	(void)snprintf(width, sizeof(width), "%u", find_width());
	return apart_ask(words, NULL) == 0 ? CLI_OK : CLI_FAILED;
}

static int run_part(
	struct graph *graph, const char *folder, const struct cli_options *options, struct err *err)
{
	struct apart_end end = { 0 };
	int r = apart_run(graph, folder,
		options->duration_ns ? options->duration_ns : LIMIT_DEFAULT, stderr, &end, err);

	if (r < 0)
		return r;
	if (end.is_over)
		(void)fprintf(stderr,
			"sluice peek: the input has not ended: this is what has come; --for 1m "
			"waits longer\n");
	return end.has_failed ? err_set(err, -EIO, "the pipeline failed: %s", end.reason) : 0;
}

static int find_stage(const struct graph *graph, const char *name, struct err *err)
{
	char names[600] = "";
	int found = name ? part_find(graph, name, true) : -1;
	size_t used = 0;

	if (!name || found >= 0)
		return found;
	for (uint32_t i = 0; i < graph->stage_count && used < sizeof(names) - 1; i++) {
		const struct graph_stage *stage = &graph->stages[i];

		/* The second half of a stage with state has been named. */
		if (part_is_source(stage) || stage->role != SL_SOURCE)
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%.*s",
				i ? ", " : "", part_name_length(stage), stage->name);
	}
	return err_set(err, -ENOENT, "%s has no stage `%s`; it has %s", graph->file, name, names);
}

static int peek(
	const struct graph *graph, char *folder, const struct cli_options *options, struct err *err)
{
	struct look look = { .graph = graph };
	uint64_t records = options->records ? options->records : RECORDS_DEFAULT;
	_cleanup_free_ char *titles = NULL;
	struct graph *part = NULL;
	size_t size = 0;
	int r;

	look.stage = find_stage(graph, options->second, err);
	if (look.stage == -ENOENT)
		return -ENOENT;
	r = look_at(&look, records, &titles, &size, &part, err);
	if (r == 0)
		r = apart_make(folder, err);
	if (r < 0) {
		graph_free(part);
		return r;
	}
	r = apart_write(folder, TITLES, titles, size, err);
	if (r == 0)
		r = run_part(part, folder, options, err);
	if (r == 0)
		r = print(folder, options, records);
	apart_remove(folder);
	graph_free(part);
	return r;
}

static int run_peek(const struct cli_command *command, int argc, char **argv)
{
	struct cli_options options;
	char folder[APART_FOLDER_SIZE];
	struct graph *graph = NULL;
	struct plan plan;
	struct err err = { 0 };
	int r = cli_parse(command, argc, argv, "FILE", &options);

	if (r != 0)
		return r == 1 ? CLI_OK : CLI_USAGE;
	apart_name(command->name, folder);
	r = plan_make(options.file, options.sets.items, folder, folder, &plan, &err);
	if (r < 0) {
		if (r != -EINVAL)
			(void)fprintf(stderr, "sluice peek: %s\n", err.text);
		return cli_plan_status(r);
	}
	r = graph_join(plan.graph, &graph, &err);
	if (r == 0)
		r = peek(graph, folder, &options, &err);
	if (r < 0)
		(void)fprintf(stderr, "sluice peek: %s\n", err.text[0] ? err.text : err_name(r));
	graph_free(graph);
	plan_fini(&plan);
	return r < 0 ? CLI_FAILED : r;
}

const struct cli_command cli_peek = {
	.name = "peek",
	.arguments = "FILE [STAGE] [--records N] [--json] [--for DURATION] [--set NAME=VALUE]",
	.summary = "shows the first records, stage by stage",
	.has_second = true,
	.help = help,
	.run = run_peek,
};
