/* SPDX-License-Identifier: MIT */
/* Runs a plan in the foreground and shows it: what `run` and `dead replay` have in common. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "cli/cli.h"
#include "supervisor/supervisor.h"

/* The exit status; options->was_stopped says whether a signal ended it. */
int run_plan(struct plan *plan, struct supervisor_start start, struct cli_options *options);

#endif
