/* SPDX-License-Identifier: MIT */
/*
 * See graph.h. The serialised form is an array:
 *
 *   [ version, name, file, drain_timeout, sync_interval, [ stage ... ], [ [upstream, port, downstream] ... ], [ secret ... ] ]
 *
 * with a stage an array of the fields in the order of put_stage. What follows from the links (inputs, outputs, the
 * shape) does not travel; whoever decodes computes it.
 */
#include "config/graph.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "config/arena.h"
#include "config/graph_room.h"

#define RETAIN (UINT64_C(64) << 20) /* what `retain` is where nobody says otherwise */

#define TASKS_SHARE 8   /* of its tasks: a batch that leaves work for others */
#define WHOLE_BATCH 256 /* records, for one worker that is alone */

const char *const graph_roles[] = { "source", "transform", "sink", NULL };

static void put_names(struct sl_writer *out, const char *const *names, uint32_t count)
{
	sl_put_array(out, count);
	for (uint32_t i = 0; i < count; i++)
		sl_put_cstr(out, names[i]);
}

static void put_text_or_nil(struct sl_writer *out, const char *text)
{
	if (text)
		sl_put_cstr(out, text);
	else
		sl_put_nil(out);
}

static void put_stage(struct sl_writer *out, const struct graph_stage *stage)
{
	sl_put_array(out, GRAPH_STAGE_FIELDS);
	sl_put_cstr(out, stage->name);
	sl_put_cstr(out, stage->impl);
	put_text_or_nil(out, stage->module);
	sl_put_uint(out, stage->role);
	sl_put_uint(out, stage->flags);
	sl_put_cstr(out, stage->file);
	sl_put_uint(out, stage->line);
	sl_put_uint(out, stage->processes);
	sl_put_uint(out, stage->threads);
	sl_put_uint(out, stage->coroutines);
	sl_put_uint(out, stage->stack_size);
	sl_put_int(out, stage->rate_ns);
	sl_put_int(out, stage->timeout_ns);
	sl_put_uint(out, (uint64_t)(stage->retries + 1));
	sl_put_uint(out, stage->queue);
	sl_put_uint(out, stage->retain);
	sl_put_uint(out, stage->order);
	sl_put_uint(out, stage->on_error);
	sl_put_uint(out, stage->dead_max);
	put_names(out, stage->partition, stage->partition_count);
	sl_put_uint(out, stage->restart_max);
	sl_put_int(out, stage->restart_within_ns);
	sl_put_int(out, stage->restart_backoff_ns);
	sl_put_int(out, stage->stall_timeout_ns);
	sl_put_uint(out, stage->sandbox);
	sl_put_uint(out, stage->memory_max);
	sl_put_uint(out, stage->cpu_weight);
	sl_put_uint(out, stage->tasks_max);
	put_names(out, stage->ports, stage->port_count);
	put_text_or_nil(out, stage->listen);
	sl_put_value(out, stage->options);
	sl_put_uint(out, stage->options_shape);
}

static void put_link(struct sl_writer *out, const struct graph_link *link)
{
	sl_put_array(out, 3);
	sl_put_uint(out, link->upstream);
	sl_put_uint(out, link->port);
	sl_put_uint(out, link->downstream);
}

int graph_encode(const struct graph *graph, struct sl_writer *out)
{
	sl_put_array(out, GRAPH_FIELDS);
	sl_put_uint(out, GRAPH_VERSION);
	sl_put_cstr(out, graph->name);
	sl_put_cstr(out, graph->file);
	sl_put_int(out, graph->drain_timeout_ns);
	sl_put_int(out, graph->sync_interval_ns);
	sl_put_array(out, graph->stage_count);
	for (uint32_t i = 0; i < graph->stage_count; i++)
		put_stage(out, &graph->stages[i]);
	sl_put_array(out, graph->link_count);
	for (uint32_t i = 0; i < graph->link_count; i++)
		put_link(out, &graph->links[i]);
	put_names(out, graph->secrets, graph->secret_count);
	return sl_record_done(out);
}

static void put_meaning(struct sl_writer *out, const struct graph *graph)
{
	sl_put_cstr(out, graph->name);
	sl_put_int(out, graph->drain_timeout_ns);
	sl_put_int(out, graph->sync_interval_ns);
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		struct graph_stage stage = graph->stages[i];

		stage.file = "";
		stage.line = 0;
		put_stage(out, &stage);
	}
	for (uint32_t i = 0; i < graph->link_count; i++)
		put_link(out, &graph->links[i]);
}

bool graph_is_same(const struct graph *a, const struct graph *b)
{
	struct sl_writer first, second;
	bool is_same;

	sl_writer_init(&first);
	sl_writer_init(&second);
	put_meaning(&first, a);
	put_meaning(&second, b);
	is_same = !first.error && !second.error && first.size == second.size &&
		  memcmp(first.data, second.data, first.size) == 0;
	sl_writer_fini(&first);
	sl_writer_fini(&second);
	return is_same;
}

static uint64_t fold(uint64_t hash, const char *text)
{
	return XXH3_64bits_withSeed(text, strlen(text) + 1, hash);
}

static uint64_t fold_options(uint64_t hash, const struct graph_stage *stage)
{
	/* How much a store holds may change, and a credential be renewed. */
	if (strcmp(stage->impl, GRAPH_SPILL) == 0)
		return hash;
	if (stage->options_shape)
		return XXH3_64bits_withSeed(
			&stage->options_shape, sizeof(stage->options_shape), hash);
	return XXH3_64bits_withSeed(stage->options.data, stage->options.size, hash);
}

uint64_t graph_shape(const struct graph *graph)
{
	uint64_t hash = SHAPE_VERSION;

	for (uint32_t i = 0; i < graph->stage_count; i++) {
		const struct graph_stage *stage = &graph->stages[i];
		uint32_t numbers[] = { stage->role, stage->processes, stage->order };

		hash = fold(fold(hash, stage->name), stage->impl);
		hash = XXH3_64bits_withSeed(numbers, sizeof(numbers), hash);
		for (uint32_t p = 0; p < stage->partition_count; p++)
			hash = fold(hash, stage->partition[p]);
		hash = fold_options(hash, stage);
	}
	for (uint32_t i = 0; i < graph->link_count; i++) {
		const struct graph_link *link = &graph->links[i];
		const struct graph_stage *upstream = &graph->stages[link->upstream];

		hash = fold(fold(hash, upstream->name), upstream->ports[link->port]);
		hash = fold(hash, graph->stages[link->downstream].name);
	}
	return hash;
}

void graph_free(struct graph *graph)
{
	if (!graph)
		return;
	/* The graph itself lies in its arena. */
	struct arena arena = ((struct graph_room *)graph)->arena;

	arena_fini(&arena);
}

uint64_t graph_concurrency(const struct graph_stage *stage)
{
	return (uint64_t)stage->threads * (stage->coroutines > 0 ? stage->coroutines : 1);
}

uint32_t graph_first_wish(const struct graph_stage *stage)
{
	uint64_t at_once = graph_concurrency(stage);

	if (stage->coroutines > 0)
		return at_once >= TASKS_SHARE ? (uint32_t)(at_once / TASKS_SHARE) : 1;
	return (stage->flags & GRAPH_WHOLE_BATCHES) && at_once * stage->processes == 1 ? WHOLE_BATCH
										       : 1;
}

struct graph_stage graph_beside(const struct graph_stage *stage)
{
	return (struct graph_stage){
		.flags = SL_ONE_PROCESS | SL_ONE_THREAD,
		.file = stage->file,
		.line = stage->line,
		.processes = 1,
		.threads = 1,
		.stack_size = stage->stack_size,
		.queue = stage->queue,
		.retain = RETAIN,
		.restart_within_ns = stage->restart_within_ns,
		.restart_backoff_ns = stage->restart_backoff_ns,
		.stall_timeout_ns = stage->stall_timeout_ns,
		.sandbox = stage->sandbox,
	};
}

bool graph_is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

void graph_name_of_file(const char *path, char ret_name[static PIPELINE_NAME_SIZE])
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	int size = (int)strcspn(base, ".");

	(void)snprintf(
		ret_name, PIPELINE_NAME_SIZE, "%.*s", size ? size : 8, size ? base : "pipeline");
	for (char *at = ret_name; *at; at++)
		*at = graph_is_name_char(*at) ? *at : '_';
}

int graph_find(const struct graph *graph, const char *name)
{
	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (strcmp(graph->stages[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

uint64_t graph_memory(const struct graph *graph)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < graph->stage_count; i++) {
		const struct graph_stage *stage = &graph->stages[i];
		uint64_t outlets = (uint64_t)stage->processes * stage->port_count;
		uint64_t bytes;

		if (__builtin_mul_overflow(outlets, stage->retain, &bytes) ||
			__builtin_add_overflow(sum, bytes, &sum))
			return UINT64_MAX;
	}
	return sum;
}
