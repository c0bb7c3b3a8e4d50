/* SPDX-License-Identifier: MIT */
/* check, graph: what a config says, without running it. */
#include "cli/cli.h"

#include <errno.h>

#include "base/units.h"
#include "config/graph_print.h"
#include "supervisor/plan.h"

/* The plan, or the status to end with. */
static int load(const struct cli_command *command, int argc, char **argv,
	struct cli_options *options, struct plan *plan)
{
	struct err err = { 0 };
	int r = cli_parse(command, argc, argv, "FILE", options);

	if (r != 0)
		return r == 1 ? CLI_OK : CLI_USAGE;
	r = plan_make(
		options->file, options->sets.items, options->state, options->runtime, plan, &err);
	if (r == 0)
		return -1;
	if (r != -EINVAL)
		(void)fprintf(stderr, "sluice %s: %s\n", command->name, err.text);
	return cli_plan_status(r);
}

static int run_check(const struct cli_command *command, int argc, char **argv)
{
	struct cli_options options;
	struct plan plan;
	uint32_t processes = 0;
	char memory[32];
	int r = load(command, argc, argv, &options, &plan);

	if (r >= 0)
		return r;
	for (uint32_t i = 0; i < plan.graph->stage_count; i++)
		processes += plan.graph->stages[i].processes;
	(void)printf("%s: ok: pipeline `%s`, %u stages, %u processes, at most %s in flight\n",
		options.file, plan.graph->name, plan.graph->stage_count, processes,
		units_print_size(graph_memory(plan.graph), memory, sizeof(memory)));
	plan_fini(&plan);
	return CLI_OK;
}

static int run_graph(const struct cli_command *command, int argc, char **argv)
{
	struct cli_options options;
	struct plan plan;
	int r = load(command, argc, argv, &options, &plan);

	if (r >= 0)
		return r;
	if (options.dot)
		graph_print_dot(plan.graph, stdout);
	else
		graph_print_text(plan.graph, stdout);
	plan_fini(&plan);
	return CLI_OK;
}

const struct cli_command cli_check = {
	.name = "check",
	.arguments = "FILE [--set NAME=VALUE] [--runtime DIR]",
	.summary = "checks a config and prints every problem",
	.help = "Exit status 0: no error; 78: errors. Nothing is started, nothing is written.\n",
	.run = run_check,
};

const struct cli_command cli_graph = {
	.name = "graph",
	.arguments = "FILE [--set NAME=VALUE] [--dot]",
	.summary = "shows the graph of a config",
	.help = "--dot   for Graphviz: sluice graph FILE --dot | dot -Tsvg -o graph.svg\n",
	.run = run_graph,
};
