/* SPDX-License-Identifier: MIT */
/* reload: a running pipeline goes on as its config file says now. */
#include "cli/client.h"

#include <errno.h>

static const char help[] =
	"The sources pause, what was read is settled, and the pipeline goes on in the same run "
	"with "
	"the stages that the\n"
	"file has now. A wrong file, or what does not settle within `drain_timeout`, changes "
	"nothing. As with SIGHUP.\n"
	"\n"
	"--set NAME=VALUE  as its start had it\n"
	"--runtime DIR  where its socket is (default: as for run)\n"
	"\n"
	"Exit status: 0 reloaded; 1 not, or not running; 78 bad config.\n";

/* What is wrong is shown to who asks, not only to the log of the supervisor. */
static int check(const struct client *client)
{
	struct err err = { 0 };
	struct plan plan;
	int r = plan_make(client->options.file, client->options.sets.items, client->options.state,
		client->options.runtime, &plan, &err);

	if (r < 0 && r != -EINVAL)
		(void)fprintf(stderr, "sluice reload: %s\n", err.text);
	if (r == 0)
		plan_fini(&plan);
	return r == 0 ? -1 : cli_plan_status(r);
}

static int run_reload(const struct cli_command *command, int argc, char **argv)
{
	struct client client;
	struct reply reply;
	bool is_done;
	int r = client_init(&client, command, argc, argv);

	if (r < 0)
		r = check(&client);
	if (r < 0)
		r = client_ask(&client, "POST", "/v1/reload", true, &reply);
	if (r >= 0)
		return r;
	is_done = json_is_true(json_object_get(reply.json, "reloaded"));
	(void)fprintf(is_done ? stdout : stderr, "%s: %s\n", client.place.name,
		reply_text(reply.json, "text"));
	reply_fini(&reply);
	return is_done ? CLI_OK : CLI_FAILED;
}

const struct cli_command cli_reload = {
	.name = "reload",
	.arguments = "FILE [--set NAME=VALUE] [--runtime DIR]",
	.summary = "lets a running pipeline go on as its file says now",
	.help = help,
	.run = run_reload,
};
