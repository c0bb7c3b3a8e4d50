/* SPDX-License-Identifier: MIT */
/* The part of a pipeline that dead letters of one stage go through again: that stage and all that takes from it. */
#ifndef CLI_REPLAY_H
#define CLI_REPLAY_H

#include "base/err.h"
#include "config/graph.h"

/*
 * A graph of its own: a source of the letters of `stage` up to the id `last`, then what is below, without stores. 0; -ENOENT: no such stage; -EINVAL: it
 * is a source, or a sink below would replace what it wrote before; -ENOMEM. The text in `err`.
 */
int replay_graph(const struct graph *graph, const char *stage, int64_t last,
	struct graph **ret_graph, struct err *err);

#endif
