/* SPDX-License-Identifier: MIT */
/* The resolved graph: there and back, what its shape depends on, and that no damage gets in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/graph.h"
#include "config/graph_print.h"

static const char *const out[] = { "out" };
static const char *const two[] = { "good", "bad" };
static const char *const fields[] = { "customer", "day" };
static char options[] = "\x81\xa5"
			"count\x0a"; /* { "count": 10 } */

#define OPTIONS                                                                                    \
	{                                                                                          \
		.data = options, .size = sizeof(options) - 1                                       \
	}
#define NUMBERS                                                                                    \
	.file = "a.conf", .processes = 1, .threads = 1, .stack_size = 65536, .retries = 5,         \
	.queue = 4, .retain = 1 << 20, .restart_max = 5, .dead_max = 8, .restart_within_ns = 60,   \
	.restart_backoff_ns = 7, .stall_timeout_ns = 9, .options = OPTIONS

/* clang-format off */
static const struct graph_stage example_stages[] = {
	{ .name = "read",  .impl = "file",  .role = SL_SOURCE, .line = 3, .listen = "tcp://127.0.0.1:1", .ports = out, .port_count = 1, NUMBERS },
	{ .name = "split", .impl = "split", .role = SL_TRANSFORM, .line = 4, .ports = two, .port_count = 2,
	  .module = "/usr/lib/split.so", .coroutines = 500, .rate_ns = 11, .timeout_ns = 12,
	  .order = GRAPH_ORDER_ANY, .on_error = GRAPH_ON_ERROR_STOP, .flags = SL_ONE_PROCESS,
	  .memory_max = UINT64_C(5) << 32, .cpu_weight = 50, .tasks_max = 32, NUMBERS },
	{ .name = "save",  .impl = "file",  .role = SL_SINK, .line = 5, .partition = fields, .partition_count = 2, NUMBERS },
	{ .name = "junk",  .impl = "null",  .role = SL_SINK, .line = 6, NUMBERS },
};
static const char *const secrets[] = { "hunter2", "open sesame" };
static const struct graph_link example_links[] = { { 0, 0, 1 }, { 1, 0, 2 }, { 1, 1, 3 }, { 0, 0, 3 } };
/* clang-format on */

struct example {
	struct graph_stage stages[4];
	struct graph_link links[4];
	struct graph graph;
};

static void example_init(struct example *e)
{
	memcpy(e->stages, example_stages, sizeof(e->stages));
	memcpy(e->links, example_links, sizeof(e->links));
	e->graph = (struct graph){
		.name = "orders",
		.file = "/etc/orders.conf",
		.drain_timeout_ns = 13,
		.stages = e->stages,
		.stage_count = 4,
		.links = e->links,
		.secrets = secrets,
		.secret_count = 2,
		.link_count = 4,
	};
}

static int there_and_back(const struct graph *graph, struct graph **ret_graph)
{
	struct sl_writer bytes;
	int r;

	sl_writer_init(&bytes);
	assert_int_equal(graph_encode(graph, &bytes), 0);
	r = graph_decode(bytes.data, bytes.mark, ret_graph, NULL);
	sl_writer_fini(&bytes);
	return r;
}

static void a_graph_comes_back_whole(void **state)
{
	struct example e;
	struct graph *graph;

	(void)state;
	example_init(&e);
	assert_int_equal(there_and_back(&e.graph, &graph), 0);
	assert_string_equal(graph->name, "orders");
	assert_string_equal(graph->file, "/etc/orders.conf");
	assert_int_equal(graph->stage_count, 4);
	assert_int_equal(graph->link_count, 4);

	const struct graph_stage *split = &graph->stages[1], *save = &graph->stages[2];

	assert_string_equal(split->name, "split");
	assert_string_equal(split->file, "a.conf");
	assert_string_equal(split->module, "/usr/lib/split.so");
	assert_null(save->module);
	assert_string_equal(graph->stages[0].listen, "tcp://127.0.0.1:1");
	assert_null(save->listen);
	assert_int_equal(split->role, SL_TRANSFORM);
	assert_int_equal(split->flags, SL_ONE_PROCESS);
	assert_int_equal(split->line, 4);
	assert_int_equal(split->order, GRAPH_ORDER_ANY);
	assert_int_equal(split->on_error, GRAPH_ON_ERROR_STOP);
	assert_int_equal(split->queue, 4);
	assert_true(split->retain == 1 << 20 && split->restart_max == 5 &&
		    split->restart_within_ns == 60);
	assert_true(split->restart_backoff_ns == 7 && split->stall_timeout_ns == 9);
	assert_int_equal(split->dead_max, 8);
	assert_true(split->memory_max == UINT64_C(5) << 32 && split->cpu_weight == 50 &&
		    split->tasks_max == 32);
	assert_true(split->coroutines == 500 && split->stack_size == 65536 && split->retries == 5);
	assert_true(split->rate_ns == 11 && split->timeout_ns == 12);
	assert_int_equal(split->port_count, 2);
	assert_string_equal(split->ports[1], "bad");
	assert_int_equal(save->partition_count, 2);
	assert_string_equal(save->partition[1], "day");
	assert_int_equal(save->options.size, sizeof(options) - 1);
	assert_memory_equal(save->options.data, options, sizeof(options) - 1);
	assert_int_equal(graph->secret_count, 2);
	assert_string_equal(graph->secrets[1], "open sesame");
	graph_free(graph);
}

static void links_are_known_at_both_ends(void **state)
{
	struct example e;
	struct graph *graph;

	(void)state;
	example_init(&e);
	assert_int_equal(there_and_back(&e.graph, &graph), 0);
	assert_int_equal(graph->stages[0].input_count, 0);
	assert_int_equal(graph->stages[0].output_count, 2);
	assert_int_equal(graph->stages[0].outputs[1], 3);
	assert_int_equal(graph->stages[3].input_count, 2);
	assert_int_equal(graph->stages[3].inputs[0], 2);
	assert_int_equal(graph->stages[3].inputs[1], 3);
	assert_int_equal(graph_find(graph, "junk"), 3);
	assert_int_equal(graph_find(graph, "nobody"), -ENOENT);
	/* One outlet of read, two of split. */
	assert_true(graph_memory(graph) == 3 << 20);
	graph_free(graph);
}

/* Stores hold it: a start by the next version must find it as it was, whatever the layout is by then. */
static void the_shape_lasts(void **state)
{
	struct example e;
	struct graph *graph;

	(void)state;
	example_init(&e);
	assert_int_equal(there_and_back(&e.graph, &graph), 0);
	assert_true(graph->shape == UINT64_C(0xf47d261030108d29));
	graph_free(graph);
}

static void the_shape_is_what_changes_records(void **state)
{
	struct example e;
	struct graph *a, *b, *c, *d, *f, *g;

	(void)state;
	example_init(&e);
	assert_int_equal(there_and_back(&e.graph, &a), 0);
	e.stages[1].threads = 8;
	e.stages[1].line = 99;
	assert_int_equal(there_and_back(&e.graph, &b), 0);
	e.links[1].port = 1;
	e.links[2].port = 0;
	assert_int_equal(there_and_back(&e.graph, &c), 0);
	e.stages[3].impl = "stdout";
	assert_int_equal(there_and_back(&e.graph, &d), 0);
	e.stages[1].processes = 2;
	assert_int_equal(there_and_back(&e.graph, &f), 0);
	/* Where a credential is in them, they count by its name. */
	e.stages[1].options_shape = 17;
	assert_int_equal(there_and_back(&e.graph, &g), 0);
	assert_true(f->shape != g->shape);
	graph_free(g);
	assert_true(a->shape == b->shape);
	assert_true(a->shape != c->shape);
	assert_true(c->shape != d->shape);
	assert_true(d->shape != f->shape);
	graph_free(a);
	graph_free(b);
	graph_free(c);
	graph_free(d);
	graph_free(f);
}

static void what_cannot_be_is_refused(void **state)
{
	struct example e;
	struct graph *graph = NULL;

	(void)state;
	example_init(&e);
	e.links[0] = (struct graph_link){ 1, 0, 0 };
	assert_int_equal(there_and_back(&e.graph, &graph), -EBADMSG);
	example_init(&e);
	e.links[1].downstream = 4;
	assert_int_equal(there_and_back(&e.graph, &graph), -EBADMSG);
	example_init(&e);
	e.links[1].port = 2;
	assert_int_equal(there_and_back(&e.graph, &graph), -EBADMSG);
	example_init(&e);
	e.stages[2].name = "read";
	assert_int_equal(there_and_back(&e.graph, &graph), -EBADMSG);
	example_init(&e);
	e.stages[2].processes = 0;
	assert_int_equal(there_and_back(&e.graph, &graph), -EBADMSG);
	example_init(&e);
	e.stages[2].role = (enum sl_role)7;
	assert_int_equal(there_and_back(&e.graph, &graph), -EBADMSG);
	example_init(&e);
	e.stages[0].port_count = 0;
	assert_int_equal(there_and_back(&e.graph, &graph), -EBADMSG);
	example_init(&e);
	e.graph.link_count = 1;
	assert_int_equal(there_and_back(&e.graph, &graph), -EBADMSG);
	example_init(&e);
	e.graph.stage_count = 0;
	e.graph.link_count = 0;
	assert_int_equal(there_and_back(&e.graph, &graph), -EBADMSG);
	assert_null(graph);
}

/* Every cut, and every byte changed to a few others, of a real graph: refused, or another graph, but never a crash. */
static void damage_never_gets_further(void **state)
{
	static const unsigned char others[] = { 0x00, 0x01, 0x7f, 0x80, 0x90, 0xc0, 0xc4, 0xcf,
		0xd9, 0xdd, 0xdf, 0xff };
	struct example e;
	struct sl_writer bytes;
	struct err err;

	(void)state;
	example_init(&e);
	sl_writer_init(&bytes);
	assert_int_equal(graph_encode(&e.graph, &bytes), 0);
	for (size_t size = 0; size < bytes.mark; size++) {
		struct graph *graph = NULL;
		char *copy = malloc(size + 1);

		memcpy(copy, bytes.data, size);
		assert_true(graph_decode(copy, size, &graph, &err) < 0);
		free(copy);
	}
	for (size_t i = 0; i < bytes.mark; i++) {
		char old = bytes.data[i];

		for (size_t k = 0; k < sizeof(others); k++) {
			struct graph *graph = NULL;

			bytes.data[i] = (char)others[k];
			if (graph_decode(bytes.data, bytes.mark, &graph, &err) == 0)
				graph_free(graph);
		}
		bytes.data[i] = old;
	}
	sl_writer_fini(&bytes);
}

static char *printed(const struct graph *graph, void (*print)(const struct graph *, FILE *))
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	print(graph, file);
	assert_int_equal(fclose(file), 0);
	return text;
}

static void a_graph_can_be_read(void **state)
{
	struct example e;
	struct graph *graph;
	char *text;

	(void)state;
	example_init(&e);
	assert_int_equal(there_and_back(&e.graph, &graph), 0);
	text = printed(graph, graph_print_text);
	assert_string_equal(text,
		"orders (/etc/orders.conf)\n"
		"4 stages, 4 links, at most 3 MiB of records between them\n"
		"\n"
		"  read   source file\n"
		"         1 process, 1 thread, holds at most 1 MiB\n"
		"         -> split\n"
		"         -> junk\n"
		"\n"
		"  split  transform split\n"
		"         1 process, 1 thread, 500 coroutines, order any, holds at most 2 MiB, "
		"memory at most 20 GiB, cpu weight 50, at most 32 threads and programs\n"
		"         good -> save\n"
		"         bad -> junk\n"
		"\n"
		"  save   sink file\n"
		"         1 process, 1 thread, order kept, by customer and day\n"
		"\n"
		"  junk   sink null\n"
		"         1 process, 1 thread, order kept\n");
	free(text);
	text = printed(graph, graph_print_dot);
	assert_non_null(strstr(text, "digraph \"orders\" {\n"));
	assert_non_null(strstr(text, "\t\"split\" -> \"junk\" [label=\"bad\"];\n"));
	assert_non_null(strstr(text, "\t\"read\" -> \"split\";\n"));
	free(text);
	graph_free(graph);
}

/* Seeds of an older version would be refused at once, and the fuzzer would learn nothing. */
static void the_fuzzers_seeds_are_of_this_version(void **state)
{
	static const char *const names[] = { "countries", "queue-demo", "timezones", "unicode" };
	const char *top = getenv("top_srcdir");

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[512], bytes[8192];
		struct graph *graph;
		struct err err;
		FILE *file;
		size_t size;

		(void)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/fuzz_graph/%s",
			top ? top : "..", names[i]);
		file = fopen(path, "re");
		assert_non_null(file);
		size = fread(bytes, 1, sizeof(bytes), file);
		(void)fclose(file);
		if (graph_decode(bytes, size, &graph, &err) < 0)
			fail_msg("%s: %s: make it again: sluice-stage --check "
				 "etc/pipelines/%s.conf --graph-fd 3 3>%s",
				path, err.text, names[i], path);
		graph_free(graph);
	}
}

static bool has_link(const struct graph *graph, const char *from, const char *to)
{
	for (uint32_t i = 0; i < graph->link_count; i++)
		if (strcmp(graph->stages[graph->links[i].upstream].name, from) == 0 &&
			strcmp(graph->stages[graph->links[i].downstream].name, to) == 0)
			return true;
	return false;
}

/* An intake behind the source, read by two; before one of them another store; and a module of that name, which is none. */
static void a_graph_without_its_stores(void **state)
{
	/* clang-format off */
	struct graph_stage stages[] = {
		{ .name = "read", .impl = "exec", .role = SL_SOURCE, .flags = GRAPH_DURABLE, .ports = out, .port_count = 1, NUMBERS },
		{ .name = "read~in", .impl = GRAPH_SPILL, .role = SL_SINK, NUMBERS },
		{ .name = "read~out", .impl = GRAPH_SPILL, .role = SL_SOURCE, .ports = out, .port_count = 1, NUMBERS },
		{ .name = "save~in", .impl = GRAPH_SPILL, .role = SL_SINK, NUMBERS },
		{ .name = "save~out", .impl = GRAPH_SPILL, .role = SL_SOURCE, .ports = out, .port_count = 1, NUMBERS },
		{ .name = "save", .impl = "file", .role = SL_SINK, NUMBERS },
		{ .name = "mine", .impl = GRAPH_SPILL, .module = "/usr/lib/mine.so", .role = SL_SINK, NUMBERS },
	};
	/* clang-format on */
	struct graph_link links[] = { { 0, 0, 1 }, { 2, 0, 3 }, { 4, 0, 5 }, { 2, 0, 6 } };
	struct graph with = { .name = "p",
		.file = "/p.conf",
		.stages = stages,
		.stage_count = 7,
		.links = links,
		.link_count = 4,
		.drain_timeout_ns = 1 };
	struct graph *whole, *joined;
	uint64_t shape;

	(void)state;
	assert_int_equal(there_and_back(&with, &whole), 0);
	assert_int_equal(graph_find_out(whole, 1), 2);
	assert_int_equal(graph_find_out(whole, 3), 4);
	for (uint32_t i = 0; i < whole->stage_count; i++)
		assert_true(i == 1 || i == 3 || graph_find_out(whole, i) == -ENOENT);
	shape = whole->shape;
	assert_int_equal(graph_join(whole, &joined, NULL), 0);
	assert_int_equal(joined->stage_count, 3);
	assert_int_equal(joined->link_count, 2);
	assert_true(has_link(joined, "read", "save") && has_link(joined, "read", "mine"));
	assert_int_equal(joined->stages[0].flags, 0);
	graph_free(joined);
	graph_free(whole);
	/* How much a store holds is no part of the shape. */
	stages[1].options = (struct sl_value){ .data = "\x80", .size = 1 };
	assert_int_equal(there_and_back(&with, &whole), 0);
	assert_true(whole->shape == shape);
	graph_free(whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_graph_comes_back_whole),
		cmocka_unit_test(links_are_known_at_both_ends),
		cmocka_unit_test(the_shape_lasts),
		cmocka_unit_test(the_shape_is_what_changes_records),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(damage_never_gets_further),
		cmocka_unit_test(a_graph_can_be_read),
		cmocka_unit_test(a_graph_without_its_stores),
		cmocka_unit_test(the_fuzzers_seeds_are_of_this_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
