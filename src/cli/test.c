/* SPDX-License-Identifier: MIT */
/* test: the tests that a config carries. Each runs in a folder of its own, with the real stages as processes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/units.h"
#include "cli/apart.h"
#include "cli/cli.h"
#include "cli/part.h"
#include "supervisor/plan.h"

#define LIMIT_DEFAULT (60 * NSEC_PER_SEC)
#define TEST_FILE "test" /* as sluice-stage --judge reads it */

static const char help[] =
	"Runs the `tests` of a config, or the one of that name: given records go into a stage, or "
	"through several,\n"
	"and what comes out is compared with what is expected; see sluice.conf(5). Stages run for "
	"real; sinks do not.\n"
	"Nothing is remembered: each test works in a state folder of its own.\n"
	"\n"
	"--for DURATION  a test that takes longer has failed (default: 60s)\n"
	"--quiet         only what failed\n"
	"\n"
	"Exit status: 0 all passed; 1 some failed, or there are none; 2 wrong command line; 78 bad "
	"config.\n";

struct session {
	const struct graph *graph; /* without stores */
	const struct cli_options *options;
	unsigned passed, failed;
	bool is_stopped;
};

/* One test; the texts are copies. */
struct test {
	struct sl_value value;
	char name[200];
	char file[1000];
	uint64_t line;
	uint32_t from, to;
	uint64_t port;
	struct sl_value feed; /* data NULL: the source reads */
};

static struct sl_value get(struct sl_value test, const char *key)
{
	return sl_find(test, key, strlen(key));
}

static void copy_text(struct sl_value test, const char *key, char *text, size_t size)
{
	const char *from = "";
	size_t length = 0;

	(void)sl_get_str(get(test, key), &from, &length);
	(void)snprintf(text, size, "%.*s", (int)length, from);
	(void)secret_hide(text);
}

static int read_stage(const struct graph *graph, struct sl_value test, const char *key,
	bool second_half, uint32_t *ret_stage)
{
	char name[200];
	int found;

	copy_text(test, key, name, sizeof(name));
	found = part_find(graph, name, second_half);
	if (found >= 0)
		*ret_stage = (uint32_t)found;
	return found < 0 ? found : 0;
}

static int read_test(const struct graph *graph, struct sl_value value, struct test *ret_test)
{
	struct test test = { .value = value, .feed = get(value, "feed") };
	int r;

	copy_text(value, "name", test.name, sizeof(test.name));
	copy_text(value, "file", test.file, sizeof(test.file));
	(void)sl_get_uint(get(value, "line"), &test.line);
	(void)sl_get_uint(get(value, "port"), &test.port);
	if (sl_kind(test.feed) != SL_ARRAY)
		test.feed = (struct sl_value){ 0 };
	r = read_stage(graph, value, "from", false, &test.from);
	if (r == 0)
		r = read_stage(graph, value, "to", true, &test.to);
	if (r == 0)
		*ret_test = test;
	return r;
}

/* --- its part of the pipeline --------------------------------------------------------------------- */

/* The stages on the ways from `from` to `to`: below the one, and above the other. */
static void mark_between(
	const struct graph *graph, uint32_t from, uint32_t to, bool *is_below, bool *is_between)
{
	int above;

	is_below[from] = true;
	for (uint32_t i = from; i <= to; i++)
		for (uint32_t k = 0; !is_below[i] && (above = part_above(graph, i, k)) >= 0; k++)
			is_below[i] = is_below[above];
	is_between[to] = true;
	for (uint32_t i = to + 1; i-- > from;)
		for (uint32_t k = 0; is_between[i] && (above = part_above(graph, i, k)) >= 0; k++)
			is_between[above] = is_between[above] || is_below[above];
}

static void take(struct part *part, const struct graph *graph, const struct test *test,
	const bool *is_between)
{
	for (uint32_t i = test->from; i <= test->to; i++) {
		bool is_sink = part_is_sink(&graph->stages[i]);
		bool is_replaced =
			i == test->from && test->feed.data && part_is_source(&graph->stages[i]);

		if (!is_between[i])
			continue;
		if (i == test->from && test->feed.data)
			part_feed(part, i, test->feed);
		if (is_sink)
			part_tap_sink(part, i);
		else if (!is_replaced)
			part_take(part, i);
	}
	if (!part_is_sink(&graph->stages[test->to]))
		part_tap(part, test->to, (uint32_t)test->port);
}

static bool is_any_order(const struct graph *graph, const bool *is_between)
{
	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (is_between[i] && graph->stages[i].order == GRAPH_ORDER_ANY)
			return true;
	return false;
}

/* Something of the test or of a stage that it runs is a credential that is not there. */
static int need_credentials(struct sl_value value, const char *whose, struct err *err)
{
	static const char mark[] = "${credential:";
	const char *at = memmem(value.data, value.size, mark, sizeof(mark) - 1);
	const char *end = at ? memchr(at, '}', (size_t)(value.data + value.size - at)) : NULL;

	if (!end)
		return 0;
	return err_set(err, -ENOENT,
		"%s needs `%.*s`, which is not there: set $CREDENTIALS_DIRECTORY to a folder with "
		"that file",
		whose, (int)(end + 1 - at), at);
}

static int check_credentials(const struct graph *part, const struct test *test, struct err *err)
{
	int r = need_credentials(test->value, "the test", err);

	for (uint32_t i = 0; i < part->stage_count && r == 0; i++) {
		char whose[64];

		(void)snprintf(whose, sizeof(whose), "`%.*s`", part_name_length(&part->stages[i]),
			part->stages[i].name);
		r = need_credentials(part->stages[i].options, whose, err);
	}
	return r;
}

static int make_part(const struct graph *graph, const struct test *test, struct graph **ret_graph,
	bool *ret_any_order, struct err *err)
{
	_cleanup_free_ bool *is_below = calloc(graph->stage_count, sizeof(*is_below));
	_cleanup_free_ bool *is_between = calloc(graph->stage_count, sizeof(*is_between));
	struct part part;
	int r;

	if (!is_below || !is_between)
		return err_set(err, -ENOMEM, "no memory");
	mark_between(graph, test->from, test->to, is_below, is_between);
	*ret_any_order = is_any_order(graph, is_between);
	r = part_init(&part, graph);
	if (r == 0) {
		take(&part, graph, test, is_between);
		r = part_end(&part, ret_graph, err);
	}
	part_fini(&part);
	return r;
}

/* --- one test ------------------------------------------------------------------------------------- */

static void say_failed(const struct test *test)
{
	(void)printf(
		"FAIL  %s (%s:%llu)\n", test->name, test->file, (unsigned long long)test->line);
}

/* What the processes said may be the reason. */
static void say_lines(const char *lines)
{
	while (*lines) {
		size_t length = strcspn(lines, "\n");

		(void)printf("      %.*s\n", (int)length, lines);
		lines += length + (lines[length] == '\n');
	}
}

/* 0: as expected; 1: not, and said. */
static int judge(const struct test *test, const char *folder, bool any_order)
{
	const char *words[] = { "sluice-stage", "--judge", folder, any_order ? "--any-order" : NULL,
		NULL };
	char path[APART_FOLDER_SIZE + 16], line[4096];
	_cleanup_fclose_ FILE *said = NULL;
	int status;

	(void)snprintf(path, sizeof(path), "%s/verdict", folder);
	status = apart_ask(words, path);
	if (status == 0)
		return 0;
	say_failed(test);
	said = fopen(path, "re");
	while (said && fgets(line, sizeof(line), said))
		(void)fputs(secret_hide(line), stdout);
	return 1;
}

static int run_in(struct session *session, const struct test *test, struct graph *part,
	bool any_order, const char *folder, FILE *lines, struct err *err)
{
	int64_t limit =
		session->options->duration_ns ? session->options->duration_ns : LIMIT_DEFAULT;
	struct apart_end end = { 0 };
	int r = apart_write(folder, TEST_FILE, test->value.data, test->value.size, err);

	if (r == 0)
		r = apart_run(part, folder, limit, lines, &end, err);
	if (r < 0)
		return r;
	session->is_stopped = end.is_stopped;
	if (end.is_over)
		return err_set(err, -ETIMEDOUT, "it has not ended in time: --for 5m waits longer");
	if (end.is_stopped)
		return err_set(err, -EINTR, "it was stopped");
	if (end.has_failed)
		return err_set(err, -EIO, "the pipeline failed: %s", end.reason);
	return judge(test, folder, any_order);
}

static void say_passed(const struct session *session, const struct test *test, int64_t began_ns)
{
	char time[32];

	if (!session->options->quiet)
		(void)printf("ok    %s (%s)\n", test->name,
			units_print_duration(clock_now() - began_ns, time, sizeof(time)));
}

static void run_one(struct session *session, const struct test *test)
{
	char folder[APART_FOLDER_SIZE];
	_cleanup_free_ char *lines = NULL;
	size_t size = 0;
	FILE *said = open_memstream(&lines, &size);
	struct graph *part = NULL;
	int64_t began_ns = clock_now();
	bool any_order = false;
	struct err err = { 0 };
	int r = said ? make_part(session->graph, test, &part, &any_order, &err) : -ENOMEM;

	apart_name("test", folder);
	if (r == 0)
		r = check_credentials(part, test, &err);
	if (r == 0)
		r = apart_make(folder, &err);
	if (r == 0) {
		r = run_in(session, test, part, any_order, folder, said, &err);
		apart_remove(folder);
	}
	graph_free(part);
	if (said)
		(void)fclose(said);
	if (r == 0) {
		session->passed++;
		say_passed(session, test, began_ns);
		return;
	}
	session->failed++;
	if (r < 0) {
		say_failed(test);
		(void)printf("      %s\n", err.text[0] ? err.text : err_name(r));
		say_lines(lines ? lines : "");
	}
	(void)fflush(stdout);
}

/* --- all ------------------------------------------------------------------------------------------ */

static int run_all(struct session *session, struct sl_value tests)
{
	const char *only = session->options->second;
	struct sl_cursor cursor = sl_walk(tests);
	struct sl_value key, value;

	while (!session->is_stopped && sl_next(&cursor, &key, &value)) {
		struct test test;

		if (read_test(session->graph, value, &test) < 0)
			return CLI_FAILED;
		if (!only || strcmp(only, test.name) == 0)
			run_one(session, &test);
	}
	if (session->passed + session->failed == 0) {
		(void)fprintf(stderr, "sluice test: %s has no test%s%s%s\n", session->options->file,
			only ? " called \"" : "s: write tests = ( { name = \"...\"; ... } );",
			only ? only : "", only ? "\"" : "");
		return CLI_FAILED;
	}
	(void)printf("%u passed, %u failed\n", session->passed, session->failed);
	return session->failed > 0 ? CLI_FAILED : CLI_OK;
}

static int run_file(const struct plan *plan, const struct cli_options *options, struct err *err)
{
	struct session session = { .options = options };
	_cleanup_free_ char *data = NULL;
	struct graph *graph = NULL;
	size_t size = 0;
	int r = plan_tests(options->file, options->sets.items, &data, &size, err);

	if (r == 0)
		r = graph_join(plan->graph, &graph, err);
	if (r < 0)
		return r;
	session.graph = graph;
	r = run_all(&session, (struct sl_value){ data, size });
	graph_free(graph);
	return r;
}

static int run_test(const struct cli_command *command, int argc, char **argv)
{
	struct cli_options options;
	char folder[APART_FOLDER_SIZE];
	struct plan plan;
	struct err err = { 0 };
	int r = cli_parse(command, argc, argv, "FILE", &options);

	if (r != 0)
		return r == 1 ? CLI_OK : CLI_USAGE;
	apart_name(command->name, folder);
	r = plan_make_for_tests(options.file, options.sets.items, folder, &plan, &err);
	if (r == 0) {
		r = run_file(&plan, &options, &err);
		plan_fini(&plan);
		if (r >= 0)
			return r;
	}
	if (r != -EINVAL)
		(void)fprintf(stderr, "sluice test: %s\n", err.text[0] ? err.text : err_name(r));
	return cli_plan_status(r);
}

const struct cli_command cli_test = {
	.name = "test",
	.arguments = "FILE [NAME] [--for DURATION] [--quiet] [--set NAME=VALUE]",
	.summary = "runs the tests that a config carries",
	.has_second = true,
	.help = help,
	.run = run_test,
};
