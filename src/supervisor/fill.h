/* SPDX-License-Identifier: MIT */
/*
 * How full the stores between stages are (config/graph.h), from the counters of their two halves: the one alone puts into it, the other alone takes out
 * of it, so the difference of what both say is right whatever either does. Only looks.
 */
#ifndef SUPERVISOR_FILL_H
#define SUPERVISOR_FILL_H

#include "config/graph.h"
#include "stats/page.h"

struct fill {
	struct graph_store store;
	uint64_t records; /* that are not settled behind it */
	uint64_t bytes;   /* that count towards store.max */
};

/* Of the store that begins with that stage. False: none does. Each half is one process, and so one page; NULL: false. Of a stage with state each two of
 * one number have a store of their own. */
bool fill_of(const struct graph *graph, uint32_t in, const struct page *put,
	const struct page *taken, struct fill *ret);
/* As if they were one. */
void fill_add(struct fill *fill, const struct fill *other);
/* "3.4 MiB of 1 GiB in the store"; returns `text`. */
const char *fill_print(const struct fill *fill, char *text, size_t size);

#endif
