/* SPDX-License-Identifier: MIT */
/*
 * graph_decode: nothing of the input is believed. The bytes are checked to be well-formed MessagePack before anything
 * is read; every field is then taken by a reader whose first mistake sticks, and every index is compared with what
 * it points into. So memory is bounded by a multiple of the input's size.
 */
#include "config/graph.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "config/graph_room.h"

struct reader {
	struct arena *arena;
	const char *wrong; /* the first thing that was not as it must be; NULL: none */
};

/* Says what is wrong, once. */
static void refuse(struct reader *r, const char *what)
{
	if (!r->wrong)
		r->wrong = what;
}

static struct sl_value next(struct reader *r, struct sl_cursor *c, const char *what)
{
	struct sl_value key, value = { 0 };

	if (!r->wrong && !sl_next(c, &key, &value))
		refuse(r, what);
	return value;
}

/* A count is believed only when the bytes can hold it: a member takes one at least. */
static bool is_plausible(struct sl_value v)
{
	return v.data && sl_count(v) <= v.size;
}

/* An array of exactly `count` members (any number for UINT32_MAX). */
static struct sl_cursor open_array(
	struct reader *r, struct sl_value v, uint32_t count, const char *what)
{
	if (r->wrong)
		return (struct sl_cursor){ 0 };
	if (!v.data || sl_kind(v) != SL_ARRAY || !is_plausible(v))
		refuse(r, what);
	else if (count != UINT32_MAX && sl_count(v) != count)
		refuse(r, what);
	return r->wrong ? (struct sl_cursor){ 0 } : sl_walk(v);
}

static uint64_t get_uint(
	struct reader *r, struct sl_cursor *c, uint64_t min, uint64_t max, const char *what)
{
	struct sl_value v = next(r, c, what);
	uint64_t x = 0;

	if (r->wrong)
		return min;
	if (!sl_get_uint(v, &x) || x < min || x > max) {
		refuse(r, what);
		return min;
	}
	return x;
}

/* Text without a 0 inside; "" after a mistake. */
static const char *to_text(struct reader *r, struct sl_value v, const char *what)
{
	const char *text;
	char *copy;
	size_t size;

	if (r->wrong)
		return "";
	if (!sl_get_str(v, &text, &size) || memchr(text, '\0', size) || size == 0) {
		refuse(r, what);
		return "";
	}
	copy = arena_copy(r->arena, text, size);
	return copy ? copy : "";
}

static const char *get_text(struct reader *r, struct sl_cursor *c, const char *what)
{
	struct sl_value v = next(r, c, what);

	return to_text(r, v, what);
}

/* Nil is NULL. */
static const char *get_text_or_nil(struct reader *r, struct sl_cursor *c, const char *what)
{
	struct sl_value v = next(r, c, what);

	return r->wrong || sl_kind(v) == SL_NIL ? NULL : to_text(r, v, what);
}

static const char *const *get_names(
	struct reader *r, struct sl_cursor *c, uint32_t *ret_count, const char *what)
{
	struct sl_value v = next(r, c, what);
	struct sl_cursor names = open_array(r, v, UINT32_MAX, what);
	uint32_t count = names.left;
	const char **list;

	if (r->wrong || count == 0)
		return NULL;
	list = arena_alloc_array(r->arena, count, sizeof(*list));
	if (!list)
		return NULL;
	for (uint32_t i = 0; i < count; i++)
		list[i] = get_text(r, &names, what);
	*ret_count = count;
	return list;
}

static void get_options(struct reader *r, struct sl_cursor *c, struct sl_value *ret_options)
{
	struct sl_value v = next(r, c, "options");

	if (r->wrong)
		return;
	if (sl_kind(v) != SL_MAP || !is_plausible(v))
		refuse(r, "options");
	*ret_options = v;
}

static void get_stage(struct reader *r, struct sl_value v, struct graph_stage *stage)
{
	struct sl_cursor c = open_array(r, v, GRAPH_STAGE_FIELDS, "stage");

	stage->name = get_text(r, &c, "name of a stage");
	stage->impl = get_text(r, &c, "implementation");
	stage->module = get_text_or_nil(r, &c, "module");
	stage->role = (enum sl_role)get_uint(r, &c, SL_SOURCE, SL_SINK, "role");
	stage->flags = (unsigned)get_uint(r, &c, 0, UINT32_MAX, "flags");
	stage->file = get_text(r, &c, "file of a stage");
	stage->line = (uint32_t)get_uint(r, &c, 0, UINT32_MAX, "line");
	stage->processes = (uint32_t)get_uint(r, &c, 1, UINT16_MAX, "processes");
	stage->threads = (uint32_t)get_uint(r, &c, 1, UINT16_MAX, "threads");
	stage->coroutines = (uint32_t)get_uint(r, &c, 0, 1000000, "coroutines");
	stage->stack_size = get_uint(r, &c, 4096, UINT32_MAX, "stack_size");
	stage->rate_ns = (int64_t)get_uint(r, &c, 0, INT64_MAX, "rate");
	stage->timeout_ns = (int64_t)get_uint(r, &c, 0, INT64_MAX, "timeout");
	stage->retries = (int64_t)get_uint(r, &c, 0, UINT32_MAX, "retries") - 1;
	stage->queue = (uint32_t)get_uint(r, &c, 1, UINT32_MAX, "queue");
	stage->retain = get_uint(r, &c, 0, INT64_MAX, "retain");
	stage->order =
		(enum graph_order)get_uint(r, &c, GRAPH_ORDER_KEEP, GRAPH_ORDER_ANY, "order");
	stage->on_error = (enum graph_on_error)get_uint(
		r, &c, GRAPH_ON_ERROR_DEAD_LETTER, GRAPH_ON_ERROR_STOP, "on_error");
	stage->dead_max = get_uint(r, &c, 0, INT64_MAX, "dead_max");
	stage->partition = get_names(r, &c, &stage->partition_count, "partition");
	stage->restart_max = (uint32_t)get_uint(r, &c, 0, UINT32_MAX, "restart");
	stage->restart_within_ns = (int64_t)get_uint(r, &c, 0, INT64_MAX, "restart_within");
	stage->restart_backoff_ns = (int64_t)get_uint(r, &c, 0, INT64_MAX / 30, "backoff");
	stage->stall_timeout_ns = (int64_t)get_uint(r, &c, 0, INT64_MAX, "stall_timeout");
	stage->sandbox = get_uint(r, &c, 0, 1, "sandbox");
	stage->memory_max = get_uint(r, &c, 0, INT64_MAX, "memory_max");
	stage->cpu_weight = (uint32_t)get_uint(r, &c, 0, 10000, "cpu_weight");
	stage->tasks_max = (uint32_t)get_uint(r, &c, 0, INT32_MAX, "tasks_max");
	stage->ports = get_names(r, &c, &stage->port_count, "ports");
	stage->listen = get_text_or_nil(r, &c, "listen");
	get_options(r, &c, &stage->options);
	stage->options_shape = get_uint(r, &c, 0, UINT64_MAX, "shape of the options");
	if (!r->wrong && (stage->role == SL_SINK) != (stage->port_count == 0))
		refuse(r, "ports");
}

static void get_stages(struct reader *r, struct sl_value v, struct graph *graph)
{
	struct sl_cursor c = open_array(r, v, UINT32_MAX, "stages");
	uint32_t count = c.left;

	if (count == 0 || count > GRAPH_STAGES_MAX)
		refuse(r, "stages");
	if (r->wrong)
		return;
	graph->stages = arena_alloc_array(r->arena, count, sizeof(*graph->stages));
	if (!graph->stages)
		return;
	for (uint32_t i = 0; i < count && !r->wrong; i++) {
		get_stage(r, next(r, &c, "stage"), &graph->stages[i]);
		if (graph_find(graph, graph->stages[i].name) >= 0)
			refuse(r, "name of a stage");
		graph->stage_count = i + 1;
	}
}

/* A link goes forward in the topological order, from a port that there is, into what has an input. */
static void get_link(
	struct reader *r, struct sl_value v, const struct graph *graph, struct graph_link *link)
{
	struct sl_cursor c = open_array(r, v, 3, "link");

	link->upstream = (uint32_t)get_uint(r, &c, 0, graph->stage_count - 1, "link");
	link->port = (uint32_t)get_uint(r, &c, 0, UINT32_MAX, "port of a link");
	link->downstream = (uint32_t)get_uint(r, &c, 0, graph->stage_count - 1, "link");
	if (r->wrong)
		return;
	if (link->upstream >= link->downstream || graph->stages[link->downstream].role == SL_SOURCE)
		refuse(r, "link");
	if (link->port >= graph->stages[link->upstream].port_count)
		refuse(r, "port of a link");
}

static void get_links(struct reader *r, struct sl_value v, struct graph *graph)
{
	struct sl_cursor c = open_array(r, v, UINT32_MAX, "links");
	uint32_t count = c.left;

	if (count > GRAPH_LINKS_MAX)
		refuse(r, "links");
	if (r->wrong || r->arena->error)
		return;
	graph->links = arena_alloc_array(r->arena, count, sizeof(*graph->links));
	if (!graph->links)
		return;
	for (uint32_t i = 0; i < count && !r->wrong; i++) {
		get_link(r, next(r, &c, "link"), graph, &graph->links[i]);
		graph->stages[graph->links[i].upstream].output_count++;
		graph->stages[graph->links[i].downstream].input_count++;
	}
	graph->link_count = count;
}

/* Gives every stage the lists of its links; the counts are known. */
static void connect(struct reader *r, struct graph *graph)
{
	for (uint32_t s = 0; s < graph->stage_count; s++) {
		struct graph_stage *stage = &graph->stages[s];
		uint32_t *inputs = arena_alloc_array(r->arena, stage->input_count, sizeof(*inputs));
		uint32_t *outputs =
			arena_alloc_array(r->arena, stage->output_count, sizeof(*outputs));

		if (!inputs || !outputs)
			return;
		for (uint32_t i = 0; i < graph->link_count; i++) {
			if (graph->links[i].downstream == s)
				*inputs++ = i;
			if (graph->links[i].upstream == s)
				*outputs++ = i;
		}
		stage->inputs = inputs - stage->input_count;
		stage->outputs = outputs - stage->output_count;
		if ((stage->role == SL_SOURCE) != (stage->input_count == 0))
			refuse(r, "link");
	}
}

static int decode(
	struct reader *r, const char *data, size_t size, struct graph *graph, struct err *err)
{
	struct sl_value root = { .size = size };
	struct sl_cursor c;

	root.data = arena_copy(r->arena, data, size);
	if (!root.data)
		return err_set(err, -ENOMEM, "no memory for the graph");
	c = open_array(r, root, GRAPH_FIELDS, "graph");
	(void)get_uint(r, &c, GRAPH_VERSION, GRAPH_VERSION,
		"version: sluice and sluice-stage are of different builds");
	graph->name = get_text(r, &c, "name of the pipeline");
	graph->file = get_text(r, &c, "file of the pipeline");
	graph->drain_timeout_ns =
		(int64_t)get_uint(r, &c, 1, INT64_MAX, "drain_timeout of the pipeline");
	graph->sync_interval_ns =
		(int64_t)get_uint(r, &c, 0, INT64_MAX, "sync_interval of the pipeline");
	get_stages(r, next(r, &c, "stages"), graph);
	get_links(r, next(r, &c, "links"), graph);
	graph->secrets = get_names(r, &c, &graph->secret_count, "secrets");
	if (!r->wrong && !r->arena->error)
		connect(r, graph);
	if (r->arena->error)
		return err_set(err, -ENOMEM, "no memory for the graph");
	if (r->wrong)
		return err_set(err, -EBADMSG, "the resolved graph is damaged: bad %s", r->wrong);
	graph->shape = graph_shape(graph);
	return 0;
}

int graph_decode(const char *data, size_t size, struct graph **ret_graph, struct err *err)
{
	struct arena arena = { 0 };
	struct graph_room *room;
	struct reader reader = { .arena = &arena };
	int r;

	if (size == 0 || !sl_check(data, size))
		return err_set(
			err, -EBADMSG, "the resolved graph is damaged: it is no MessagePack");
	room = arena_alloc(&arena, sizeof(*room));
	if (!room)
		return err_set(err, -ENOMEM, "no memory for the graph");
	r = decode(&reader, data, size, &room->graph, err);
	if (r < 0) {
		arena_fini(&arena);
		return r;
	}
	room->arena = arena;
	*ret_graph = &room->graph;
	return 0;
}

int graph_read(int fd, struct graph **ret_graph, struct err *err)
{
	struct stat st;
	void *data;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot read the graph: %s", err_name(errno));
	if (st.st_size == 0)
		return err_set(err, -EBADMSG, "there is no graph");
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return err_set(err, -errno, "cannot map the graph: %s", err_name(errno));
	r = graph_decode(data, (size_t)st.st_size, ret_graph, err);
	(void)munmap(data, (size_t)st.st_size);
	return r;
}
