/* SPDX-License-Identifier: MIT */
/*
 * sluice-stage: one stage process, or one of the questions that need the stages' tables (--check, --list, --describe).
 * Only the supervisor starts it as a stage: with its end of the words at WORD_CHILD_FD.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/word.h"
#include "config/describe.h"
#include "config/expand.h"
#include "config/report.h"
#include "engine/host.h"
#include "engine/judge.h"
#include "engine/letters.h"
#include "engine/peek.h"
#include "engine/points.h"
#include "engine/registry.h"

enum {
	OPT_CHECK = 256,
	OPT_NAME,
	OPT_TESTS,
	OPT_PEEK,
	OPT_JUDGE,
	OPT_RECORDS,
	OPT_WIDTH,
	OPT_JSON,
	OPT_ANY_ORDER,
	OPT_LIST,
	OPT_DESCRIBE,
	OPT_REFERENCE,
	OPT_PAGE,
	OPT_BUILT_IN,
	OPT_DEAD,
	OPT_STATE,
	OPT_STAGE,
	OPT_ID,
	OPT_LAST,
	OPT_WHOLE,
	OPT_INSTANCE,
	OPT_POINT,
	OPT_RUN,
	OPT_SERIES,
	OPT_RUNTIME,
	OPT_GRAPH_FD,
	OPT_SET,
	OPT_DO_WITHOUT,
	OPT_HELP,
	OPT_VERSION
};

/* clang-format off */
static const struct option options[] = {
	{ "check",     required_argument, NULL, OPT_CHECK },
	{ "name",      required_argument, NULL, OPT_NAME },
	{ "tests",     required_argument, NULL, OPT_TESTS },
	{ "peek",      required_argument, NULL, OPT_PEEK },
	{ "records",   required_argument, NULL, OPT_RECORDS },
	{ "width",     required_argument, NULL, OPT_WIDTH },
	{ "json",      no_argument,       NULL, OPT_JSON },
	{ "judge",     required_argument, NULL, OPT_JUDGE },
	{ "any-order", no_argument,       NULL, OPT_ANY_ORDER },
	{ "list",      no_argument,       NULL, OPT_LIST },
	{ "describe",  required_argument, NULL, OPT_DESCRIBE },
	{ "reference", no_argument,       NULL, OPT_REFERENCE },
	{ "page",      required_argument, NULL, OPT_PAGE },
	{ "built-in",  no_argument,       NULL, OPT_BUILT_IN },
	{ "dead",      required_argument, NULL, OPT_DEAD },
	{ "state",     required_argument, NULL, OPT_STATE },
	{ "stage",     required_argument, NULL, OPT_STAGE },
	{ "id",        required_argument, NULL, OPT_ID },
	{ "last",      required_argument, NULL, OPT_LAST },
	{ "whole",     no_argument,       NULL, OPT_WHOLE },
	{ "instance",  required_argument, NULL, OPT_INSTANCE },
	{ "point",     required_argument, NULL, OPT_POINT },
	{ "run",       required_argument, NULL, OPT_RUN },
	{ "series",    required_argument, NULL, OPT_SERIES },
	{ "runtime",   required_argument, NULL, OPT_RUNTIME },
	{ "graph-fd",  required_argument, NULL, OPT_GRAPH_FD },
	{ "set",       required_argument, NULL, OPT_SET },
	{ "do-without", no_argument,      NULL, OPT_DO_WITHOUT },
	{ "help",      no_argument,       NULL, OPT_HELP },
	{ "version",   no_argument,       NULL, OPT_VERSION },
	{ 0 },
};
/* clang-format on */

static const char usage[] =
	"sluice-stage: one process of a stage. Only the supervisor starts it; you want `sluice`.\n"
	"\n"
	"  --check FILE [--set NAME=VALUE] [--runtime DIR] [--graph-fd N]   print every problem of "
	"a config; the "
	"resolved graph to N\n"
	"  --name FILE [--set NAME=VALUE] [--graph-fd N]    only what its pipeline is called; to "
	"N\n"
	"  --tests FILE [--set NAME=VALUE] --graph-fd N     the tests of a config; to N\n"
	"  --do-without                                  with --check and --tests: credentials "
	"that "
	"are not there stand for themselves\n"
	"  --peek DIR --records N [--width N] [--json]      what a peek has seen\n"
	"  --judge DIR [--any-order]                        whether a test went as expected\n"
	"  --list                                        the stages there are\n"
	"  --describe STAGE                              the options of all stages of that name\n"
	"  --reference                                   the option reference, as roff\n"
	"  --page STAGE                                  its option table, as markdown\n"
	"  --built-in                                    with these: as if there were no modules\n"
	"  --dead ACTION --state DIR [--stage STAGE] [--id N] [--last N] [--whole]   dead letters\n"
	"  --point make|restore --state DIR --run N --series N --graph-fd N   what survives a "
	"power "
	"cut\n"
	"  --help, --version\n";

#define PARAMETERS_MAX 64

struct request {
	int what;
	const char *argument;
	const char *runtime;
	const char *parameters[PARAMETERS_MAX + 1];
	int parameter_count;
	int graph_fd;
	bool is_built_in;
	const char *state;
	uint64_t run;
	uint64_t series;
	struct dead_choice choice;
	struct peek peek;
	bool any_order;
};

static void say_unknown(const char *name)
{
	const char *refusal = NULL;

	for (int role = SL_SOURCE; role <= SL_SINK && !refusal; role++)
		refusal = registry_stages.refusal((enum sl_role)role, name);
	(void)fprintf(stderr, "no stage \"%s\": %s\n", name,
		refusal ? refusal
			: "`sluice list` shows those there are; if a module has it, set "
			  "SLUICE_STAGE_PATH to the module's folder");
}

/* Every stage of that name, in each of its roles; EX_USAGE when there is none. */
static int describe(const char *name, void (*print)(const struct sl_stage *, FILE *))
{
	bool is_known = false;

	for (unsigned i = 0; registry_at(i); i++) {
		if (strcmp(registry_at(i)->name, name) != 0)
			continue;
		print(registry_at(i), stdout);
		is_known = true;
	}
	if (!is_known)
		say_unknown(name);
	return is_known ? EXIT_SUCCESS : 2;
}

/* A stage process: never without its supervisor, which is our parent or gone. */
static int run_instance(void)
{
	int type = 0;
	socklen_t size = sizeof(type);

	if (getsockopt(WORD_CHILD_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
		type != SOCK_SEQPACKET) {
		(void)fputs("sluice-stage --instance is for the supervisor only\n", stderr);
		return 2;
	}
	log_set_prefixed(true);
	/* The terminal's Ctrl-C is the supervisor's business. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	return host_main(WORD_CHILD_FD);
}

/* Does the answer depend on what stages there are? */
static bool is_about_stages(int what)
{
	return what == OPT_CHECK || what == OPT_TESTS || what == OPT_LIST || what == OPT_DESCRIBE ||
	       what == OPT_PAGE || what == OPT_REFERENCE;
}

static int answer(const struct request *request)
{
	if (is_about_stages(request->what) && !request->is_built_in)
		registry_read_modules(stderr);
	switch (request->what) {
	case OPT_CHECK:
		return report_check(request->argument, request->parameters, request->runtime,
			&registry_stages, stderr, request->graph_fd);
	case OPT_NAME:
		return report_name(request->argument, request->parameters, stderr,
			request->graph_fd < 0 ? STDOUT_FILENO : request->graph_fd);
	case OPT_TESTS:
		return report_tests(request->argument, request->parameters, &registry_stages,
			stderr, request->graph_fd);
	case OPT_LIST:
		describe_list(&registry_stages, stdout);
		return EXIT_SUCCESS;
	case OPT_DESCRIBE:
		return describe(request->argument, describe_print);
	case OPT_PAGE:
		return describe(request->argument, describe_markdown);
	case OPT_REFERENCE:
		describe_roff(&registry_stages, stdout);
		return EXIT_SUCCESS;
	case OPT_INSTANCE:
		return run_instance();
	case OPT_DEAD:
		return letters_answer(
			request->argument, request->state ? request->state : ".", &request->choice);
	case OPT_PEEK:
		return peek_answer(&request->peek);
	case OPT_JUDGE:
		return judge_answer(request->argument, request->any_order);
	case OPT_POINT:
		return points_answer(request->argument, request->state ? request->state : ".",
			request->run, request->series, request->graph_fd);
	case OPT_HELP:
		(void)fputs(usage, stdout);
		return EXIT_SUCCESS;
	case OPT_VERSION:
		(void)puts("sluice-stage " SLUICE_VERSION);
		return EXIT_SUCCESS;
	default:
		(void)fputs(usage, stderr);
		return 2;
	}
}

/* Which dead letters, or which point. */
static bool take_choice(struct request *request, int c)
{
	switch (c) {
	case OPT_STATE:
		request->state = optarg;
		return true;
	case OPT_STAGE:
		request->choice.stage = optarg;
		return true;
	case OPT_ID:
		request->choice.id = atoll(optarg);
		return true;
	case OPT_LAST:
		request->choice.last = atoll(optarg);
		return true;
	case OPT_WHOLE:
		request->choice.is_whole = true;
		return true;
	case OPT_RUN:
		request->run = strtoull(optarg, NULL, 16);
		return true;
	case OPT_SERIES:
		request->series = strtoull(optarg, NULL, 16);
		return true;
	default:
		return false;
	}
}

/* What of a peek or a test is to be printed, and how. */
static bool take_view(struct request *request, int c)
{
	switch (c) {
	case OPT_RECORDS:
		request->peek.records = strtoull(optarg, NULL, 10);
		return true;
	case OPT_WIDTH:
		request->peek.width = (unsigned)strtoul(optarg, NULL, 10);
		return true;
	case OPT_JSON:
		request->peek.is_json = true;
		return true;
	case OPT_ANY_ORDER:
		request->any_order = true;
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	struct request request = { .graph_fd = -1 };
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == '?')
			return 2;
		if (take_choice(&request, c) || take_view(&request, c))
			continue;
		if (c == OPT_RUNTIME) {
			request.runtime = optarg;
		} else if (c == OPT_GRAPH_FD) {
			request.graph_fd = atoi(optarg);
		} else if (c == OPT_SET && request.parameter_count < PARAMETERS_MAX) {
			request.parameters[request.parameter_count++] = optarg;
		} else if (c == OPT_DO_WITHOUT) {
			expand_do_without();
		} else if (c == OPT_BUILT_IN) {
			request.is_built_in = true;
		} else {
			request.what = c == 'h' ? OPT_HELP : c;
			request.argument = optarg;
			request.peek.folder = optarg;
		}
	}
	return answer(&request);
}
