/* SPDX-License-Identifier: MIT */
/*
 * Talks to the supervisor that runs a pipeline: HTTP on its control socket (supervisor/control.h), by libcurl. Blocks. One
 * thread.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>

#include "cli/cli.h"
#include "supervisor/plan.h"

struct client {
	const struct cli_command *command;
	struct cli_options options;
	struct plan_place place;
};

/* What a supervisor answered. */
struct reply {
	long status; /* of HTTP */
	char *text;  /* as it came; to be freed */
	size_t size;
	json_t *json; /* the same; NULL: it was none */
};

/* Parses the command line and finds the socket. -1: go on; else the exit status, and why was said. */
int client_init(struct client *client, const struct cli_command *command, int argc, char **argv);
/*
 * Asks; `wait`: for as long as it takes, else for 10 s. -1: *ret is there (reply_fini) and its status is one of success; else
 * the exit status, and why was said on stderr.
 */
int client_ask(const struct client *client, const char *method, const char *route, bool wait,
	struct reply *ret);
void reply_fini(struct reply *reply);

/* Members of an object. What is missing, or of another type, is "" or 0. */
const char *reply_text(const json_t *object, const char *key);
uint64_t reply_number(const json_t *object, const char *key);
double reply_real(const json_t *object, const char *key);

#endif
