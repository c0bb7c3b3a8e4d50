/* SPDX-License-Identifier: MIT */
/* What is read of cgroups, and what is said and done where there are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/resource.h>

#include "supervisor/group.h"
#include "supervisor/limits.h"

#define MIB (UINT64_C(1) << 20)

static void own_group_of_the_unified_tree(void **state)
{
	char path[64];

	(void)state;
	assert_true(groups_parse_own("0::/system.slice/a.service\n", path, sizeof(path)));
	assert_string_equal(path, "/system.slice/a.service");
	assert_true(groups_parse_own("9:name=systemd:/x\n4:memory:/y\n0::/\n", path, sizeof(path)));
	assert_string_equal(path, "/");
	assert_true(groups_parse_own("0::/last", path, sizeof(path)));
	assert_string_equal(path, "/last");
}

static void no_group_of_the_unified_tree(void **state)
{
	char path[8] = "as was";

	(void)state;
	assert_false(groups_parse_own("", path, sizeof(path)));
	assert_false(groups_parse_own("4:memory:/y\n10::/z\n", path, sizeof(path)));
	assert_false(groups_parse_own("0::", path, sizeof(path)));
	assert_false(groups_parse_own("0::/1234567\n", path, sizeof(path)));
	assert_string_equal(path, "as was");
	assert_true(groups_parse_own("0::/123456\n", path, sizeof(path)));
}

/* All others in a tree are not ours to remove. */
static void names_of_instances(void **state)
{
	(void)state;
	assert_true(groups_is_instance("vat.0"));
	assert_true(groups_is_instance("save~in.12"));
	assert_true(groups_is_instance("a.b.3"));
	assert_false(groups_is_instance("supervisor"));
	assert_false(groups_is_instance(".control"));
	assert_false(groups_is_instance("."));
	assert_false(groups_is_instance(".."));
	assert_false(groups_is_instance(".0"));
	assert_false(groups_is_instance("vat."));
	assert_false(groups_is_instance("shell.scope"));
	assert_false(groups_is_instance("vat.1a"));
}

static void counts(void **state)
{
	static const char text[] = "low 0\nhigh 3\nmax 17\noom 2\noom_kill 1\noom_group_kill 9\n";

	(void)state;
	assert_int_equal(group_parse_count(text, "oom"), 2);
	assert_int_equal(group_parse_count(text, "oom_kill"), 1);
	assert_int_equal(group_parse_count(text, "low"), 0);
	assert_int_equal(group_parse_count(text, "oom_group_kill"), 9);
	assert_int_equal(group_parse_count(text, "kill"), 0);
	assert_int_equal(group_parse_count("", "oom"), 0);
	assert_int_equal(group_parse_count("oom 18446744073709551615", "oom"), UINT64_MAX);
}

static void numbers(void **state)
{
	(void)state;
	assert_int_equal(group_parse_number("1048576\n"), MIB);
	assert_int_equal(group_parse_number("0\n"), 0);
	assert_int_equal(group_parse_number("max\n"), UINT64_MAX);
	assert_int_equal(group_parse_number(""), UINT64_MAX);
}

static struct graph_stage stages[] = {
	{ .name = "a", .threads = 1 },
	{ .name = "b",
		.threads = 2,
		.coroutines = 10,
		.stack_size = 65536,
		.memory_max = 100 * MIB },
	{ .name = "c", .threads = 1, .tasks_max = 20 },
};
static const struct graph graph = { .stages = stages, .stage_count = 3 };

static void what_is_held_is_not_said(void **state)
{
	const struct groups groups = { .has_memory = true, .has_tasks = true };
	const struct groups none = { .root = -1, .why = "none" };
	const struct graph first = { .stages = stages, .stage_count = 1 };
	char text[1024];

	(void)state;
	assert_false(limits_explain(&groups, &graph, text, sizeof(text)));
	assert_false(limits_explain(&none, &first, text, sizeof(text)));
	assert_false(limits_want_cpu(&graph));
}

static void what_is_not_held_is_said(void **state)
{
	const struct groups none = { .root = -1, .why = "there are no cgroups v2 here" };
	const struct groups tasks = { .has_tasks = true, .why = "no memory" };
	char text[1024];

	(void)state;
	assert_true(limits_explain(&none, &graph, text, sizeof(text)));
	assert_memory_equal(text, "there are no cgroups v2 here, so memory_max is held by", 54);
	assert_non_null(strstr(text, "; tasks_max is not held"));
	assert_null(strstr(text, "cpu_weight"));
	assert_true(limits_explain(&tasks, &graph, text, sizeof(text)));
	assert_null(strstr(text, "tasks_max"));
	stages[0].cpu_weight = 7;
	assert_true(limits_want_cpu(&graph));
	assert_true(limits_explain(&none, &graph, text, sizeof(text)));
	assert_non_null(strstr(text, "; cpu_weight is not held, nor is tasks_max"));
	stages[0].cpu_weight = 0;
}

/* Room for the stacks, which are reserved: two workers, eight others, ten coroutines each. */
static void a_limit_of_each_process(void **state)
{
	const struct groups none = { .root = -1 };
	const struct groups groups = { .has_memory = true };
	struct rlimit old, small = { .rlim_cur = MIB, .rlim_max = RLIM_INFINITY };

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_STACK, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_STACK, &small), 0);
	assert_int_equal(limits_data(&none, &stages[1]), 100 * MIB + 10 * MIB + 20 * 65536);
	assert_int_equal(limits_data(&none, &stages[0]), 0);
	assert_int_equal(limits_data(&groups, &stages[1]), 0);
	assert_int_equal(setrlimit(RLIMIT_STACK, &old), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_group_of_the_unified_tree),
		cmocka_unit_test(no_group_of_the_unified_tree),
		cmocka_unit_test(names_of_instances),
		cmocka_unit_test(counts),
		cmocka_unit_test(numbers),
		cmocka_unit_test(what_is_held_is_not_said),
		cmocka_unit_test(what_is_not_held_is_said),
		cmocka_unit_test(a_limit_of_each_process),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
