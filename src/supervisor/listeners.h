/* SPDX-License-Identifier: MIT */
/*
 * The sockets at which sources listen. The supervisor opens them, or has them from systemd, and lends each to the processes of its stage: so a
 * listener outlives them, and over a death or a reload nobody who connects is refused. It never accepts or reads.
 */
#ifndef SUPERVISOR_LISTENERS_H
#define SUPERVISOR_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/graph.h"

struct listener {
	char *address; /* as graph_stage.listen */
	int fd;
	bool is_given; /* by systemd: it stays */
};

/* Zeroed is empty. */
struct listeners {
	struct listener *items;
	uint32_t count;
};

/* Takes the sockets that systemd passed, if it did, and their names from the environment. Once, at the begin. */
void listeners_take(struct listeners *listeners);
/*
 * Opens what the graph's sources name and is not open yet. 0; negative errno, with file, line and what to do in `err`: some may be open then, see
 * listeners_keep.
 */
int listeners_open(struct listeners *listeners, const struct graph *graph, struct err *err);
/* Closes what no source of the graph names. */
void listeners_keep(struct listeners *listeners, const struct graph *graph);
/* Who connects from now on is refused, but at what systemd opened: it serves who comes after us, too. */
void listeners_refuse(struct listeners *listeners);
void listeners_close(struct listeners *listeners);

/* The socket of that stage; -1: it listens nowhere. Borrowed. */
int listeners_find(const struct listeners *listeners, const struct graph_stage *stage);
/* The next name at or behind *at that systemd gave and no source of the graph takes; NULL: there is none. *at goes behind it. */
const char *listeners_unused(
	const struct listeners *listeners, const struct graph *graph, uint32_t *at);

#endif
