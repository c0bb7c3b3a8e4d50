/* SPDX-License-Identifier: MIT */
/* drain, stop: end a running pipeline, and say how it ended. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "cli/again.h"
#include "cli/client.h"

#define LEAVES_WITHIN 10000 /* ms, from its last answer to the end of its process */

static const char drain_help[] =
	"The sources stop, what was read is settled, the pipeline ends: as with Ctrl-C or "
	"SIGTERM.\n"
	"\n"
	"--no-wait      does not wait for the end\n"
	"--runtime DIR  where its socket is (default: as for run); FILE is not read then\n"
	"\n"
	"Exit status: 0 settled; 3 settled, but records were given up; 1 failed, or not running.\n";

static const char stop_help[] =
	"Every process ends now: as with a second Ctrl-C. What was read and is not settled is not "
	"waited for.\n"
	"\n"
	"--no-wait      does not wait for the end\n"
	"--runtime DIR  where its socket is (default: as for run); FILE is not read then\n"
	"\n"
	"Exit status: 0 it was stopped; 1 it was not running, or does not answer.\n";

/* A descriptor of the supervisor's process, -1: there is none to be had; or the exit status in *ret_status. */
static int watch_supervisor(const struct client *client, int *ret_status)
{
	struct reply reply;
	int fd;

	*ret_status = client_ask(client, "GET", "/v1/status", false, &reply);
	if (*ret_status >= 0)
		return -1;
	fd = pidfd_open((pid_t)reply_number(reply.json, "pid"), 0);
	reply_fini(&reply);
	return fd;
}

/* Who starts it again at once must find its folders unlocked. */
static void wait_for_process(int fd)
{
	struct pollfd process = { .fd = fd, .events = POLLIN };

	if (fd >= 0)
		(void)poll(&process, 1, LEAVES_WITHIN);
}

/* A service keeps its letters elsewhere than who asks would look for them, and has parameters that he has not. */
static void print_letters(const struct client *client, const json_t *end)
{
	const char *state = reply_text(end, "state_folder");
	const char *sets[SETS_MAX + 1] = { NULL };
	char usual[PATH_MAX];
	const json_t *parameters = json_object_get(end, "parameters");

	for (size_t i = 0; i < json_array_size(parameters) && i < SETS_MAX; i++)
		sets[i] = json_string_value(json_array_get(parameters, i));
	if (plan_find_state(client->place.name, NULL, usual) == 0 && strcmp(usual, state) == 0)
		state = NULL;
	(void)printf("what was given up is kept: ");
	again_print(
		stdout, "dead list", &(struct again){ client->options.file, sets, state, NULL });
	(void)putchar('\n');
}

static void print_end(const struct client *client, const json_t *end)
{
	const char *reason = reply_text(end, "reason");
	const char *how = reply_text(end, "end");
	bool is_kept = reply_number(end, "dead_letters") > 0;
	char elapsed[32], count[32];

	(void)units_print_count(reply_number(end, "given_up"), count, sizeof(count));
	(void)units_print_duration((int64_t)(reply_real(end, "elapsed_seconds") * NSEC_PER_SEC),
		elapsed, sizeof(elapsed));
	(void)printf("%s: ", client->place.name);
	if (strcmp(how, "settled") == 0)
		(void)printf("settled: every record that was read is accounted for");
	else if (strcmp(how, "dead_letters") == 0)
		(void)printf("settled; given up%s: %s", is_kept ? "" : ", and not kept", count);
	else
		(void)printf("%s", reason[0] ? reason : how);
	(void)printf("; it ran for %s\n", elapsed);
	if (is_kept)
		print_letters(client, end);
}

static int ask_to_end(const struct client *client, const char *route, int *ret_status)
{
	_cleanup_close_ int process = -1;
	char waiting[64];
	struct reply reply;
	int r;

	process = watch_supervisor(client, &r);
	if (r >= 0)
		return r;
	(void)snprintf(waiting, sizeof(waiting), "%s?wait=%d", route, !client->options.no_wait);
	r = client_ask(client, "POST", waiting, !client->options.no_wait, &reply);
	if (r >= 0)
		return r;
	*ret_status = CLI_OK;
	if (client->options.no_wait) {
		(void)printf("%s: %s\n", client->place.name, reply_text(reply.json, "state"));
	} else {
		wait_for_process(process);
		print_end(client, reply.json);
		*ret_status = (int)reply_number(reply.json, "status");
	}
	reply_fini(&reply);
	return -1;
}

static int run_drain(const struct cli_command *command, int argc, char **argv)
{
	struct client client;
	int status;
	int r = client_init(&client, command, argc, argv);

	if (r < 0)
		r = ask_to_end(&client, "/v1/drain", &status);
	return r < 0 ? status : r;
}

/* That it ended at once is what was wanted, whatever a run says of that. */
static int run_stop(const struct cli_command *command, int argc, char **argv)
{
	struct client client;
	int status;
	int r = client_init(&client, command, argc, argv);

	if (r < 0)
		r = ask_to_end(&client, "/v1/stop", &status);
	return r < 0 ? CLI_OK : r;
}

const struct cli_command cli_drain = {
	.name = "drain",
	.arguments = "FILE [--no-wait] [--runtime DIR]",
	.summary = "settles what was read, then ends the pipeline",
	.help = drain_help,
	.run = run_drain,
};

const struct cli_command cli_stop = {
	.name = "stop",
	.arguments = "FILE [--no-wait] [--runtime DIR]",
	.summary = "ends the pipeline at once",
	.help = stop_help,
	.run = run_stop,
};
