/* SPDX-License-Identifier: MIT */
/* The stages that stores.c added to a graph: which they are, and the graph without them. */
#include "config/graph.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_IN UINT32_MAX

struct join {
	const struct graph *from;
	struct graph graph;
	uint32_t *places; /* of each stage of `from` in the new one; NOT_IN */
	uint32_t room;    /* of graph.links */
	int error;
};

static bool is_store(const struct graph_stage *stage)
{
	return !stage->module && strcmp(stage->impl, GRAPH_SPILL) == 0 &&
	       !(stage->flags & SL_HAS_STATE);
}

int graph_find_out(const struct graph *graph, uint32_t in)
{
	const struct graph_stage *stage = &graph->stages[in];
	const char *suffix = strstr(stage->name, GRAPH_SPILL_IN);
	char name[256];

	if (!(is_store(stage) || (stage->flags & SL_HAS_STATE)) || stage->role != SL_SINK ||
		!suffix ||
		snprintf(name, sizeof(name), "%.*s" GRAPH_SPILL_OUT, (int)(suffix - stage->name),
			stage->name) >= (int)sizeof(name))
		return -ENOENT;
	return graph_find(graph, name);
}

int graph_store(const struct graph *graph, uint32_t in, struct graph_store *ret)
{
	int out = graph_find_out(graph, in);
	struct sl_value options = graph->stages[in].options;
	struct graph_store store = { .name = "" };

	if (out < 0)
		return out;
	store.out = (uint32_t)out;
	(void)sl_get_str(sl_find(options, "store", 5), &store.name, &store.name_size);
	(void)sl_get_uint(sl_find(options, "max", 3), &store.max);
	(void)sl_get_bool(sl_find(options, "drops", 5), &store.drops);
	*ret = store;
	return 0;
}

static void add_link(struct join *join, struct graph_link link)
{
	struct graph *graph = &join->graph;

	if (graph->link_count == join->room) {
		uint32_t room = 2 * join->room + 16;
		struct graph_link *links = realloc(graph->links, room * sizeof(*links));

		if (!links) {
			join->error = -ENOMEM;
			return;
		}
		graph->links = links;
		join->room = room;
	}
	graph->links[graph->link_count++] = link;
}

/* A link of the new graph to that stage; to what is behind it where it is the begin of a store, which may be another one. */
static void link_to(struct join *join, uint32_t upstream, uint32_t port, uint32_t downstream)
{
	const struct graph *from = join->from;
	int out;

	if (join->places[downstream] != NOT_IN) {
		add_link(join, (struct graph_link){ upstream, port, join->places[downstream] });
		return;
	}
	out = graph_find_out(from, downstream);
	for (uint32_t i = 0; out >= 0 && i < from->stages[out].output_count; i++)
		link_to(join, upstream, port, from->links[from->stages[out].outputs[i]].downstream);
}

static void fill(struct join *join)
{
	const struct graph *from = join->from;

	for (uint32_t i = 0; i < from->stage_count; i++) {
		join->places[i] = is_store(&from->stages[i]) ? NOT_IN : join->graph.stage_count;
		if (join->places[i] == NOT_IN)
			continue;
		join->graph.stages[join->graph.stage_count] = from->stages[i];
		join->graph.stages[join->graph.stage_count++].flags &= ~GRAPH_DURABLE;
	}
	for (uint32_t i = 0; i < from->link_count; i++) {
		const struct graph_link *link = &from->links[i];

		if (join->places[link->upstream] != NOT_IN)
			link_to(join, join->places[link->upstream], link->port, link->downstream);
	}
}

int graph_join(const struct graph *graph, struct graph **ret_graph, struct err *err)
{
	struct join join = { .from = graph, .graph = *graph };
	struct sl_writer bytes;
	int r = -ENOMEM;

	join.graph.stages = calloc(graph->stage_count, sizeof(*join.graph.stages));
	join.graph.stage_count = 0;
	join.graph.links = NULL;
	join.graph.link_count = 0;
	join.places = calloc(graph->stage_count, sizeof(*join.places));
	sl_writer_init(&bytes);
	if (join.graph.stages && join.places) {
		fill(&join);
		r = join.error ? join.error : graph_encode(&join.graph, &bytes);
	}
	r = r < 0 ? err_set(err, r, "no memory for the graph")
		  : graph_decode(bytes.data, bytes.mark, ret_graph, err);
	sl_writer_fini(&bytes);
	free(join.places);
	free(join.graph.links);
	free(join.graph.stages);
	return r;
}
