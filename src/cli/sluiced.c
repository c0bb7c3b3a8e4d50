/* SPDX-License-Identifier: MIT */
/*
 * sluiced: the supervisor as a service, Type=notify. READY when all stages are; lines go to stderr with the
 * priority in front, as the journal reads it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "cli/cli.h"
#include "supervisor/supervisor.h"

static const char usage[] =
	"usage: sluiced --config FILE [--from-start] [--accept-mixed] [--state DIR] [--runtime "
	"DIR]\n"
	"\n"
	"Runs a pipeline as a service: no terminal, READY to systemd when all stages are ready.\n"
	"SIGTERM stops reading and settles what was read; a second one stops at once.\n"
	"It goes on where the checkpoints stand; --from-start begins anew, and --accept-mixed goes "
	"on in the\n"
	"middle of a run although the config has changed.\n"
	"Exit status: as of `sluice run`.\n";

static void on_line(void *user, int level, const char *who, const char *text)
{
	(void)user;
	(void)fprintf(stderr, "<%d>%s%s%s\n", level, who ? who : "", who ? ": " : "", text);
}

static void on_ready(void *user)
{
	(void)user;
	(void)sd_notify(0, "READY=1\nSTATUS=all stages are ready");
}

static void on_stopping(void *user)
{
	on_line(user, 5, NULL, "stopping: what was read is being settled");
	(void)sd_notify(0, "STOPPING=1\nSTATUS=draining");
}

static int serve(struct plan *plan, struct supervisor_start start)
{
	const struct supervisor_view view = {
		.line = on_line, .ready = on_ready, .stopping = on_stopping
	};
	struct supervisor *supervisor;
	struct supervisor_result result;
	struct err err = { 0 };
	int r = plan_lock(plan, &err);

	if (r == 0)
		r = supervisor_run(plan, start, &view, &supervisor, &err);
	if (r < 0) {
		on_line(NULL, 3, NULL, err.text);
		return CLI_FAILED;
	}
	supervisor_result(supervisor, &result);
	if (result.end == SUPERVISOR_FAILED)
		on_line(NULL, 3, NULL, result.reason);
	supervisor_free(supervisor);
	return (int)result.end;
}

enum {
	OPT_CONFIG = 256,
	OPT_STATE,
	OPT_RUNTIME,
	OPT_FROM_START,
	OPT_ACCEPT_MIXED,
	OPT_VERSION,
	OPT_SET
};

/* clang-format off */
static const struct option options[] = {
	{ "config",  required_argument, NULL, OPT_CONFIG },
	{ "state",   required_argument, NULL, OPT_STATE },
	{ "runtime", required_argument, NULL, OPT_RUNTIME },
	{ "from-start", no_argument,    NULL, OPT_FROM_START },
	{ "accept-mixed", no_argument,  NULL, OPT_ACCEPT_MIXED },
	{ "set",     required_argument, NULL, OPT_SET },
	{ "help",    no_argument,       NULL, 'h' },
	{ "version", no_argument,       NULL, OPT_VERSION },
	{ 0 },
};
/* clang-format on */

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct cli_options *o)
{
	struct err err = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OPT_CONFIG:
			o->file = optarg;
			break;
		case OPT_STATE:
			o->state = optarg;
			break;
		case OPT_RUNTIME:
			o->runtime = optarg;
			break;
		case OPT_FROM_START:
			o->from_start = 1;
			break;
		case OPT_ACCEPT_MIXED:
			o->accept_mixed = 1;
			break;
		case OPT_SET:
			if (sets_add(&o->sets, optarg, &err) < 0) {
				(void)fprintf(stderr, "sluiced: %s\n", err.text);
				return CLI_USAGE;
			}
			break;
		case OPT_VERSION:
			(void)puts("sluiced " SLUICE_VERSION);
			return CLI_OK;
		case 'h':
			(void)fputs(usage, stdout);
			return CLI_OK;
		default:
			return CLI_USAGE;
		}
	}
	if (o->file && optind == argc)
		return -1;
	(void)fputs(usage, stderr);
	return CLI_USAGE;
}

int main(int argc, char **argv)
{
	struct cli_options o = { 0 };
	struct err err = { 0 };
	struct plan plan;
	int r = parse(argc, argv, &o);

	if (r >= 0)
		return r;
	r = plan_make(o.file, o.sets.items, o.state, o.runtime, &plan, &err);
	if (r < 0) {
		if (r != -EINVAL)
			on_line(NULL, 3, NULL, err.text);
		return plan_is_wrong(r) ? CLI_CONFIG : CLI_FAILED;
	}
	r = serve(&plan,
		(struct supervisor_start){ .mode = o.from_start ? RESUME_NEVER : RESUME_ALWAYS,
			.accept_mixed = o.accept_mixed });
	plan_fini(&plan);
	return r;
}
