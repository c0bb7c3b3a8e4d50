/* SPDX-License-Identifier: MIT */
/* What the control socket tells: rates, the JSON of status, Prometheus' text, and the counts of an audit with its laws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "link/tally.h"
#include "supervisor/audit.h"
#include "supervisor/status.h"

/* read -> vat (2 processes) -> save; vat.bad -> junk */
static const char *const out[] = { "out" };
static const char *const two[] = { "out", "bad" };
static const uint32_t first_input[] = { 0 }, second_input[] = { 1 }, third_input[] = { 2 };

struct example {
	struct graph_stage stages[4];
	struct graph_link links[3];
	struct graph graph;
	struct page *pages;
	struct supervisor_child children[5];
	struct rates rates[5];
	struct group_use uses[5];
	struct status status;
};

static void make_child(struct example *e, uint32_t i, uint32_t stage, uint32_t instance)
{
	e->children[i] = (struct supervisor_child){
		.stage = stage,
		.instance = instance,
		.state = CHILD_RUNNING,
		.pid = (pid_t)(100 + i),
		.page = &e->pages[i],
	};
}

/* clang-format off */
static int set_up(void **state)
{
	struct example *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	e->pages = calloc(5, sizeof(*e->pages));
	assert_non_null(e->pages);
	e->stages[0] = (struct graph_stage){ .name = "read", .impl = "file", .role = SL_SOURCE, .processes = 1, .threads = 1,
		.queue = 4, .retain = 1000, .ports = out, .port_count = 1 };
	e->stages[1] = (struct graph_stage){ .name = "vat", .impl = "sql", .role = SL_TRANSFORM, .processes = 2, .threads = 2,
		.queue = 4, .retain = 1000, .ports = two, .port_count = 2, .inputs = first_input, .input_count = 1 };
	e->stages[2] = (struct graph_stage){ .name = "save", .impl = "file", .role = SL_SINK, .processes = 1, .threads = 1,
		.queue = 3, .inputs = second_input, .input_count = 1 };
	e->stages[3] = (struct graph_stage){ .name = "junk", .impl = "null", .role = SL_SINK, .processes = 1, .threads = 1,
		.queue = 3, .inputs = third_input, .input_count = 1 };
	e->links[0] = (struct graph_link){ 0, 0, 1 };
	e->links[1] = (struct graph_link){ 1, 0, 2 };
	e->links[2] = (struct graph_link){ 1, 1, 3 };
	e->graph = (struct graph){ .name = "orders", .file = "/etc/orders.conf", .stages = e->stages, .stage_count = 4,
		.links = e->links, .link_count = 3 };
	make_child(e, 0, 0, 0);
	make_child(e, 1, 1, 0);
	make_child(e, 2, 1, 1);
	make_child(e, 3, 2, 0);
	make_child(e, 4, 3, 0);
	e->status = (struct status){ .graph = &e->graph, .pid = 99, .started_at = 1700000000 * NSEC_PER_SEC,
		.now = { .state = SUPERVISOR_RUNNING, .run = 0xabc, .started_ns = 0 }, .at_ns = 5 * NSEC_PER_SEC / 2,
		.children = e->children, .rates = e->rates, .uses = e->uses, .child_count = 5 };
	*state = e;
	return 0;
}
/* clang-format on */

static int tear_down(void **state)
{
	struct example *e = *state;

	free(e->pages);
	free(e);
	return 0;
}

/* --- rates -------------------------------------------------------------------------------------- */

static void rates_are_of_the_last_seconds(void **state)
{
	struct rates rates = { 0 };
	double in, made;

	(void)state;
	rates_since(&rates, (struct rates_sample){ NSEC_PER_SEC, 10, 10 }, &in, &made);
	assert_true(in == 0 && made == 0);
	/* 100 a second for a minute, then nothing. */
	for (int i = 0; i <= 300; i++)
		rates_sample(&rates, (struct rates_sample){ i * NSEC_PER_SEC / 5, (uint64_t)i * 20,
					     (uint64_t)i * 10 });
	rates_since(&rates, (struct rates_sample){ 60 * NSEC_PER_SEC, 6000, 3000 }, &in, &made);
	assert_true(in > 99 && in < 101);
	assert_true(made > 49 && made < 51);
	for (int i = 301; i <= 400; i++)
		rates_sample(&rates, (struct rates_sample){ i * NSEC_PER_SEC / 5, 6000, 3000 });
	rates_since(&rates, (struct rates_sample){ 80 * NSEC_PER_SEC, 6000, 3000 }, &in, &made);
	assert_true(in == 0 && made == 0);
}

/* --- status ------------------------------------------------------------------------------------- */

static json_t *instance_of(json_t *status, size_t stage, size_t instance)
{
	json_t *stages = json_object_get(status, "stages");

	return json_array_get(
		json_object_get(json_array_get(stages, stage), "instances"), instance);
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static json_int_t number_of(const json_t *object, const char *key)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	return json_integer_value(json_object_get(object, key));
}

static void the_whole_and_the_sums(void **state)
{
	struct example *e = *state;
	json_t *status, *vat;

	page_set(e->pages[1].records_in, 7);
	page_set(e->pages[2].records_in, 5);
	page_set(e->pages[2].records_dead, 2);
	e->children[2].restarts = 3;
	e->children[2].pid = 0;
	e->children[2].state = CHILD_WAITING;
	status = status_json(&e->status);
	assert_string_equal(text_of(status, "pipeline"), "orders");
	assert_string_equal(text_of(status, "run"), "0000000000000abc");
	assert_string_equal(text_of(status, "state"), "running");
	assert_string_equal(text_of(status, "since"), "2023-11-14T22:13:20Z");
	assert_true(json_is_null(json_object_get(status, "reason")));
	assert_true(json_real_value(json_object_get(status, "elapsed_seconds")) == 2.5);
	vat = json_array_get(json_object_get(status, "stages"), 1);
	assert_string_equal(text_of(vat, "impl"), "sql");
	assert_int_equal(number_of(vat, "records_in"), 12);
	assert_int_equal(number_of(vat, "records_dead"), 2);
	assert_int_equal(number_of(vat, "restarts"), 3);
	assert_int_equal(number_of(vat, "running"), 1);
	assert_string_equal(text_of(instance_of(status, 1, 1), "name"), "vat.1");
	assert_string_equal(text_of(instance_of(status, 1, 1), "state"), "restarting");
	assert_true(json_is_null(json_object_get(instance_of(status, 1, 1), "pid")));
	assert_int_equal(number_of(instance_of(status, 1, 0), "retain_bytes"), 2000);
	assert_int_equal(json_array_size(json_object_get(instance_of(status, 1, 0), "workers")), 2);
	/* Two instances above, each may have three batches waiting here. */
	assert_int_equal(number_of(instance_of(status, 2, 0), "queue"), 6);
	json_decref(status);
}

static void check_waits(struct example *e, uint32_t child, size_t stage, size_t instance,
	const char *first, const char *second)
{
	json_t *status = status_json(&e->status);
	json_t *names = json_object_get(instance_of(status, stage, instance), "waits_for");

	assert_int_equal(json_array_size(names), (first != NULL) + (second != NULL));
	if (first)
		assert_string_equal(json_string_value(json_array_get(names, 0)), first);
	if (second)
		assert_string_equal(json_string_value(json_array_get(names, 1)), second);
	assert_string_equal(text_of(instance_of(status, stage, instance), "blocked"),
		status_blocked[status_blocked_by(&e->children[child])]);
	json_decref(status);
}

static void who_is_waited_for(void **state)
{
	struct example *e = *state;

	check_waits(e, 1, 1, 0, NULL, NULL);
	page_set(e->pages[1].blocked, PAGE_NO_INPUT);
	check_waits(e, 1, 1, 0, "read", NULL);
	page_set(e->pages[1].blocked, PAGE_NO_CREDIT);
	check_waits(e, 1, 1, 0, "save", "junk");
	page_set(e->pages[1].blocked, PAGE_NO_ROOM);
	check_waits(e, 1, 1, 0, "save", "junk");
	/* Nobody waits for what has ended, and who does not run waits for nobody. */
	e->children[4].state = CHILD_FINISHED;
	check_waits(e, 1, 1, 0, "save", NULL);
	e->children[1].state = CHILD_WAITING;
	check_waits(e, 1, 1, 0, NULL, NULL);
}

static void how_far_a_source_is(void **state)
{
	struct example *e = *state;
	json_t *status = status_json(&e->status);
	json_t *source = json_object_get(instance_of(status, 0, 0), "source");

	assert_true(json_is_null(json_object_get(source, "total")));
	assert_true(json_is_null(json_object_get(source, "lag")));
	assert_null(json_object_get(instance_of(status, 1, 0), "source"));
	json_decref(status);
	page_set(e->pages[0].progress_done, 400);
	page_set(e->pages[0].progress_total, 1000);
	page_set(e->pages[0].progress_is_bytes, 1);
	page_set(e->pages[0].position, 350);
	page_set(e->pages[0].settled, 300);
	status = status_json(&e->status);
	source = json_object_get(instance_of(status, 0, 0), "source");
	assert_int_equal(number_of(source, "lag"), 600);
	assert_int_equal(number_of(source, "position"), 350);
	assert_int_equal(number_of(source, "settled"), 300);
	assert_string_equal(text_of(source, "unit"), "bytes");
	assert_true(json_real_value(json_object_get(source, "age")) == 0);
	json_decref(status);
	page_set(e->pages[0].oldest_ns, e->status.at_ns - 1500000000);
	status = status_json(&e->status);
	source = json_object_get(instance_of(status, 0, 0), "source");
	assert_true(json_real_value(json_object_get(source, "age")) == 1.5);
	json_decref(status);
	/* The end is known before the last of it is counted, or the file grew. */
	page_set(e->pages[0].progress_done, 1001);
	assert_int_equal(status_lag(&e->children[0]), 0);
}

static void texts_that_are_no_utf8(void **state)
{
	struct example *e = *state;
	json_t *status;

	e->graph.file = "/data/caf\xe9.conf";
	e->status.now = (struct supervisor_now){ .state = SUPERVISOR_FAILING, .reason = "\xff" };
	status = status_json(&e->status);
	assert_string_equal(text_of(status, "file"), "/data/caf?.conf");
	assert_string_equal(text_of(status, "reason"), "?");
	assert_string_equal(text_of(status, "state"), "failing");
	json_decref(status);
}

/* --- metrics ------------------------------------------------------------------------------------ */

static void metrics_are_lines_with_labels(void **state)
{
	struct example *e = *state;
	size_t size;
	char *text;

	e->graph.name = "or\"de\\rs\n";
	page_set(e->pages[2].records_in, 5);
	page_set(e->pages[1].blocked_ns[PAGE_NO_CREDIT], 3 * NSEC_PER_SEC / 2);
	text = status_metrics(&e->status, &size);
	assert_non_null(text);
	assert_int_equal(strlen(text), size);
	assert_non_null(strstr(text, "# TYPE sluice_records_in_total counter\n"));
	assert_non_null(strstr(text, "\nsluice_records_in_total{pipeline=\"or\\\"de\\\\rs\\n\","
				     "stage=\"vat\",instance=\"1\"} "
				     "5\n"));
	assert_non_null(strstr(text, "stage=\"vat\",instance=\"0\",state=\"no_credit\"} 1.5\n"));
	assert_non_null(strstr(text, "state=\"running\"} 1\n"));
	assert_non_null(strstr(text, "state=\"stopping\"} 0\n"));
	/* Of sources only, and what is not known is left out. */
	assert_non_null(strstr(text, "\nsluice_source_position{"));
	assert_null(strstr(text, "\nsluice_source_lag{"));
	assert_null(strstr(strstr(text, "\nsluice_source_position{"), "stage=\"vat\""));
	free(text);
	page_set(e->pages[0].progress_total, 10);
	text = status_metrics(&e->status, &size);
	assert_non_null(strstr(text, "\nsluice_source_lag{"));
	free(text);
}

/* --- audit -------------------------------------------------------------------------------------- */

/* 10 records read; 8 to save, 1 to junk, 1 given up. */
/* Only what has a group, and only what is known. */
static void what_a_process_uses(void **state)
{
	struct example *e = *state;
	json_t *status, *group;
	size_t size;
	char *text;

	e->uses[1] = (struct group_use){ .is_there = true,
		.memory = 1000,
		.memory_peak = UINT64_MAX,
		.memory_max = 4000,
		.tasks = 5,
		.tasks_max = UINT64_MAX,
		.cpu_weight = 50,
		.kills = 2 };
	status = status_json(&e->status);
	assert_true(json_is_null(json_object_get(instance_of(status, 0, 0), "group")));
	assert_true(json_is_null(json_object_get(instance_of(status, 1, 1), "group")));
	group = json_object_get(instance_of(status, 1, 0), "group");
	assert_int_equal(json_integer_value(json_object_get(group, "memory_bytes")), 1000);
	assert_int_equal(json_integer_value(json_object_get(group, "memory_max_bytes")), 4000);
	assert_int_equal(json_integer_value(json_object_get(group, "memory_kills")), 2);
	assert_int_equal(json_integer_value(json_object_get(group, "tasks")), 5);
	assert_int_equal(json_integer_value(json_object_get(group, "cpu_weight")), 50);
	assert_true(json_is_null(json_object_get(group, "memory_peak_bytes")));
	assert_true(json_is_null(json_object_get(group, "tasks_max")));
	json_decref(status);
	text = status_metrics(&e->status, &size);
	assert_non_null(text);
	assert_non_null(strstr(text,
		"\nsluice_memory_bytes{pipeline=\"orders\",stage=\"vat\",instance=\"0\"} 1000\n"));
	assert_non_null(strstr(
		text, "\nsluice_threads{pipeline=\"orders\",stage=\"vat\",instance=\"0\"} 5\n"));
	assert_null(strstr(text, "\nsluice_memory_peak_bytes{"));
	assert_null(strstr(
		text, "\nsluice_memory_bytes{pipeline=\"orders\",stage=\"vat\",instance=\"1\""));
	free(text);
}

static void fill_tally(const struct graph *graph, uint64_t *tally)
{
	tally[tally_sent(0)] = tally[tally_received(0)] = 10;
	tally[tally_sent(1)] = tally[tally_received(1)] = 8;
	tally[tally_sent(2)] = tally[tally_received(2)] = 1;
	tally[tally_consumed(graph, 0)] = 10;
	tally[tally_consumed(graph, 1)] = 9;
	tally[tally_dead(graph, 1)] = 1;
	tally[tally_consumed(graph, 2)] = 8;
	tally[tally_consumed(graph, 3)] = 1;
}

static void the_two_laws(void **state)
{
	struct example *e = *state;
	uint64_t tally[14] = { 0 };
	char text[256];

	assert_int_equal(tally_size(&e->graph), 14);
	assert_false(audit_find_leak(&e->graph, tally, text, sizeof(text)));
	fill_tally(&e->graph, tally);
	assert_false(audit_find_leak(&e->graph, tally, text, sizeof(text)));
	tally[tally_received(1)] = 7;
	assert_true(audit_find_leak(&e->graph, tally, text, sizeof(text)));
	assert_string_equal(text, "leak: vat sent 8 records to save, which received 7");
	tally[tally_received(1)] = 8;
	tally[tally_dead(&e->graph, 1)] = 0;
	assert_true(audit_find_leak(&e->graph, tally, text, sizeof(text)));
	assert_string_equal(text, "leak: vat received 10 records and answered for 9");
}

static json_int_t end_audit(struct audit *audit, bool is_complete)
{
	json_t *missing = is_complete ? json_array() : json_pack("[s]", "read.0");
	json_t *json = audit_end(audit, missing);
	json_int_t received =
		number_of(json_array_get(json_object_get(json, "links"), 0), "received");

	assert_int_equal(json_is_true(json_object_get(json, "complete")), is_complete);
	assert_true(json_is_true(json_object_get(json, "holds")));
	assert_true(json_is_null(json_object_get(json, "leak")));
	json_decref(missing);
	json_decref(json);
	return received;
}

static void every_tally_counts_once(void **state)
{
	struct example *e = *state;
	uint64_t base[14] = { 0 }, tally[14] = { 0 };
	struct audit audit;

	fill_tally(&e->graph, tally);
	assert_int_equal(audit_init(&audit, &e->graph, 5), 0);
	audit_begin(&audit, base);
	audit_await(&audit, 0);
	audit_hear(&audit, 0, false, tally, 3);
	assert_int_equal(audit.awaited, 1);
	audit_hear(&audit, 0, false, tally, sizeof(tally));
	assert_int_equal(audit.awaited, 0);
	/* A late answer to an audit before, and its last tally, are not counted again. */
	audit_hear(&audit, 0, false, tally, sizeof(tally));
	audit_hear(&audit, 0, true, tally, sizeof(tally));
	assert_int_equal(end_audit(&audit, true), 10);
	/* Now it has finished: the supervisor's sum has it. */
	assert_true(audit_has_finished(&audit, 0));
	audit_begin(&audit, tally);
	assert_int_equal(audit.awaited, 0);
	assert_int_equal(end_audit(&audit, true), 10);
	audit_fini(&audit);
}

static void a_last_tally_is_an_answer(void **state)
{
	struct example *e = *state;
	uint64_t base[14] = { 0 }, tally[14] = { 0 };
	struct audit audit;

	fill_tally(&e->graph, tally);
	assert_int_equal(audit_init(&audit, &e->graph, 5), 0);
	audit_begin(&audit, base);
	audit_await(&audit, 0);
	assert_int_equal(end_audit(&audit, false), 0);
	audit_begin(&audit, base);
	audit_await(&audit, 0);
	audit_hear(&audit, 0, true, tally, sizeof(tally));
	assert_int_equal(audit.awaited, 0);
	assert_int_equal(end_audit(&audit, true), 10);
	audit_fini(&audit);
}

static void a_leak_is_told(void **state)
{
	struct example *e = *state;
	uint64_t tally[14] = { 0 };
	json_t *missing = json_array(), *json;
	struct audit audit;

	fill_tally(&e->graph, tally);
	tally[tally_received(2)] = 2;
	assert_int_equal(audit_init(&audit, &e->graph, 5), 0);
	audit_begin(&audit, tally);
	json = audit_end(&audit, missing);
	assert_true(json_is_false(json_object_get(json, "holds")));
	assert_string_equal(
		text_of(json, "leak"), "leak: vat sent 1 records to junk, which received 2");
	json_decref(json);
	json_decref(missing);
	audit_fini(&audit);
}

/* What was put in is told by one half, what was taken out by the other; neither is up to date about the other. */
static void how_full_a_store_is(void **state)
{
	struct example *e = *state;
	struct sl_writer w;
	json_t *json, *store;
	char *text;
	size_t size;
	struct fill fill;

	sl_writer_init(&w);
	sl_put_map(&w, 3);
	sl_put_cstr(&w, "store");
	sl_put_cstr(&w, "spill.s.db");
	sl_put_cstr(&w, "max");
	sl_put_uint(&w, 1000000);
	sl_put_cstr(&w, "drops");
	sl_put_bool(&w, true);
	assert_int_equal(sl_record_done(&w), 0);
	e->stages[2].name = "s~in";
	e->stages[2].impl = GRAPH_SPILL;
	e->stages[2].options = (struct sl_value){ .data = w.data, .size = w.mark };
	e->stages[0].name = "s~out";
	e->stages[0].impl = GRAPH_SPILL;
	page_set(e->pages[3].store_records, 500);
	page_set(e->pages[3].store_bytes, 90000);
	page_set(e->pages[0].store_records, 200);
	page_set(e->pages[0].store_bytes, 30000);
	page_set(e->pages[0].settled, 240);
	json = status_json(&e->status);
	store = json_object_get(json_array_get(json_object_get(json, "stages"), 2), "store");
	assert_string_equal(json_string_value(json_object_get(store, "file")), "spill.s.db");
	assert_string_equal(json_string_value(json_object_get(store, "when_full")), "drop");
	assert_int_equal(json_integer_value(json_object_get(store, "records")), 260);
	assert_int_equal(json_integer_value(json_object_get(store, "bytes")), 60000);
	assert_int_equal(json_integer_value(json_object_get(store, "max")), 1000000);
	assert_null(json_object_get(json_array_get(json_object_get(json, "stages"), 0), "store"));
	json_decref(json);
	text = status_metrics(&e->status, &size);
	assert_non_null(strstr(text,
		"\nsluice_store_bytes{pipeline=\"orders\",stage=\"s~in\",instance=\"0\"} "
		"60000\n"));
	assert_null(strstr(text, "sluice_store_bytes{pipeline=\"orders\",stage=\"s~out\""));
	free(text);
	/* The one that takes out has seen more than the one that puts in has said. */
	page_set(e->pages[0].store_records, 600);
	assert_true(status_fill(&e->status, 2, &fill));
	assert_int_equal(fill.records, 0);
	assert_false(status_fill(&e->status, 0, &fill));
	sl_writer_fini(&w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_of_the_last_seconds),
		TEST(the_whole_and_the_sums),
		TEST(who_is_waited_for),
		TEST(how_far_a_source_is),
		TEST(texts_that_are_no_utf8),
		TEST(metrics_are_lines_with_labels),
		TEST(what_a_process_uses),
		TEST(the_two_laws),
		TEST(every_tally_counts_once),
		TEST(a_last_tally_is_an_answer),
		TEST(a_leak_is_told),
		TEST(how_full_a_store_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
