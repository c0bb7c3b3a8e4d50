/* SPDX-License-Identifier: MIT */
/*
 * The stores of `when_full` and `intake`: each is two stages that a config does not name (graph.h).
 *
 *     read -> save                       with when_full = "spill" on save:   read -> save~in (store) save~out -> save
 *     read -> save                       with intake = "durable" on read:    read -> read~in (store) read~out -> save
 */
#include "config/loader.h"

#include "config/graph_room.h"

#define SPILL_MAX (UINT64_C(1) << 30)
#define DROP_MAX (UINT64_C(16) << 20)

/* Where the links of a stage end and begin now. */
struct ends {
	uint32_t in;
	uint32_t out;
};

static bool has_store(const struct draft *draft)
{
	return draft->common.when_full != SCHEMA_BLOCK || draft->common.intake == SCHEMA_DURABLE;
}

static uint32_t count_stores(const struct loader *loader)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < loader->draft_count; i++)
		count += has_store(&loader->drafts[i]);
	return count;
}

static struct sl_value store_options(struct loader *loader, const struct draft *draft)
{
	bool drops = draft->common.when_full == SCHEMA_DROP;
	const char *name = arena_printf(&loader->arena, "%s.%s.db",
		draft->role == SL_SOURCE ? "intake" : "spill", draft->name);
	struct sl_writer w;
	struct sl_value options = { 0 };

	sl_writer_init(&w);
	sl_put_map(&w, 3);
	sl_put_cstr(&w, "store");
	sl_put_cstr(&w, name ? name : "");
	sl_put_cstr(&w, "max");
	sl_put_uint(&w, draft->common.spill_max ? draft->common.spill_max
			: drops                 ? DROP_MAX
						: SPILL_MAX);
	sl_put_cstr(&w, "drops");
	sl_put_bool(&w, drops);
	if (sl_record_done(&w) == 0)
		options = (struct sl_value){ .data = arena_copy(&loader->arena, w.data, w.mark),
			.size = w.mark };
	sl_writer_fini(&w);
	return options;
}

/* Half of a store: what the stage was told about processes that die, and about memory, holds for it, too. */
static struct graph_stage half(struct loader *loader, const struct graph_stage *stage,
	const char *suffix, struct sl_value options)
{
	return (struct graph_stage){
		.name = arena_printf(&loader->arena, "%s%s", stage->name, suffix),
		.impl = GRAPH_SPILL,
		.role = SL_SINK,
		.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_RESUMES,
		.file = stage->file,
		.line = stage->line,
		.processes = 1,
		.threads = 1,
		.stack_size = stage->stack_size,
		.queue = stage->queue,
		.retain = stage->retain,
		.order = stage->order,
		.on_error = GRAPH_ON_ERROR_DROP,
		.restart_max = stage->restart_max,
		.restart_within_ns = stage->restart_within_ns,
		.restart_backoff_ns = stage->restart_backoff_ns,
		.stall_timeout_ns = stage->stall_timeout_ns,
		.sandbox = stage->sandbox,
		.options = options,
	};
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

static void add_link(struct graph *graph, uint32_t upstream, uint32_t port, uint32_t downstream)
{
	graph->links[graph->link_count++] = (struct graph_link){ upstream, port, downstream };
}

/* The stages of `from` with their stores, and the links between a stage and its own. */
static void put_stages(
	struct loader *loader, const struct graph *from, struct graph *graph, struct ends *ends)
{
	for (uint32_t i = 0; i < from->stage_count; i++) {
		const struct draft *draft = &loader->drafts[loader->order[i]];
		bool is_source = draft->role == SL_SOURCE;
		uint32_t first = graph->stage_count, store = 0;

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
	uint32_t stores = count_stores(loader);
	struct graph all = *graph;
	struct ends *ends = arena_alloc_array(&loader->arena, graph->stage_count, sizeof(*ends));

	if (graph->stage_count + 2 * stores > GRAPH_STAGES_MAX ||
		graph->link_count + stores > GRAPH_LINKS_MAX) {
		problems_error(&loader->problems, 0,
			"%u stages, with two more for each `when_full` and `intake`, are too many: "
			"%d are the most",
			graph->stage_count + 2 * stores, GRAPH_STAGES_MAX);
		return false;
	}
	all.stages = arena_alloc_array(
		&loader->arena, graph->stage_count + 2 * stores, sizeof(*all.stages));
	all.links =
		arena_alloc_array(&loader->arena, graph->link_count + stores, sizeof(*all.links));
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
