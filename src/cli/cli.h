/* SPDX-License-Identifier: MIT */
/* The command line: one file per subcommand, each a row of the table in main.c. Exit statuses: DESIGN and sluice(1). */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/set.h"

enum cli_status {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_DEAD = 3,    /* settled, but records were given up */
	CLI_CONFIG = 78, /* EX_CONFIG */
};

struct cli_command {
	const char *name;
	const char *arguments; /* "FILE [--state DIR]" */
	const char *summary;   /* one line */
	bool has_second;       /* there may be another argument behind FILE */
	const char *help;      /* the rest of --help; "" for none */
	int (*run)(const struct cli_command *command, int argc,
		char **argv); /* argv[0] is the command's name */
};

extern const struct cli_command cli_run, cli_check, cli_graph, cli_list, cli_describe, cli_advise,
	cli_dead, cli_peek, cli_test, cli_status, cli_drain, cli_stop, cli_reload, cli_audit;

void cli_help(const struct cli_command *command, FILE *file);
/* "sluice run: TEXT; see `sluice run --help`" to stderr; CLI_USAGE. */
int cli_usage(const struct cli_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Options and one FILE that most commands have. */
struct cli_options {
	const char *file;
	const char *second; /* behind FILE, of a command that has one: STAGE of peek; or NULL */
	const char *state;
	const char *runtime;
	struct sets sets; /* --set */
	int dot;
	int quiet;
	int64_t duration_ns; /* --for; 0: not given */
	uint64_t records;    /* --records; 0: not given */
	int with_sinks;
	const char *stage;
	const char *id;
	int all;
	int resume;
	int from_start;
	int accept_mixed;
	int json;
	int no_wait;
	int was_stopped; /* run_plan: by a signal */
};

/* What to end with when plan_make has answered `r`: CLI_CONFIG, or CLI_FAILED when another time might be better. */
int cli_plan_status(int r);

/* 0: go on; 1: help was given, end with CLI_OK; 2: usage was said, end with CLI_USAGE. `wants_file`: what FILE is called; NULL: none. */
int cli_parse(const struct cli_command *command, int argc, char **argv, const char *wants_file,
	struct cli_options *ret);

#endif
