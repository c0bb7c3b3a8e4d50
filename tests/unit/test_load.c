/* SPDX-License-Identifier: MIT */
/*
 * Loading real files in a folder of its own, with a few stages that exist only here. The exact words of most mistakes are
 * golden cases (tests/stages/config); here stands what needs code: files, folders, the environment, several outputs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/load.h"
#include "config/report.h"
#include "config/schema.h"

/* --- the stages ------------------------------------------------------------------------------------- */

struct shared {
	const char *path;
	int64_t count;
	uint64_t size;
	struct sl_strings columns;
	struct sl_value records;
};

static const char *target(const void *shared)
{
	return ((const struct shared *)shared)->path;
}

static const char *const ports[] = { "good", "bad", NULL };

/* Outputs by `columns`. */
static const char *column(const void *shared, uint32_t i)
{
	const struct shared *o = shared;

	return i < o->columns.count ? o->columns.items[i] : NULL;
}

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("path", STRING, struct shared, path), .help = "a file", .example = "\"out.csv\"" },
	{ SL_OPTION("count", INT, struct shared, count), .fallback = "10", .max = 1000, .help = "how many", .example = "100" },
	{ SL_OPTION("size", SIZE, struct shared, size), .fallback = "1KiB", .help = "how large", .example = "\"1MiB\"" },
	{ SL_OPTION("columns", STRINGS, struct shared, columns), .help = "names", .example = "[ \"id\" ]" },
	{ SL_OPTION("records", VALUES, struct shared, records), .help = "records", .example = "( 1, 2 )" },
	{ 0 },
};
static const struct sl_stage stages[] = {
	{ .name = "numbers", .role = SL_SOURCE, .shared_size = sizeof(struct shared), .options = options },
	{ .name = "once", .role = SL_SOURCE, .shared_size = sizeof(struct shared), .options = options, .flags = SL_ONE_PROCESS },
	{ .name = "pass", .role = SL_TRANSFORM, .shared_size = sizeof(struct shared), .options = options },
	{ .name = "split", .role = SL_TRANSFORM, .shared_size = sizeof(struct shared), .options = options, .ports = ports },
	{ .name = "fan", .role = SL_TRANSFORM, .shared_size = sizeof(struct shared), .options = options, .port = column },
	{ .name = "disk", .role = SL_SINK, .shared_size = sizeof(struct shared), .options = options, .target = target },
	{ .name = "null", .role = SL_SINK },
};
/* clang-format on */

static const struct sl_stage *at(unsigned i)
{
	return i < sizeof(stages) / sizeof(stages[0]) ? &stages[i] : NULL;
}

static const struct sl_stage *find(enum sl_role role, const char *name)
{
	for (unsigned i = 0; at(i); i++)
		if (stages[i].role == role && strcmp(stages[i].name, name) == 0)
			return at(i);
	return NULL;
}

static int check(
	const struct sl_stage *stage, const char *name, const void *shared, struct err *err)
{
	if (stage->shared_size > 0 && ((const struct shared *)shared)->count == 13)
		return err_set(err, -EINVAL, "`count` of %s brings bad luck: write another", name);
	return 0;
}

static const struct load_stages test_stages = { .find = find, .at = at, .check = check };

/* --- a folder of its own, and what was said ----------------------------------------------------------- */

struct place {
	char folder[64];
	char said[8192]; /* every problem, a line each */
};

static int enter(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/sluice-load-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	assert_int_equal(chdir(place->folder), 0);
	*state = place;
	return 0;
}

static int leave(void **state)
{
	struct place *place = *state;
	char command[128];
	int r;

	(void)snprintf(command, sizeof(command), "rm -rf %s", place->folder);
	r = chdir("/");
	r |= system(command);
	free(place);
	return r;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void say(void *user, bool is_error, const char *file, unsigned line, const char *text)
{
	struct place *place = user;
	size_t used = strlen(place->said);

	(void)snprintf(place->said + used, sizeof(place->said) - used, "%s:%u: %s%s\n", file, line,
		is_error ? "" : "warning: ", text);
}

static struct graph *load_good(struct place *place, const char *path)
{
	struct graph *graph = NULL;

	place->said[0] = '\0';
	(void)load_config(path, NULL, NULL, &test_stages, say, place, &graph);
	assert_string_equal(place->said, "");
	assert_non_null(graph);
	return graph;
}

/* Loads what must be refused, for exactly these reasons. */
static void load_bad(
	struct place *place, const char *path, const char *runtime, const char *expected)
{
	struct graph *graph = NULL;

	place->said[0] = '\0';
	assert_true(load_config(path, NULL, runtime, &test_stages, say, place, &graph) < 0);
	assert_string_equal(place->said, expected);
	assert_null(graph);
}

static struct sl_value option(const struct graph_stage *stage, const char *name)
{
	return sl_find(stage->options, name, strlen(name));
}

static void assert_option_text(
	const struct graph_stage *stage, const char *name, const char *expected)
{
	const char *text = "";
	size_t size = 0;

	assert_true(sl_get_str(option(stage, name), &text, &size));
	assert_int_equal(size, strlen(expected));
	assert_memory_equal(text, expected, size);
}

#define SINK "  save = { sink = \"null\"; from = \"read\"; };\n"

/* --- what is right ------------------------------------------------------------------------------------ */

static void a_config_becomes_a_graph(void **state)
{
	struct graph *graph;
	int64_t size = 0;

	write_file("orders.conf",
		"// Stages may stand in any order.\n"
		"stages = {\n"
		"  save = { sink = \"disk\"; from = [ \"work.good\", \"more\" ]; path = "
		"\"out.csv\"; };\n"
		"  junk = { sink = \"null\"; from = \"work.bad\"; processes = 2; order = \"any\"; "
		"};\n"
		"  work = { transform = \"split\"; from = \"read\"; threads = 3; queue = 9; retain "
		"= \"1MiB\";\n"
		"           on_error = \"stop\"; partition = \"id\"; processes = 4; restart = 0;\n"
		"           restart_within = \"2m\"; backoff = \"1s\"; stall_timeout = \"0\";\n"
		"           memory_max = \"10MiB\"; cpu_weight = 200; tasks_max = 100; };\n"
		"  more = { source = \"numbers\"; size = 512; };\n"
		"  read = { source = \"numbers\"; count = 100; size = \"64KiB\"; };\n"
		"};\n");
	graph = load_good(*state, "orders.conf");
	assert_string_equal(graph->name, "orders");
	assert_int_equal(graph->file[0], '/');
	assert_non_null(strstr(graph->file, "/orders.conf"));
	assert_int_equal(graph->stage_count, 5);
	assert_string_equal(graph->stages[0].name, "more");
	assert_string_equal(graph->stages[1].name, "read");
	assert_string_equal(graph->stages[2].name, "work");
	assert_string_equal(graph->stages[3].name, "save");
	assert_string_equal(graph->stages[4].name, "junk");

	const struct graph_stage *work = &graph->stages[2];

	assert_string_equal(work->impl, "split");
	assert_string_equal(work->file, "orders.conf");
	assert_int_equal(work->line, 5);
	assert_true(work->processes == 4 && work->threads == 3 && work->queue == 9 &&
		    work->retain == 1 << 20);
	assert_int_equal(work->order, GRAPH_ORDER_KEEP);
	assert_int_equal(work->on_error, GRAPH_ON_ERROR_STOP);
	assert_string_equal(work->partition[0], "id");
	assert_true(work->restart_max == 0 && work->restart_within_ns == 120 * NSEC_PER_SEC);
	assert_true(work->restart_backoff_ns == NSEC_PER_SEC && work->stall_timeout_ns == 0);
	assert_true(
		work->memory_max == 10 << 20 && work->cpu_weight == 200 && work->tasks_max == 100);
	assert_true(graph->stages[0].memory_max == 0 && graph->stages[0].cpu_weight == 0 &&
		    graph->stages[0].tasks_max == 0);
	assert_int_equal(work->port_count, 2);
	assert_int_equal(work->output_count, 2);
	assert_int_equal(graph->stages[3].input_count, 2);
	assert_int_equal(graph->stages[4].order, GRAPH_ORDER_ANY);
	assert_true(sl_get_int(option(&graph->stages[1], "size"), &size) && size == 65536);
	assert_null(option(&graph->stages[0], "count").data);
	graph_free(graph);
}

static void auto_is_one_process_per_core(void **state)
{
	struct graph *graph;
	cpu_set_t cores;

	write_file("a.conf",
		"stages = { read = { source = \"numbers\"; processes = \"auto\"; };\n" SINK "};\n");
	graph = load_good(*state, "a.conf");
	assert_int_equal(sched_getaffinity(0, sizeof(cores), &cores), 0);
	assert_int_equal(graph->stages[0].processes, CPU_COUNT(&cores));
	graph_free(graph);
}

static void values_of_every_kind_are_records(void **state)
{
	struct graph *graph;
	char text[256];

	write_file("a.conf", "stages = { read = { source = \"numbers\"; records = ( 1, "
			     "-5000000000L, 0x10, 1.5, true, \"a\" \"b\", \"\",\n"
			     "  ( ), { id = 1; tags = [ \"x\", \"y\" ]; deep = { list = ( 1, { } "
			     "); }; } ); };\n" SINK "};\n");
	graph = load_good(*state, "a.conf");
	sl_print(option(&graph->stages[0], "records"), text, sizeof(text));
	assert_string_equal(text, "[1,-5000000000,16,1.5,true,\"ab\",\"\",[],{\"id\":1,\"tags\":["
				  "\"x\",\"y\"],\"deep\":{\"list\":[1,{}]}}]");
	graph_free(graph);
}

static void a_name_can_be_given(void **state)
{
	struct graph *graph;

	write_file("a b.c.conf", "stages = { read = { source = \"numbers\"; };\n" SINK "};\n");
	graph = load_good(*state, "a b.c.conf");
	assert_string_equal(graph->name, "a_b");
	graph_free(graph);
	write_file("a.conf",
		"name = \"night-run\"; stages = { read = { source = \"numbers\"; };\n" SINK "};\n");
	graph = load_good(*state, "a.conf");
	assert_string_equal(graph->name, "night-run");
	graph_free(graph);
}

static void includes_are_found_beside_the_includer(void **state)
{
	struct place *place = *state;
	struct graph *graph;
	char text[256];

	assert_int_equal(mkdir("parts", 0700), 0);
	assert_int_equal(mkdir("parts/more", 0700), 0);
	(void)snprintf(text, sizeof(text),
		"  read = {\n@include \"more/numbers.inc\"\n  };\n@include \"%s/sink.inc\" // "
		"absolute\n",
		place->folder);
	write_file("parts/stages.inc", text);
	write_file("parts/more/numbers.inc",
		"source = \"numbers\"; // no newline at the end, and a comment");
	write_file("sink.inc", SINK);
	write_file("a.conf",
		"stages = {\n/* @include \"nowhere\" */\n  @include \"parts/stages.inc\"\n  last = "
		"{ sink = \"null\"; from = \"read\"; };\n};\n");
	graph = load_good(place, "a.conf");
	assert_string_equal(graph->stages[0].file, "parts/stages.inc");
	assert_int_equal(graph->stages[0].line, 1);
	assert_string_equal(graph->stages[2].name, "last");
	assert_string_equal(graph->stages[2].file, "a.conf");
	assert_int_equal(graph->stages[2].line, 4);
	graph_free(graph);
}

static void strings_are_expanded(void **state)
{
	struct place *place = *state;
	struct graph *graph;

	assert_int_equal(setenv("SLUICE_TEST", "in \"quotes\"; }", 1), 0);
	assert_int_equal(setenv("SLUICE_TEST_EMPTY", "", 1), 0);
	assert_int_equal(setenv("SLUICE_TEST_COUNT", "42", 1), 0);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", place->folder, 1), 0);
	write_file("secret", "s3cret\n");
	write_file("a.conf",
		"stages = { read = { source = \"numbers\"; count = \"${SLUICE_TEST_COUNT}\";\n"
		"  path = "
		"\"<${SLUICE_TEST}|${SLUICE_TEST_EMPTY:-d}|${SLUICE_TEST_EMPTY}|$${x}|$5|{y}|${"
		"credential:secret}>\"; };\n" SINK "};\n");
	graph = load_good(place, "a.conf");
	assert_option_text(&graph->stages[0], "path", "<in \"quotes\"; }|d||${x}|$5|{y}|s3cret>");
	graph_free(graph);
	/* No message shows a secret. */
	write_file("b.conf", "stages = { read = { source = \"numbers\"; size = "
			     "\"${credential:secret}\"; };\n" SINK "};\n");
	load_bad(place, "b.conf", NULL,
		"b.conf:1: `size` takes a size with its unit (B, KiB, MiB, GiB), not the string "
		"\"${credential:secret}\": write size = \"1MiB\";\n");
	write_file("c.conf", "stages = { read = { source = \"numbers\"; path = "
			     "\"${credential:other}\"; };\n" SINK "};\n");
	place->said[0] = '\0';
	assert_int_equal(
		load_config("c.conf", NULL, NULL, &test_stages, say, place, &graph), -EINVAL);
	assert_non_null(strstr(place->said, "cannot read `${credential:other}` from "));
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

/* --- what is wrong ------------------------------------------------------------------------------------ */

static void a_file_that_is_none_is_refused(void **state)
{
	FILE *file;

	load_bad(*state, "no.conf", NULL,
		"no.conf:0: cannot read the config: there is no such file\n");
	load_bad(*state, "/tmp", NULL,
		"/tmp:0: cannot read the config: it is a folder; write the path of a config "
		"file\n");
	file = fopen("large.conf", "w");
	assert_non_null(file);
	for (int i = 0; i < 100000; i++)
		(void)fprintf(file,
			"// line %d of a file that somebody must have mistaken for a config\n", i);
	assert_int_equal(fclose(file), 0);
	load_bad(*state, "large.conf", NULL,
		"large.conf:0: cannot read the config: it is larger than 4 MiB, which no config "
		"is\n");
	file = fopen("zero.conf", "w");
	assert_non_null(file);
	assert_int_equal(fwrite("a = 1;\n\0b = 2;\n", 1, 15, file), 15);
	assert_int_equal(fclose(file), 0);
	load_bad(*state, "zero.conf", NULL,
		"zero.conf:0: zero.conf is no text: there is a zero byte in line 2\n");
}

static void includes_end_somewhere(void **state)
{
	char name[32], text[64];

	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "%d.inc", i);
		(void)snprintf(text, sizeof(text), "\n@include \"%d.inc\"\n", i + 1);
		write_file(name, text);
	}
	load_bad(*state, "0.inc", NULL,
		"10.inc:2: cannot include 11.inc: ten includes inside each other are the most\n");
	write_file("a.inc", "@include \"b.inc\"\n");
	write_file("b.inc", "\n@include \"a.inc\"\n");
	load_bad(*state, "a.inc", NULL,
		"b.inc:2: cannot include a.inc: it includes this file itself\n");
}

static void an_output_must_be_named_where_there_are_several(void **state)
{
	write_file("a.conf",
		"stages = {\n"
		"  read = { source = \"numbers\"; };\n"
		"  work = { transform = \"split\"; from = \"read.out\"; };\n"
		"  some = { sink = \"null\"; from = \"work\"; };\n"
		"  more = { sink = \"null\"; from = \"work.ugly\"; };\n"
		"  half = { transform = \"split\"; from = \"read\"; };\n"
		"  last = { sink = \"null\"; from = [ \"half.good\", \"half.good\" ]; };\n"
		"};\n");
	load_bad(*state, "a.conf", NULL,
		"a.conf:4: `work` has several outputs: write from = \"work.good\" or "
		"\"work.bad\";\n"
		"a.conf:5: `work` has no output `ugly`: write from = \"work.good\" or "
		"\"work.bad\";\n"
		"a.conf:6: nothing takes from `half.bad`: add a sink with from = \"half.bad\"; "
		"(the sink \"null\" drops records)\n"
		"a.conf:7: `last` takes from `half.good` twice: remove one\n");
}

static void options_name_outputs(void **state)
{
	struct graph *graph;

	write_file("fan.conf", "stages = {\n"
			       "  read = { source = \"numbers\"; };\n"
			       "  work = { transform = \"fan\"; from = \"read\"; columns = [ "
			       "\"red\", \"blue-1\" ]; };\n"
			       "  one = { sink = \"null\"; from = \"work.blue-1\"; };\n"
			       "  two = { sink = \"null\"; from = \"work.red\"; };\n"
			       "};\n");
	graph = load_good(*state, "fan.conf");
	assert_int_equal(graph->stages[1].port_count, 2);
	assert_string_equal(graph->stages[1].ports[0], "red");
	assert_string_equal(graph->stages[1].ports[1], "blue-1");
	assert_int_equal(graph->links[1].port, 1);
	assert_int_equal(graph->links[2].port, 0);
	graph_free(graph);
}

static void outputs_that_options_name_are_checked(void **state)
{
	write_file("fan.conf",
		"stages = {\n"
		"  read = { source = \"numbers\"; };\n"
		"  work = { transform = \"fan\"; from = \"read\"; columns = [ \"large\", \"small\" "
		"]; };\n"
		"  none = { transform = \"fan\"; from = \"read\"; };\n"
		"  twin = { transform = \"fan\"; from = \"read\"; columns = [ \"a\", \"a\" ]; };\n"
		"  slip = { transform = \"fan\"; from = \"read\"; columns = [ \"a\", \"../b\" ]; "
		"};\n"
		"  luck = { transform = \"fan\"; from = \"read\"; columns = \"a\"; count = 13; };\n"
		"  sink = { sink = \"null\"; from = [ \"work.lrage\", \"work.huge\", \"none.a\", "
		"\"twin.b\", \"luck.b\" ]; };\n"
		"};\n");
	load_bad(*state, "fan.conf", NULL,
		"fan.conf:4: `none` has no outputs\n"
		"fan.conf:5: `twin` has two outputs `a`: write another name for one\n"
		"fan.conf:6: `../b` cannot name an output: write a lower-case letter first, then "
		"lower-case letters, digits, `-` and `_`, 32 at most\n"
		"fan.conf:7: `count` of luck brings bad luck: write another\n"
		"fan.conf:8: `work` has no output `lrage`: write from = \"work.large\";\n"
		"fan.conf:8: `work` has no output `huge`: write from = \"work.large\" or "
		"\"work.small\";\n");
}

static void two_ways_to_write_one_path_are_one_file(void **state)
{
	assert_int_equal(mkdir("data", 0700), 0);
	assert_int_equal(symlink("data", "link"), 0);
	write_file("a.conf",
		"stages = {\n"
		"  read = { source = \"numbers\"; };\n"
		"  a = { sink = \"disk\"; from = \"read\"; path = \"data/out.csv\"; };\n"
		"  b = { sink = \"disk\"; from = \"read\"; path = \"link/../data//out.csv\"; };\n"
		"  c = { sink = \"disk\"; from = \"read\"; path = \"data/other.csv\"; };\n"
		"  d = { sink = \"disk\"; from = \"read\"; path = \"/dev/null\"; };\n"
		"  e = { sink = \"disk\"; from = \"read\"; path = \"/dev/null\"; };\n"
		"};\n");
	load_bad(*state, "a.conf", NULL,
		"a.conf:4: `a` and `b` write one file, link/../data//out.csv: give each its own\n");
}

static void a_stage_has_its_own_say(void **state)
{
	write_file("a.conf", "stages = {\n"
			     "  read = {\n"
			     "    source = \"once\";\n"
			     "    count = 13;\n"
			     "  };\n" SINK "};\n");
	load_bad(*state, "a.conf", NULL,
		"a.conf:4: `count` of read brings bad luck: write another\n");
}

static void a_socket_needs_a_short_path(void **state)
{
	struct place *place = *state;
	struct graph *graph = NULL;
	char runtime[100];

	write_file("a.conf", "stages = {\n  read = { source = \"numbers\"; };\n" SINK "};\n");
	memset(runtime, 'r', sizeof(runtime));
	runtime[0] = '/';
	/* RUNTIME/read.out.0 is 107 bytes: just right. */
	runtime[96] = '\0';
	assert_int_equal(load_config("a.conf", NULL, runtime, &test_stages, say, place, &graph), 0);
	assert_string_equal(place->said, "");
	graph_free(graph);
	graph = NULL;
	runtime[96] = 'r';
	runtime[97] = '\0';
	assert_int_equal(
		load_config("a.conf", NULL, runtime, &test_stages, say, place, &graph), -EINVAL);
	assert_non_null(strstr(place->said, "has 108 bytes in its path, and 107 are the most: give "
					    "a shorter folder with --runtime"));
}

static void every_mistake_is_reported_in_the_order_of_the_text(void **state)
{
	write_file("part.inc", "  work = { transform = \"pass\"; from = \"raed\"; cuont = 1; };\n");
	write_file("a.conf",
		"stages = {\n"
		"  read = { source = \"numbrs\"; };\n"
		"@include \"part.inc\"\n"
		"  save = { sink = \"null\"; from = \"work\"; threads = 4294967296; };\n"
		"};\n");
	load_bad(*state, "a.conf", NULL,
		"a.conf:2: there is no source `numbrs`: write source = \"numbers\"; (`sluice list` "
		"shows all)\n"
		"part.inc:1: the transform `pass` has no option `cuont`: write `count`\n"
		"part.inc:1: there is no stage `raed`: write from = \"read\";\n"
		"a.conf:4: 4294967296 does not fit into 32 bits and would be read as 0: write "
		"4294967296L\n");
}

static void integers_in_strings_and_comments_are_left_alone(void **state)
{
	struct graph *graph;

	write_file("a.conf", "// 99999999999999999999 and 4294967296\n"
			     "# 4294967296 /* \" */\n"
			     "stages = { /* 4294967296 \" */\n"
			     "  read = { source = \"numbers\"; path = \"4294967296 \\\" 4294967296 "
			     "// \"; records = ( 4294967296L, 0xFFFFFFFFL,\n"
			     "    2147483647, -2147483648, 0x7FFFFFFF, 4294967296.0, "
			     "9223372036854775807L ); };\n" SINK "};\n");
	graph = load_good(*state, "a.conf");
	graph_free(graph);
}

static void deep_nesting_ends_with_a_message(void **state)
{
	char text[512] = "stages = { read = { source = \"numbers\"; records = ";
	struct place *place = *state;
	struct graph *graph;

	for (int i = 0; i < 60; i++)
		strcat(text, "(");
	for (int i = 0; i < 60; i++)
		strcat(text, ")");
	strcat(text, "; };\n" SINK "};\n");
	write_file("a.conf", text);
	assert_int_equal(
		load_config("a.conf", NULL, NULL, &test_stages, say, place, &graph), -EINVAL);
	assert_non_null(strstr(place->said, "more than 32 deep"));
}

static void a_report_ends_with_the_number_of_errors(void **state)
{
	FILE *problems = tmpfile();
	char text[256] = "";
	int fd = open("graph", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	(void)state;
	assert_non_null(problems);
	assert_true(fd >= 0);
	write_file("a.conf", "stages = {\n  read = { source = \"numbers\"; };\n  save = { sink = "
			     "\"null\"; form = \"read\"; };\n};\n");
	assert_int_equal(report_check("a.conf", NULL, NULL, &test_stages, problems, fd), 78);
	rewind(problems);
	assert_true(fread(text, 1, sizeof(text) - 1, problems) > 0);
	assert_string_equal(text, "a.conf:3: the sink `null` has no option `form`: write `from`\n"
				  "1 error\n");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	write_file("a.conf", "stages = {\n  read = { source = \"numbers\"; };\n" SINK "};\n");
	assert_int_equal(report_check("a.conf", NULL, NULL, &test_stages, problems, fd), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size > 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(fclose(problems), 0);
}

static void the_name_needs_nothing_else_to_be_right(void **state)
{
	char name[64] = "";

	write_file("or ders.v2.conf", "stages = { read = { source = \"nonsense\"; path = "
				      "\"${NOWHERE_SET}\"; }; };\n");
	assert_int_equal(load_name("or ders.v2.conf", NULL, say, *state, name, sizeof(name)), 0);
	assert_string_equal(name, "or_ders");
	write_file("a.conf", "name = \"shop\";\n");
	assert_int_equal(load_name("a.conf", NULL, say, *state, name, sizeof(name)), 0);
	assert_string_equal(name, "shop");
	write_file("a.conf", "name = \"../shop\";\n");
	assert_int_equal(load_name("a.conf", NULL, say, *state, name, sizeof(name)), -EINVAL);
	write_file("a.conf", "name = \n");
	assert_int_equal(load_name("a.conf", NULL, say, *state, name, sizeof(name)), -EINVAL);
	assert_true(load_name("nowhere.conf", NULL, say, *state, name, sizeof(name)) < 0);
	assert_string_equal(name, "shop");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(a_config_becomes_a_graph),
		IN_FOLDER(auto_is_one_process_per_core),
		IN_FOLDER(values_of_every_kind_are_records),
		IN_FOLDER(a_name_can_be_given),
		IN_FOLDER(includes_are_found_beside_the_includer),
		IN_FOLDER(strings_are_expanded),
		IN_FOLDER(a_file_that_is_none_is_refused),
		IN_FOLDER(includes_end_somewhere),
		IN_FOLDER(an_output_must_be_named_where_there_are_several),
		IN_FOLDER(options_name_outputs),
		IN_FOLDER(outputs_that_options_name_are_checked),
		IN_FOLDER(two_ways_to_write_one_path_are_one_file),
		IN_FOLDER(a_stage_has_its_own_say),
		IN_FOLDER(a_socket_needs_a_short_path),
		IN_FOLDER(every_mistake_is_reported_in_the_order_of_the_text),
		IN_FOLDER(integers_in_strings_and_comments_are_left_alone),
		IN_FOLDER(deep_nesting_ends_with_a_message),
		IN_FOLDER(a_report_ends_with_the_number_of_errors),
		IN_FOLDER(the_name_needs_nothing_else_to_be_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
