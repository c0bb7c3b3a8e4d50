/* SPDX-License-Identifier: MIT */
/*
 * The stores of `when_full`, `intake` and stages with state: each is two stages that a config does not name (graph.h).
 *
 *     read -> save                       with when_full = "spill" on save:   read -> save~in (store) save~out -> save
 *     read -> save                       with intake = "durable" on read:    read -> read~in (store) read~out -> save
 *     read -> sum -> save                where sum has state:                read -> sum~in (store) sum~out -> save
 */
#include "config/loader.h"

#include "config/graph_room.h"

#define SPILL_MAX (UINT64_C(1) << 30)
#define WAYS_MAX (UINT64_C(1) << 40) /* more are as many */
#define DROP_MAX (UINT64_C(16) << 20)

/* Where the links of a stage end and begin now. */
struct ends {
	uint32_t in;
	uint32_t out;
};

static bool has_state(const struct draft *draft)
{
	return draft->impl->flags & SL_HAS_STATE;
}

/* Beside itself. */
static bool has_store(const struct draft *draft)
{
	return !has_state(draft) &&
	       (draft->common.when_full != SCHEMA_BLOCK || draft->common.intake == SCHEMA_DURABLE);
}

/* How many stages are added. */
static uint32_t count_halves(const struct loader *loader)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < loader->draft_count; i++)
		count += has_store(&loader->drafts[i]) ? 2 : has_state(&loader->drafts[i]) ? 1 : 0;
	return count;
}

static const char *name_store(struct loader *loader, const struct draft *draft)
{
	const char *name = arena_printf(&loader->arena, "%s.%s.db",
		has_state(draft)           ? "state"
		: draft->role == SL_SOURCE ? "intake"
					   : "spill",
		draft->name);

	return name ? name : "";
}

static struct sl_value take_options(struct loader *loader, struct sl_writer *w)
{
	struct sl_value options = { 0 };

	if (sl_record_done(w) == 0)
		options = (struct sl_value){ .data = arena_copy(&loader->arena, w->data, w->mark),
			.size = w->mark };
	sl_writer_fini(w);
	return options;
}

static struct sl_value store_options(struct loader *loader, const struct draft *draft)
{
	bool drops = draft->common.when_full == SCHEMA_DROP;
	struct sl_writer w;

	sl_writer_init(&w);
	sl_put_map(&w, 4);
	sl_put_cstr(&w, "store");
	sl_put_cstr(&w, name_store(loader, draft));
	sl_put_cstr(&w, "max");
	sl_put_uint(&w, draft->common.spill_max ? draft->common.spill_max
			: drops                 ? DROP_MAX
						: SPILL_MAX);
	sl_put_cstr(&w, "drops");
	sl_put_bool(&w, drops);
	sl_put_cstr(&w, "tags");
	sl_put_bool(&w, has_state(draft) && draft_port_count(draft) > 1);
	return take_options(loader, &w);
}

/* What a stage with state is told, with its store and how many ways lead to it. */
static struct sl_value state_options(
	struct loader *loader, const struct draft *draft, struct sl_value store, uint64_t inputs)
{
	struct sl_cursor own = sl_walk(draft->options);
	struct sl_value key, value;
	struct sl_writer w;

	sl_writer_init(&w);
	sl_put_map(&w, sl_count(draft->options) + 3);
	while (sl_next(&own, &key, &value)) {
		sl_put_value(&w, key);
		sl_put_value(&w, value);
	}
	sl_put_cstr(&w, "store");
	sl_put_value(&w, sl_find(store, "store", 5));
	sl_put_cstr(&w, "max");
	sl_put_value(&w, sl_find(store, "max", 3));
	sl_put_cstr(&w, "inputs");
	sl_put_uint(&w, inputs);
	return take_options(loader, &w);
}

/* Half of a store: what the stage was told about processes that die, and about memory, holds for it, too. */
static struct graph_stage half(struct loader *loader, const struct graph_stage *stage,
	const char *suffix, struct sl_value options)
{
	struct graph_stage half = graph_beside(stage);

	half.name = arena_printf(&loader->arena, "%s%s", stage->name, suffix);
	half.impl = GRAPH_SPILL;
	half.role = SL_SINK;
	half.flags |= SL_RESUMES;
	half.retain = stage->retain;
	half.order = stage->order;
	half.on_error = GRAPH_ON_ERROR_DROP;
	half.restart_max = stage->restart_max;
	half.options = options;
	return half;
}

/* Appends the two halves; the index of the first. */
static uint32_t put_store(struct loader *loader, struct graph *graph,
	const struct graph_stage *stage, const struct draft *draft)
{
	static const char *const out_port[] = { "out" };
	struct sl_value options = store_options(loader, draft);
	struct graph_stage in = half(loader, stage, GRAPH_SPILL_IN, options);
	struct graph_stage out = half(loader, stage, GRAPH_SPILL_OUT, options);

	in.flags |= GRAPH_WHOLE_BATCHES;
	out.flags |= SL_WAITS;
	out.role = SL_SOURCE;
	out.ports = out_port;
	out.port_count = 1;
	graph->stages[graph->stage_count++] = in;
	graph->stages[graph->stage_count++] = out;
	return graph->stage_count - 2;
}

/* The same for a stage with state, instead of it: its first half is what it is. */
static void put_state(struct loader *loader, struct graph *graph, const struct graph_stage *stage,
	const struct draft *draft, uint64_t inputs)
{
	uint32_t first = put_store(loader, graph, stage, draft);
	struct graph_stage *in = &graph->stages[first], *out = &graph->stages[first + 1];

	in->impl = stage->impl;
	in->flags = (in->flags & ~(unsigned)SL_ONE_PROCESS) | SL_HAS_STATE;
	in->processes = stage->processes;
	in->partition = stage->partition;
	in->partition_count = stage->partition_count;
	in->rate_ns = stage->rate_ns;
	in->on_error = stage->on_error;
	in->dead_max = stage->dead_max;
	in->options = state_options(loader, draft, in->options, inputs);
	out->flags = (out->flags & ~(unsigned)SL_ONE_PROCESS) | SL_HAS_STATE;
	out->processes = stage->processes;
	out->ports = stage->ports;
	out->port_count = stage->port_count;
}

/* A way that leads through a stage with `partition` is one for each of its processes. */
static uint64_t lanes_of(const struct graph_stage *stage)
{
	return stage->partition_count > 0 ? stage->processes : 1;
}

/* By how many ways records come to each stage from sources; a stage with state is one. */
static uint64_t *count_ways(struct loader *loader, const struct graph *graph)
{
	uint64_t *ways = arena_alloc_array(&loader->arena, graph->stage_count, sizeof(*ways));

	for (uint32_t i = 0; ways && i < graph->stage_count; i++) {
		ways[i] = graph->stages[i].role == SL_SOURCE;
		for (uint32_t k = 0; k < graph->link_count; k++) {
			const struct graph_link *link = &graph->links[k];
			bool is_one = graph->stages[link->upstream].flags & SL_HAS_STATE;

			if (link->downstream == i && ways[i] < WAYS_MAX)
				ways[i] +=
					is_one ? 1
					       : ways[link->upstream] *
							 lanes_of(&graph->stages[link->upstream]);
		}
	}
	return ways;
}

static void add_link(struct graph *graph, uint32_t upstream, uint32_t port, uint32_t downstream)
{
	graph->links[graph->link_count++] = (struct graph_link){ upstream, port, downstream };
}

/* The stages of `from` with their stores, and the links between a stage and its own. */
static void put_stages(
	struct loader *loader, const struct graph *from, struct graph *graph, struct ends *ends)
{
	const uint64_t *ways = count_ways(loader, from);

	for (uint32_t i = 0; i < from->stage_count; i++) {
		const struct draft *draft = &loader->drafts[loader->order[i]];
		bool is_source = draft->role == SL_SOURCE;
		uint32_t first = graph->stage_count, store = 0;

		if (ways && has_state(draft)) {
			put_state(loader, graph, &from->stages[i], draft, ways[i]);
			ends[i] = (struct ends){ first, first + 1 };
			continue;
		}
		if (has_store(draft) && !is_source)
			store = put_store(loader, graph, &from->stages[i], draft);
		graph->stages[graph->stage_count++] = from->stages[i];
		ends[i] = (struct ends){ first, graph->stage_count - 1 };
		if (has_store(draft) && is_source) {
			store = put_store(loader, graph, &from->stages[i], draft);
			ends[i].out = store + 1;
			add_link(graph, first, 0, store);
		} else if (has_store(draft)) {
			add_link(graph, store + 1, 0, ends[i].out);
		}
	}
}

bool stores_insert(struct loader *loader, struct graph *graph)
{
	uint32_t halves = count_halves(loader);
	struct graph all = *graph;
	struct ends *ends = arena_alloc_array(&loader->arena, graph->stage_count, sizeof(*ends));

	if (graph->stage_count + halves > GRAPH_STAGES_MAX ||
		graph->link_count + halves > GRAPH_LINKS_MAX) {
		problems_error(&loader->problems, 0,
			"%u stages, with two more for each `when_full` and `intake` and one for "
			"each that has "
			"state, are too many: "
			"%d are the most",
			graph->stage_count + halves, GRAPH_STAGES_MAX);
		return false;
	}
	all.stages =
		arena_alloc_array(&loader->arena, graph->stage_count + halves, sizeof(*all.stages));
	all.links =
		arena_alloc_array(&loader->arena, graph->link_count + halves, sizeof(*all.links));
	all.stage_count = 0;
	all.link_count = 0;
	if (!ends || !all.stages || !all.links)
		return true;
	put_stages(loader, graph, &all, ends);
	for (uint32_t i = 0; i < graph->link_count; i++)
		add_link(&all, ends[graph->links[i].upstream].out, graph->links[i].port,
			ends[graph->links[i].downstream].in);
	*graph = all;
	return true;
}
