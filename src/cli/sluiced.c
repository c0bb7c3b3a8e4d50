/* SPDX-License-Identifier: MIT */
/*
 * sluiced: the supervisor as a service. It tells systemd what there is to know (supervisor/notify.h), and its lines go to the journal with
 * their fields (supervisor/journal.h).
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/again.h"
#include "cli/cli.h"
#include "supervisor/journal.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor.h"

static const char usage[] =
	"usage: sluiced --config FILE [--set NAME=VALUE] [--from-start] [--accept-mixed] [--state "
	"DIR] [--runtime DIR]\n"
	"\n"
	"Runs a pipeline as a service: no terminal, READY to systemd when all stages are ready.\n"
	"SIGTERM stops reading and settles what was read; a second one stops at once.\n"
	"It goes on where the checkpoints stand; --from-start begins anew, and --accept-mixed goes "
	"on in the\n"
	"middle of a run although the config has changed. --set says what ${NAME} stands for in "
	"the "
	"config.\n"
	"Exit status: as of `sluice run`.\n";

struct service {
	struct journal journal;
	struct notify notify;
};

static void say(struct service *service, enum log_event event, int level, const char *text)
{
	journal_line(&service->journal,
		&(struct log_line){ .event = event, .level = level, .text = text });
}

static void on_line(void *user, const struct log_line *line)
{
	journal_line(&((struct service *)user)->journal, line);
}

static void on_ready(void *user)
{
	struct service *service = user;

	say(service, LOG_EVENT_READY, LOG_LEVEL_INFO, "all stages are ready");
	notify_ready(&service->notify);
}

static void on_reloading(void *user, bool is_under_way)
{
	notify_reloading(&((struct service *)user)->notify, is_under_way);
}

static void on_stopping(void *user)
{
	struct service *service = user;

	say(service, LOG_EVENT_STOPPING, LOG_LEVEL_NOTICE,
		"stopping: what was read is being settled");
	notify_stopping(&service->notify);
}

static bool on_stuck(void *user, const char *reason)
{
	struct service *service = user;

	say(service, LOG_EVENT_STUCK, LOG_LEVEL_ERROR, reason);
	return notify_stuck(&service->notify, reason);
}

static void on_tick(void *user, const struct supervisor *supervisor)
{
	struct service *service = user;

	journal_tick(&service->journal);
	notify_tick(&service->notify, supervisor);
}

/* The last words. */
static void say_end(
	struct service *service, const struct supervisor_result *result, const struct again *again)
{
	char text[AGAIN_TEXT_MAX];

	again_text(text,
		"everything that was read is settled; what was given up is kept: ", "dead list",
		again);
	journal_flush(&service->journal);
	if (result->end == SUPERVISOR_FAILED)
		say(service, LOG_EVENT_FAILED, LOG_LEVEL_ERROR, result->reason);
	else if (result->end == SUPERVISOR_DEAD)
		say(service, LOG_EVENT_ENDED, LOG_LEVEL_WARNING,
			result->letters > 0 ? text
					    : "everything that was read is settled; records were "
					      "given up, and none of them is kept");
	else
		say(service, LOG_EVENT_ENDED, LOG_LEVEL_INFO,
			"everything that was read is settled");
}

static int serve(struct service *service, struct plan *plan, struct supervisor_start start,
	const struct cli_options *o)
{
	const struct supervisor_view view = {
		.line = on_line,
		.ready = on_ready,
		.reloading = on_reloading,
		.stopping = on_stopping,
		.stuck = on_stuck,
		.tick = on_tick,
		.user = service,
	};
	struct supervisor *supervisor;
	struct supervisor_result result;
	struct err err = { 0 };
	int r = plan_lock(plan, &err);

	if (r == 0)
		r = supervisor_run(plan, start, &view, &supervisor, &err);
	if (r < 0) {
		say(service, LOG_EVENT_FAILED, LOG_LEVEL_ERROR, err.text);
		return CLI_FAILED;
	}
	supervisor_result(supervisor, &result);
	/* Who reads that has not the environment of this process. */
	say_end(service, &result, &(struct again){ o->file, o->sets.items, plan->state, NULL });
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

static int run(struct service *service, const struct cli_options *o)
{
	const struct supervisor_start start = {
		.mode = o->from_start ? RESUME_NEVER : RESUME_ALWAYS,
		.accept_mixed = o->accept_mixed,
	};
	struct err err = { 0 };
	char name[PIPELINE_NAME_SIZE];
	struct plan plan;
	int r;

	/* Until the config says another one. */
	graph_name_of_file(o->file, name);
	journal_name(&service->journal, name);
	r = plan_make(o->file, o->sets.items, o->state, o->runtime, &plan, &err);

	if (r < 0) {
		/* What is wrong in the file was said by who found it. */
		say(service, plan_is_wrong(r) ? LOG_EVENT_BAD_CONFIG : LOG_EVENT_FAILED,
			LOG_LEVEL_ERROR, err.text[0] ? err.text : "the config cannot be used");
		return plan_is_wrong(r) ? CLI_CONFIG : CLI_FAILED;
	}
	journal_name(&service->journal, plan.graph->name);
	r = serve(service, &plan, start, o);
	journal_close(&service->journal);
	plan_fini(&plan);
	return r;
}

int main(int argc, char **argv)
{
	struct cli_options o = { 0 };
	struct service service;
	int r = parse(argc, argv, &o);

	if (r >= 0)
		return r;
	if (journal_open(&service.journal, "sluiced") < 0)
		return CLI_FAILED;
	notify_init(&service.notify);
	r = run(&service, &o);
	journal_close(&service.journal);
	notify_fini(&service.notify);
	return r;
}
