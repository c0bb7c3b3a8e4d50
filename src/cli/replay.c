/* SPDX-License-Identifier: MIT */
/* See replay.h. */
#include "cli/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_IN UINT32_MAX

static const char *const out_port[] = { "out" };

/* What is built: arrays of the size of the whole graph and one more. */
struct build {
	struct graph graph;
	uint32_t *places; /* of each stage of the whole graph in the new one; NOT_IN */
	char name[96];    /* of the source */
	struct sl_writer options;
};

static int find(const struct graph *graph, const char *name, struct err *err)
{
	int found = graph_find(graph, name);

	if (found < 0)
		return err_set(err, -ENOENT, "%s has no stage `%s`", graph->file, name);
	if (graph->stages[found].role == SL_SOURCE)
		return err_set(err, -EINVAL,
			"`%s` is a source: what it could not read cannot be given to it again; "
			"`sluice "
			"dead export` has what there is",
			name);
	return found;
}

/* A file that is written anew would hold the letters only, instead of all that was there. */
static int check_sink(const struct graph_stage *stage, struct err *err)
{
	bool append = false;

	if (stage->role != SL_SINK || strcmp(stage->impl, "file") != 0)
		return 0;
	(void)sl_get_bool(sl_find(stage->options, "append", 6), &append);
	return append ? 0
		      : err_set(err, -EINVAL,
				"the sink `%s` would replace its file by the records of the "
				"replay: "
				"write append = true; in %s, or move the file away and set another "
				"path",
				stage->name, stage->file);
}

/* A replay is a run of its own beside the stopped one, and would count its records apart. */
static int check_state(const struct graph_stage *stage, struct err *err)
{
	if (!(stage->flags & SL_HAS_STATE) || stage->role != SL_SINK)
		return 0;
	return err_set(err, -EINVAL,
		"`%.*s` has state, which is the run's: write the letters to a file with `sluice "
		"dead "
		"export`, and give that to a source of the pipeline",
		(int)strcspn(stage->name, "~"), stage->name);
}

/* Marks the stage and all below, in the graph's order, which is topological for stages that links lead to. */
static void mark_below(const struct graph *graph, uint32_t first, bool *is_below)
{
	bool has_grown = true;

	is_below[first] = true;
	while (has_grown) {
		has_grown = false;
		for (uint32_t i = 0; i < graph->link_count; i++) {
			const struct graph_link *link = &graph->links[i];

			if (!is_below[link->upstream] || is_below[link->downstream])
				continue;
			is_below[link->downstream] = true;
			has_grown = true;
		}
	}
}

/* A name that no stage of the pipeline has. */
static void name_source(const struct graph *graph, char *name, size_t size)
{
	(void)snprintf(name, size, "replay");
	for (unsigned n = 2; graph_find(graph, name) >= 0; n++)
		(void)snprintf(name, size, "replay-%u", n);
}

static int put_options(struct sl_writer *out, const char *stage, int64_t last)
{
	sl_put_map(out, 2);
	sl_put_cstr(out, "stage");
	sl_put_cstr(out, stage);
	sl_put_cstr(out, "last");
	sl_put_int(out, last);
	return sl_record_done(out);
}

static void put_source(struct build *b, const struct graph_stage *like)
{
	struct graph_stage *source = &b->graph.stages[0];

	*source = graph_beside(like);
	source->name = b->name;
	source->impl = GRAPH_DEAD_LETTERS;
	source->role = SL_SOURCE;
	source->flags |= GRAPH_DURABLE;
	source->ports = out_port;
	source->port_count = 1;
	source->options = (struct sl_value){ .data = b->options.data, .size = b->options.mark };
	b->graph.stage_count = 1;
}

static void put_links(struct build *b, const struct graph *graph, uint32_t first)
{
	b->graph.links[b->graph.link_count++] = (struct graph_link){ 0, 0, b->places[first] };
	for (uint32_t i = 0; i < graph->link_count; i++) {
		const struct graph_link *link = &graph->links[i];

		if (b->places[link->upstream] == NOT_IN || b->places[link->downstream] == NOT_IN)
			continue;
		b->graph.links[b->graph.link_count++] =
			(struct graph_link){ b->places[link->upstream], link->port,
				b->places[link->downstream] };
	}
}

static int fill(struct build *b, const struct graph *graph, uint32_t first, int64_t last,
	const bool *is_below, struct err *err)
{
	if (put_options(&b->options, graph->stages[first].name, last) < 0)
		return err_set(err, -ENOMEM, "no memory");
	name_source(graph, b->name, sizeof(b->name));
	put_source(b, &graph->stages[first]);
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		int r = is_below[i] ? check_sink(&graph->stages[i], err) : 0;

		if (r == 0 && is_below[i])
			r = check_state(&graph->stages[i], err);
		if (r < 0)
			return r;
		b->places[i] = is_below[i] ? b->graph.stage_count : NOT_IN;
		if (is_below[i])
			b->graph.stages[b->graph.stage_count++] = graph->stages[i];
	}
	put_links(b, graph, first);
	return 0;
}

/* There and back: so that the new graph owns all that it has, and is checked like any other. */
static int decode(const struct build *b, struct graph **ret_graph, struct err *err)
{
	struct sl_writer bytes;
	int r;

	sl_writer_init(&bytes);
	r = graph_encode(&b->graph, &bytes);
	r = r < 0 ? err_set(err, r, "no memory")
		  : graph_decode(bytes.data, bytes.mark, ret_graph, err);
	sl_writer_fini(&bytes);
	return r;
}

static int replay_joined(const struct graph *graph, const char *stage, int64_t last,
	struct graph **ret_graph, struct err *err)
{
	int first = find(graph, stage, err);
	struct build b = { .graph = { .name = graph->name,
				   .file = graph->file,
				   .drain_timeout_ns = graph->drain_timeout_ns,
				   .secrets = graph->secrets,
				   .secret_count = graph->secret_count } };
	bool *is_below;
	int r;

	if (first < 0)
		return first;
	is_below = calloc(graph->stage_count, sizeof(*is_below));
	b.places = calloc(graph->stage_count, sizeof(*b.places));
	b.graph.stages = calloc(graph->stage_count + 1, sizeof(*b.graph.stages));
	b.graph.links = calloc(graph->link_count + 1, sizeof(*b.graph.links));
	sl_writer_init(&b.options);
	r = is_below && b.places && b.graph.stages && b.graph.links
		    ? 0
		    : err_set(err, -ENOMEM, "no memory");
	if (r == 0) {
		mark_below(graph, (uint32_t)first, is_below);
		r = fill(&b, graph, (uint32_t)first, last, is_below, err);
	}
	if (r == 0)
		r = decode(&b, ret_graph, err);
	free(is_below);
	free(b.places);
	free(b.graph.stages);
	free(b.graph.links);
	sl_writer_fini(&b.options);
	return r;
}

/* Stores are left out: what a stopped run has in them is that run's. */
int replay_graph(const struct graph *graph, const char *stage, int64_t last,
	struct graph **ret_graph, struct err *err)
{
	struct graph *joined;
	int r = graph_join(graph, &joined, err);

	if (r < 0)
		return r;
	r = replay_joined(joined, stage, last, ret_graph, err);
	graph_free(joined);
	return r;
}
