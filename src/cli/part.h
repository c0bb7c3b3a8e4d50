/* SPDX-License-Identifier: MIT */
/*
 * A part of a pipeline that runs by itself, for `peek` and `test`: some of its stages, a source of given records where something is fed, and taps: hidden
 * sinks that keep what comes to them in files of the state folder. Outputs that lead out of the part are discarded. One thread.
 */
#ifndef CLI_PART_H
#define CLI_PART_H

#include "config/arena.h"
#include "config/graph.h"

#define PART_TAP "tap.%u" /* the file of the n-th tap, in the state folder */

struct part {
	const struct graph *whole; /* borrowed; without stores */
	struct graph graph;
	uint32_t *places; /* of each stage of the whole in the graph; PART_NOT_IN */
	uint32_t link_room;
	uint32_t tap_count;
	struct arena arena;
};

#define PART_NOT_IN UINT32_MAX

/*
 * A stage with state is two in a graph, of which no link goes from one to the other (graph.h). Here it is the transform that it is in the config: neither half is a
 * source or a sink, and the first one is above the second.
 */
bool part_is_source(const struct graph_stage *stage);
bool part_is_sink(const struct graph_stage *stage);
/* The k-th stage that a stage takes from; -ENOENT: there are not so many. */
int part_above(const struct graph *graph, uint32_t stage, uint32_t k);
/* The stage of that name in the config: its first half, or its second one; -ENOENT. */
int part_find(const struct graph *graph, const char *name, bool second_half);
/* How many characters of the stage's name are the one in the config. */
int part_name_length(const struct graph_stage *stage);

/* `whole` has no stores (graph_join). 0 or -ENOMEM. */
int part_init(struct part *part, const struct graph *whole);
void part_fini(struct part *part);

/* A stage of the whole. Upstream ones first. */
void part_take(struct part *part, uint32_t stage);
/* A source that reads `records` and no more. */
void part_take_some(struct part *part, uint32_t stage, uint64_t records);
/* A source of these records (borrowed until part_end) stands in the place of a source of the whole, or feeds another stage, which is to be taken next. */
void part_feed(struct part *part, uint32_t stage, struct sl_value records);
/* What comes out of a stage that was taken. */
void part_tap(struct part *part, uint32_t stage, uint32_t port);
/* A tap stands in the place of a sink. */
void part_tap_sink(struct part *part, uint32_t sink);
/* Links what was taken, discards what leads out of it, makes a graph of its own. 0 or negative errno. */
int part_end(struct part *part, struct graph **ret_graph, struct err *err);

#endif
