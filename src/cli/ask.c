/* SPDX-License-Identifier: MIT */
/* list, describe: questions that only sluice-stage can answer, since it has the stages. It takes this process's place. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/plan.h"

static int ask(const char *option, const char *argument)
{
	const char *argv[] = { "sluice-stage", option, argument, NULL };

	(void)execv(plan_stage_program(), (char *const *)argv);
	(void)fprintf(stderr, "sluice: cannot run %s: %s\n", plan_stage_program(), err_name(errno));
	return CLI_FAILED;
}

static int run_list(const struct cli_command *command, int argc, char **argv)
{
	struct cli_options options;
	int r = cli_parse(command, argc, argv, NULL, &options);

	return r ? (r == 1 ? CLI_OK : CLI_USAGE) : ask("--list", NULL);
}

static int run_describe(const struct cli_command *command, int argc, char **argv)
{
	struct cli_options options;
	int r = cli_parse(command, argc, argv, "STAGE", &options);

	return r ? (r == 1 ? CLI_OK : CLI_USAGE) : ask("--describe", options.file);
}

const struct cli_command cli_list = {
	.name = "list",
	.arguments = "",
	.summary = "shows the stages there are",
	.help = "",
	.run = run_list,
};

const struct cli_command cli_describe = {
	.name = "describe",
	.arguments = "STAGE",
	.summary = "shows a stage's options: types, defaults, units, examples",
	.help = "Where a source and a sink have the same name, both are shown.\n",
	.run = run_describe,
};
