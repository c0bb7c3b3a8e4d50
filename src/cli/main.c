/* SPDX-License-Identifier: MIT */
/* sluice: the table of subcommands, and what they share. */
#include "cli/cli.h"

#include <ctype.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "supervisor/plan.h"

static const struct cli_command *const commands[] = { &cli_run, &cli_check, &cli_graph, &cli_list,
	&cli_describe, &cli_advise, &cli_peek, &cli_test, &cli_dead, &cli_status, &cli_drain,
	&cli_stop, &cli_reload, &cli_audit };

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

void cli_help(const struct cli_command *command, FILE *file)
{
	(void)fprintf(file, "usage: sluice %s %s\n\n%s.\n", command->name, command->arguments,
		command->summary);
	if (command->help[0])
		(void)fprintf(file, "\n%s", command->help);
}

int cli_usage(const struct cli_command *command, const char *format, ...)
{
	va_list args;

	(void)fprintf(stderr, "sluice %s: ", command->name);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fprintf(stderr, "; see `sluice %s --help`\n", command->name);
	return CLI_USAGE;
}

enum {
	OPT_STATE = 256,
	OPT_RUNTIME,
	OPT_DOT,
	OPT_FOR,
	OPT_RECORDS,
	OPT_WITH_SINKS,
	OPT_STAGE,
	OPT_ID,
	OPT_ALL,
	OPT_RESUME,
	OPT_FROM_START,
	OPT_ACCEPT_MIXED,
	OPT_JSON,
	OPT_NO_WAIT,
	OPT_SET
};

/* clang-format off */
static const struct option long_options[] = {
	{ "help",    no_argument,       NULL, 'h' },
	{ "quiet",   no_argument,       NULL, 'q' },
	{ "state",   required_argument, NULL, OPT_STATE },
	{ "runtime", required_argument, NULL, OPT_RUNTIME },
	{ "dot",     no_argument,       NULL, OPT_DOT },
	{ "for",     required_argument, NULL, OPT_FOR },
	{ "records", required_argument, NULL, OPT_RECORDS },
	{ "with-sinks", no_argument,    NULL, OPT_WITH_SINKS },
	{ "stage", required_argument, NULL, OPT_STAGE },
	{ "id", required_argument, NULL, OPT_ID },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "resume", no_argument, NULL, OPT_RESUME },
	{ "from-start", no_argument, NULL, OPT_FROM_START },
	{ "accept-mixed", no_argument, NULL, OPT_ACCEPT_MIXED },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "no-wait", no_argument, NULL, OPT_NO_WAIT },
	{ "set", required_argument, NULL, OPT_SET },
	{ 0 },
};
/* clang-format on */

#define RECORDS_MAX 1000000

/* An option that this command does not have is refused even though another has it. */
static int check_option(const struct cli_command *command, int c)
{
	char name[32];

	for (const struct option *option = long_options; option->name; option++) {
		if (option->val != c || c == 'h')
			continue;
		(void)snprintf(name, sizeof(name), "--%s", option->name);
		return strstr(command->arguments, name) ? 0
							: cli_usage(command, "no option %s", name);
	}
	return 0;
}

static int parse_count(const struct cli_command *command, uint64_t *ret_count)
{
	char *end;
	unsigned long long count = strtoull(optarg, &end, 10);

	if (!isdigit((unsigned char)optarg[0]) || *end || count == 0 || count > RECORDS_MAX)
		return cli_usage(
			command, "--records %s is no number from 1 to %d", optarg, RECORDS_MAX);
	*ret_count = count;
	return 0;
}

/* Those without a value; false: it is none of them. */
static bool take_flag(int c, struct cli_options *o)
{
	int *const flags[] = {
		[OPT_DOT - OPT_STATE] = &o->dot,
		[OPT_WITH_SINKS - OPT_STATE] = &o->with_sinks,
		[OPT_ALL - OPT_STATE] = &o->all,
		[OPT_RESUME - OPT_STATE] = &o->resume,
		[OPT_FROM_START - OPT_STATE] = &o->from_start,
		[OPT_ACCEPT_MIXED - OPT_STATE] = &o->accept_mixed,
		[OPT_JSON - OPT_STATE] = &o->json,
		[OPT_NO_WAIT - OPT_STATE] = &o->no_wait,
	};
	int *flag = c == 'q' ? &o->quiet : NULL;

	if (c >= OPT_STATE && c - OPT_STATE < (int)(sizeof(flags) / sizeof(flags[0])))
		flag = flags[c - OPT_STATE];
	if (flag)
		*flag = 1;
	return flag != NULL;
}

static int parse_option(const struct cli_command *command, int c, struct cli_options *o)
{
	int r = check_option(command, c);
	struct err err = { 0 };

	if (r != 0 || take_flag(c, o))
		return r;
	switch (c) {
	case 'h':
		cli_help(command, stdout);
		return 1;
	case OPT_STATE:
		o->state = optarg;
		return 0;
	case OPT_RUNTIME:
		o->runtime = optarg;
		return 0;
	case OPT_FOR:
		return units_parse_duration(optarg, &o->duration_ns) == 0 && o->duration_ns > 0
			       ? 0
			       : cli_usage(command, "--for %s is no duration: write --for 30s",
					 optarg);
	case OPT_RECORDS:
		return parse_count(command, &o->records);
	case OPT_STAGE:
		o->stage = optarg;
		return 0;
	case OPT_ID:
		o->id = optarg;
		return 0;
	case OPT_SET:
		return sets_add(&o->sets, optarg, &err) == 0 ? 0
							     : cli_usage(command, "%s", err.text);
	default:
		return cli_usage(command, "unknown option");
	}
}

int cli_parse(const struct cli_command *command, int argc, char **argv, const char *wants_file,
	struct cli_options *ret)
{
	int most = (wants_file ? 1 : 0) + command->has_second;
	int c;

	*ret = (struct cli_options){ 0 };
	optind = 1;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":hq", long_options, NULL)) != -1) {
		int r = c == '?'   ? cli_usage(command, "unknown option %s", argv[optind - 1])
			: c == ':' ? cli_usage(command, "%s needs a value", argv[optind - 1])
				   : parse_option(command, c, ret);

		if (r != 0)
			return r;
	}
	if (wants_file && optind == argc)
		return cli_usage(command, "%s is missing", wants_file);
	if (argc - optind > most)
		return cli_usage(command, "too many arguments: %s", argv[optind + most]);
	if (wants_file)
		ret->file = argv[optind];
	if (argc - optind == 2)
		ret->second = argv[optind + 1];
	return 0;
}

int cli_plan_status(int r)
{
	return plan_is_wrong(r) ? CLI_CONFIG : CLI_FAILED;
}

static void print_help(FILE *file)
{
	(void)fputs("sluice: moves records through a graph of processes, and loses none\n\nusage: "
		    "sluice COMMAND ...\n\n",
		file);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		(void)fprintf(file, "  %-9s %-36s %s\n", commands[i]->name, commands[i]->arguments,
			commands[i]->summary);
	(void)fputs("\n`sluice COMMAND --help` says more; sluice(1), sluice.conf(5).\n"
		    "Exit status: 0 settled; 3 settled, but records were given up; 1 failed; 2 "
		    "wrong command line; 78 bad config.\n",
		file);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return CLI_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		(void)puts("sluice " SLUICE_VERSION);
		return CLI_OK;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(argv[1], commands[i]->name) == 0)
			return commands[i]->run(commands[i], argc - 1, argv + 1);
	(void)fprintf(stderr, "sluice: no command \"%s\"; see `sluice --help`\n", argv[1]);
	return CLI_USAGE;
}
