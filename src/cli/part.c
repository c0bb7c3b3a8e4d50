/* SPDX-License-Identifier: MIT */
/* See part.h. */
#include "cli/part.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAYS_MAX (UINT64_C(1) << 40) /* more are as many */

static const char *const out_port[] = { "out" };

bool part_is_source(const struct graph_stage *stage)
{
	return stage->role == SL_SOURCE && !(stage->flags & SL_HAS_STATE);
}

bool part_is_sink(const struct graph_stage *stage)
{
	return stage->role == SL_SINK && !(stage->flags & SL_HAS_STATE);
}

static bool is_second_half(const struct graph_stage *stage)
{
	return stage->role == SL_SOURCE && (stage->flags & SL_HAS_STATE);
}

int part_above(const struct graph *graph, uint32_t stage, uint32_t k)
{
	const struct graph_stage *of = &graph->stages[stage];

	if (!is_second_half(of))
		return k < of->input_count ? (int)graph->links[of->inputs[k]].upstream : -ENOENT;
	for (uint32_t in = 0; k == 0 && in < stage; in++)
		if (graph_find_out(graph, in) == (int)stage)
			return (int)in;
	return -ENOENT;
}

int part_find(const struct graph *graph, const char *name, bool second_half)
{
	char half[256];
	int found = strchr(name, '~') ? -ENOENT : graph_find(graph, name);

	if (found >= 0)
		return found;
	(void)snprintf(half, sizeof(half), "%.200s%s", name,
		second_half ? GRAPH_SPILL_OUT : GRAPH_SPILL_IN);
	return graph_find(graph, half);
}

int part_name_length(const struct graph_stage *stage)
{
	return (int)strcspn(stage->name, "~");
}

int part_init(struct part *part, const struct graph *whole)
{
	uint32_t count = whole->stage_count;

	*part = (struct part){ .whole = whole, .graph = *whole };
	part->graph.stage_count = 0;
	part->graph.link_count = 0;
	part->graph.sync_interval_ns = 0;
	for (uint32_t i = 0; i < count; i++)
		part->link_room += 1 + whole->stages[i].port_count;
	part->link_room = 2 * part->link_room + whole->link_count;
	/* Each with its tap for every output, one that feeds, one that discards. */
	part->graph.stages =
		arena_alloc_array(&part->arena, part->link_room + 2, sizeof(*part->graph.stages));
	part->graph.links =
		arena_alloc_array(&part->arena, part->link_room, sizeof(*part->graph.links));
	part->places = arena_alloc_array(&part->arena, count, sizeof(*part->places));
	for (uint32_t i = 0; part->places && i < count; i++)
		part->places[i] = PART_NOT_IN;
	return part->arena.error;
}

void part_fini(struct part *part)
{
	arena_fini(&part->arena);
}

static uint32_t add(struct part *part, const struct graph_stage *stage)
{
	part->graph.stages[part->graph.stage_count] = *stage;
	return part->graph.stage_count++;
}

static void add_link(struct part *part, uint32_t upstream, uint32_t port, uint32_t downstream)
{
	part->graph.links[part->graph.link_count++] =
		(struct graph_link){ upstream, port, downstream };
}

void part_take(struct part *part, uint32_t stage)
{
	part->places[stage] = add(part, &part->whole->stages[stage]);
}

/* The options `own` and one more. */
static struct sl_value with_option(
	struct part *part, struct sl_value own, const char *name, struct sl_value value)
{
	struct sl_cursor cursor = sl_walk(own);
	struct sl_value key, one, options = { 0 };
	struct sl_writer w;

	sl_writer_init(&w);
	sl_put_map(&w, sl_count(own) + 1);
	while (sl_next(&cursor, &key, &one)) {
		sl_put_value(&w, key);
		sl_put_value(&w, one);
	}
	sl_put_cstr(&w, name);
	sl_put_value(&w, value);
	if (sl_record_done(&w) == 0)
		options = (struct sl_value){ arena_copy(&part->arena, w.data, w.mark), w.mark };
	else
		part->arena.error = -ENOMEM;
	sl_writer_fini(&w);
	return options;
}

static struct sl_value no_options(void)
{
	return (struct sl_value){ .data = "\x80", .size = 1 };
}

void part_take_some(struct part *part, uint32_t stage, uint64_t records)
{
	struct graph_stage *source;
	struct sl_writer w;

	part_take(part, stage);
	source = &part->graph.stages[part->places[stage]];
	source->processes = 1;
	source->threads = 1;
	sl_writer_init(&w);
	sl_put_uint(&w, records);
	source->options = with_option(part, source->options, GRAPH_READ_MAX,
		(struct sl_value){ .data = w.data, .size = w.size });
	sl_writer_fini(&w);
}

/* A stage that no config has, of one process, at the place of `like`. */
static struct graph_stage hidden(const struct graph_stage *like, const char *name, const char *impl)
{
	struct graph_stage stage = graph_beside(like);

	stage.name = name;
	stage.impl = impl;
	stage.role = SL_SINK;
	stage.options = no_options();
	return stage;
}

void part_feed(struct part *part, uint32_t stage, struct sl_value records)
{
	const struct graph_stage *like = &part->whole->stages[stage];
	struct graph_stage feed = hidden(like, "~feed", "inline");
	uint32_t at;

	feed.role = SL_SOURCE;
	feed.flags |= SL_RESUMES;
	feed.options = with_option(part, no_options(), "records", records);
	if (part_is_source(like)) {
		feed.name = like->name;
		feed.ports = like->ports;
		feed.port_count = like->port_count;
		part->places[stage] = add(part, &feed);
	} else {
		feed.ports = out_port;
		feed.port_count = 1;
		at = add(part, &feed);
		/* `stage` comes next. */
		add_link(part, at, 0, at + 1);
	}
}

static struct graph_stage make_tap(struct part *part, uint32_t stage, const char *port)
{
	const struct graph_stage *like = &part->whole->stages[stage];
	struct graph_stage tap = hidden(like,
		arena_printf(&part->arena, "%.*s%s%s~tap", part_name_length(like), like->name,
			port ? "." : "", port ? port : ""),
		GRAPH_TAP);
	char file[32];
	struct sl_writer w;

	(void)snprintf(file, sizeof(file), PART_TAP, part->tap_count++);
	sl_writer_init(&w);
	sl_put_cstr(&w, file);
	tap.flags |= SL_REMEMBERED | GRAPH_WHOLE_BATCHES;
	tap.options = with_option(
		part, no_options(), "file", (struct sl_value){ .data = w.data, .size = w.size });
	sl_writer_fini(&w);
	return tap;
}

void part_tap(struct part *part, uint32_t stage, uint32_t port)
{
	const struct graph_stage *of = &part->whole->stages[stage];
	struct graph_stage tap = make_tap(part, stage, of->port_count > 1 ? of->ports[port] : NULL);

	add_link(part, part->places[stage], port, add(part, &tap));
}

void part_tap_sink(struct part *part, uint32_t sink)
{
	struct graph_stage tap = make_tap(part, sink, NULL);

	tap.order = part->whole->stages[sink].order;
	part->places[sink] = add(part, &tap);
}

/* --- the end -------------------------------------------------------------------------------------- */

static bool is_taken(const struct graph *graph, uint32_t stage, uint32_t port)
{
	for (uint32_t i = 0; i < graph->link_count; i++)
		if (graph->links[i].upstream == stage && graph->links[i].port == port)
			return true;
	return false;
}

/* An output always leads somewhere. */
static void discard_rest(struct part *part)
{
	uint32_t count = part->graph.stage_count, rest = PART_NOT_IN;

	for (uint32_t i = 0; i < count; i++)
		for (uint32_t port = 0; port < part->graph.stages[i].port_count; port++) {
			struct graph_stage sink = hidden(&part->graph.stages[i], "~rest", "null");

			if (is_taken(&part->graph, i, port))
				continue;
			sink.order = GRAPH_ORDER_ANY;
			sink.flags |= GRAPH_WHOLE_BATCHES;
			if (rest == PART_NOT_IN)
				rest = add(part, &sink);
			add_link(part, i, port, rest);
		}
}

static void link_taken(struct part *part)
{
	const struct graph *whole = part->whole;

	for (uint32_t i = 0; i < whole->link_count; i++) {
		uint32_t upstream = part->places[whole->links[i].upstream];
		uint32_t downstream = part->places[whole->links[i].downstream];

		if (upstream != PART_NOT_IN && downstream != PART_NOT_IN)
			add_link(part, upstream, whole->links[i].port, downstream);
	}
}

/* A way that leads through a stage with `partition` is one for each of its processes. */
static uint64_t lanes_of(const struct graph_stage *stage)
{
	return stage->partition_count > 0 ? stage->processes : 1;
}

/* A stage with state knows by how many ways records come to it, and some may have been left out. */
static void count_ways(struct part *part)
{
	const struct graph *graph = &part->graph;
	uint64_t *ways = arena_alloc_array(&part->arena, graph->stage_count, sizeof(*ways));
	struct sl_writer w;

	for (uint32_t i = 0; ways && i < graph->stage_count; i++) {
		struct graph_stage *stage = &graph->stages[i];

		ways[i] = stage->role == SL_SOURCE;
		for (uint32_t k = 0; k < graph->link_count; k++) {
			const struct graph_link *link = &graph->links[k];

			if (link->downstream == i && ways[i] < WAYS_MAX)
				ways[i] += ways[link->upstream] *
					   lanes_of(&graph->stages[link->upstream]);
		}
		if (stage->role != SL_SINK || !(stage->flags & SL_HAS_STATE))
			continue;
		sl_writer_init(&w);
		sl_put_uint(&w, ways[i]);
		stage->options = with_option(part, stage->options, "inputs",
			(struct sl_value){ .data = w.data, .size = w.size });
		sl_writer_fini(&w);
	}
}

int part_end(struct part *part, struct graph **ret_graph, struct err *err)
{
	struct sl_writer bytes;
	int r = part->arena.error;

	if (r == 0) {
		link_taken(part);
		count_ways(part);
		discard_rest(part);
	}
	sl_writer_init(&bytes);
	if (r == 0)
		r = part->arena.error ? part->arena.error : graph_encode(&part->graph, &bytes);
	r = r < 0 ? err_set(err, r, "no memory for the graph")
		  : graph_decode(bytes.data, bytes.mark, ret_graph, err);
	sl_writer_fini(&bytes);
	return r;
}
