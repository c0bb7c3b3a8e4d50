/* SPDX-License-Identifier: MIT */
/* See listeners.h. */
#include "supervisor/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/address.h"

#define GIVEN "fd:"

static int add(struct listeners *listeners, char *address, int fd, bool is_given)
{
	struct listener *items =
		reallocarray(listeners->items, listeners->count + 1, sizeof(*items));

	if (!items || !address) {
		listeners->items = items ? items : listeners->items;
		free(address);
		(void)close(fd);
		return -ENOMEM;
	}
	listeners->items = items;
	items[listeners->count++] = (struct listener){ address, fd, is_given };
	return 0;
}

void listeners_take(struct listeners *listeners)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(true, &names);

	for (int i = 0; i < count; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		char *address = NULL;

		if (asprintf(&address, GIVEN "%s", names[i]) < 0)
			address = NULL;
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		/* Without memory the stage that wants it is told that there is none. */
		(void)add(listeners, address, fd, true);
		free(names[i]);
	}
	free(names);
}

/* --- opening -------------------------------------------------------------------------------------- */

static const struct listener *find(const struct listeners *listeners, const char *address)
{
	for (uint32_t i = 0; i < listeners->count; i++)
		if (strcmp(listeners->items[i].address, address) == 0)
			return &listeners->items[i];
	return NULL;
}

static int say_not_given(
	const struct listeners *listeners, const struct graph_stage *stage, struct err *err)
{
	const char *name = stage->listen + strlen(GIVEN);
	char list[400] = "";
	size_t size = 0;

	for (uint32_t i = 0; i < listeners->count && size < sizeof(list); i++)
		if (listeners->items[i].is_given)
			size += (size_t)snprintf(list + size, sizeof(list) - size, "%s\"%s\"",
				size > 0 ? ", " : "", listeners->items[i].address + strlen(GIVEN));
	return err_set(err, -ENOENT,
		"%s:%u: systemd gave no socket of the name \"%s\" (%s%s): write "
		"FileDescriptorName=%s "
		"into the .socket unit, and start the pipeline by it, or write an address as "
		"tcp://127.0.0.1:5514",
		stage->file, stage->line, name, size > 0 ? "but " : "and no other", list, name);
}

static int check_given(
	const struct listeners *listeners, const struct graph_stage *stage, struct err *err)
{
	uint32_t count = 0;
	const char *wrong = NULL;

	for (uint32_t i = 0; i < listeners->count; i++) {
		const struct listener *listener = &listeners->items[i];

		if (strcmp(listener->address, stage->listen) != 0)
			continue;
		count++;
		if (sd_is_socket(listener->fd, AF_UNSPEC, 0, -1) <= 0)
			wrong = "is no socket: write ListenStream= or ListenDatagram=";
		else if (sd_is_socket(listener->fd, AF_UNSPEC, SOCK_STREAM, -1) > 0 &&
			 sd_is_socket(listener->fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
			wrong = "does not listen: write Accept=no";
	}
	if (count == 0)
		return say_not_given(listeners, stage, err);
	if (count > 1)
		wrong = "stands for several sockets: write a .socket unit, with a "
			"FileDescriptorName= of its own, for each";
	return wrong ? err_set(err, -EINVAL, "%s:%u: what systemd gave as \"%s\" %s", stage->file,
			       stage->line, stage->listen + strlen(GIVEN), wrong)
		     : 0;
}

static int open_one(struct listeners *listeners, const struct graph_stage *stage, struct err *err)
{
	struct address address;
	struct err why = { 0 };
	int r = address_parse(stage->listen, &address, &why);

	if (r == 0 && address.given)
		return check_given(listeners, stage, err);
	if (r == 0 && find(listeners, stage->listen))
		return 0;
	if (r == 0)
		r = address_listen(&address, stage->listen, &why);
	if (r < 0)
		return err_set(err, r, "%s:%u: %s", stage->file, stage->line, why.text);
	r = add(listeners, strdup(stage->listen), r, false);
	return r < 0 ? err_set(err, r, "no memory") : 0;
}

int listeners_open(struct listeners *listeners, const struct graph *graph, struct err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < graph->stage_count && r == 0; i++)
		if (graph->stages[i].listen)
			r = open_one(listeners, &graph->stages[i], err);
	return r;
}

/* --- closing -------------------------------------------------------------------------------------- */

static bool is_named(const struct listener *listener, const struct graph *graph)
{
	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (graph->stages[i].listen &&
			strcmp(graph->stages[i].listen, listener->address) == 0)
			return true;
	return false;
}

/* The path goes with the socket. */
static void close_one(struct listener *listener)
{
	struct address address;

	if (!listener->is_given && address_parse(listener->address, &address, NULL) == 0 &&
		address.path)
		(void)unlink(address.path);
	(void)close(listener->fd);
	free(listener->address);
}

void listeners_keep(struct listeners *listeners, const struct graph *graph)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < listeners->count; i++) {
		struct listener *listener = &listeners->items[i];

		if (listener->is_given || is_named(listener, graph))
			listeners->items[kept++] = *listener;
		else
			close_one(listener);
	}
	listeners->count = kept;
}

void listeners_refuse(struct listeners *listeners)
{
	for (uint32_t i = 0; i < listeners->count; i++)
		if (!listeners->items[i].is_given &&
			sd_is_socket(listeners->items[i].fd, AF_UNSPEC, SOCK_STREAM, 1) > 0)
			(void)shutdown(listeners->items[i].fd, SHUT_RDWR);
}

void listeners_close(struct listeners *listeners)
{
	for (uint32_t i = 0; i < listeners->count; i++)
		close_one(&listeners->items[i]);
	free(listeners->items);
	*listeners = (struct listeners){ 0 };
}

int listeners_find(const struct listeners *listeners, const struct graph_stage *stage)
{
	const struct listener *listener = stage->listen ? find(listeners, stage->listen) : NULL;

	return listener ? listener->fd : -1;
}

const char *listeners_unused(
	const struct listeners *listeners, const struct graph *graph, uint32_t *at)
{
	while (*at < listeners->count) {
		const struct listener *listener = &listeners->items[(*at)++];

		if (listener->is_given && !is_named(listener, graph))
			return listener->address + strlen(GIVEN);
	}
	return NULL;
}
