/* SPDX-License-Identifier: MIT */
/* What a module's table may not be: each mistake alone, in a table that is good otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "engine/vet.h"

struct shared {
	const char *text;
	int64_t count;
	int choice;
	char c;
	bool flag;
	struct sl_strings list;
};

static int produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	(void)ctx, (void)shared, (void)worker, (void)cut;
	return SL_END;
}

static int transform(struct sl_context *ctx, void *shared, void *worker, struct sl_value record,
	struct sl_writer *const *out)
{
	(void)ctx, (void)shared, (void)worker, (void)record, (void)out;
	return 0;
}

static int64_t transform_batch(struct sl_context *ctx, void *shared, void *worker,
	const struct sl_batch *in, struct sl_writer *const *out)
{
	(void)ctx, (void)shared, (void)worker, (void)in, (void)out;
	return 0;
}

static int64_t take(struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	(void)ctx, (void)shared, (void)worker, (void)in;
	return 0;
}

static const char *const choices[] = { "a", "b", NULL };
static const char *const none[] = { NULL };
static const char *const good_ports[] = { "good", "not-so_good", NULL };

static const char *port(const void *shared, uint32_t i)
{
	(void)shared;
	return i == 0 ? "out" : NULL;
}

static const char *const bad_ports[] = { "good", "Bad", NULL };

#define ROW(name_, type_, field_) SL_OPTION(name_, type_, struct shared, field_)

/* clang-format off */
static const struct sl_option good_options[] = {
	{ ROW("text", STRING, text), .fallback = "x" },
	{ ROW("count", INT, count), .fallback = "3", .min = 1, .max = 9 },
	{ ROW("choice", CHOICE, choice), .fallback = "b", .choices = choices },
	{ ROW("c", CHAR, c), .fallback = ";" },
	{ ROW("flag", BOOL, flag), .required = true },
	{ ROW("list", STRINGS, list) },
	{ 0 },
};

#define COMMON .abi = SL_ABI, .summary = "s", .shared_size = sizeof(struct shared)
#define TRANSFORM COMMON, .name = "x", .role = SL_TRANSFORM, .transform = transform
#define OPTION(...) TRANSFORM, .options = (const struct sl_option[]){ { __VA_ARGS__ }, { 0 } }

static const struct sl_stage good[] = {
	{ COMMON, .name = "source-1", .role = SL_SOURCE, .produce = produce },
	{ TRANSFORM, .options = good_options, .ports = good_ports },
	{ TRANSFORM, .options = good_options, .port = port },
	{ COMMON, .name = "b", .role = SL_TRANSFORM, .transform_batch = transform_batch },
	{ COMMON, .name = "sink_", .role = SL_SINK, .write = take, .options = &good_options[6] },
};

static const struct bad {
	struct sl_stage stage;
	int error;
	const char *text;
} bad[] = {
	{ { .abi = SL_ABI + 1, .name = (const char *)8, .options = (const void *)8 }, -EPROTO, "build it again with its headers" },
	{ { .abi = 0 }, -EPROTO, "built for stage ABI 0" },
	{ { COMMON, .role = SL_SOURCE, .produce = produce }, -EBADMSG, "a stage has no name" },
	{ { COMMON, .name = "", .produce = produce }, -EBADMSG, "a stage has no name" },
	{ { COMMON, .name = "A", .produce = produce }, -EBADMSG, "a stage has no name" },
	{ { COMMON, .name = "x", .role = (enum sl_role)3 }, -EBADMSG, "`x` is no source" },
	{ { .abi = SL_ABI, .name = "x", .produce = produce }, -EINVAL, "its summary is missing" },
	{ { COMMON, .name = "x", .role = SL_SOURCE, .transform = transform }, -EINVAL, "its produce is missing" },
	{ { COMMON, .name = "x", .role = SL_SOURCE, .produce = produce, .flags = SL_NEEDS_NETWORK }, -EINVAL, "SL_CONFINED" },
	{ { COMMON, .name = "x", .role = SL_SOURCE, .produce = produce, .flags = SL_CONFINED | SL_NEEDS_FILES }, -EINVAL, "SL_NEEDS_FILES wants `files`" },
	{ { COMMON, .name = "x", .role = SL_SOURCE, .produce = produce, .flags = SL_TAKES_OVER | SL_ONE_THREAD }, -EINVAL, "SL_TAKES_OVER wants SL_RESUMES" },
	{ { COMMON, .name = "x", .role = SL_TRANSFORM, .produce = produce }, -EINVAL, "its transform is missing" },
	{ { COMMON, .name = "x", .role = SL_SINK, .transform = transform }, -EINVAL, "its write is missing" },
	{ { TRANSFORM, .transform_batch = transform_batch }, -EINVAL, "both set" },
	{ { TRANSFORM, .ports = bad_ports }, -EINVAL, "its port `Bad`" },
	{ { TRANSFORM, .ports = none }, -EINVAL, "its list of ports is empty" },
	{ { TRANSFORM, .ports = good_ports, .port = port }, -EINVAL, "so is its list of ports" },
	{ { COMMON, .name = "x", .role = SL_SINK, .write = take, .port = port }, -EINVAL, "a sink has no output" },
	{ { COMMON, .name = "x", .role = SL_SINK, .write = take, .ports = good_ports }, -EINVAL, "a sink has no output" },
	{ { OPTION(ROW("a b", INT, count)) }, -EINVAL, "`a b` has a name that no config can write" },
	{ { OPTION(ROW("from", INT, count)) }, -EINVAL, "`from` has a name that configs need" },
	{ { OPTION(ROW("sink", INT, count)) }, -EINVAL, "`sink` has a name that configs need" },
	{ { TRANSFORM, .options = (const struct sl_option[]){ { ROW("a", INT, count) }, { ROW("a", BOOL, flag) }, { 0 } } },
	  -EINVAL, "it has two options `a`" },
	{ { OPTION(.name = "a", .type = (enum sl_type)12) }, -EINVAL, "no known type (12)" },
	{ { OPTION(ROW("a", CHOICE, choice)) }, -EINVAL, "a choice without choices" },
	{ { OPTION(ROW("a", CHOICE, choice), .choices = none) }, -EINVAL, "a choice without choices" },
	{ { OPTION(ROW("a", INT, count), .min = 1) }, -EINVAL, "a min above its max" },
	{ { OPTION(ROW("a", INT, count), .required = true, .fallback = "1") }, -EINVAL, "required and has a default" },
	{ { OPTION(.name = "a", .type = SL_TYPE_STRINGS, .offset = sizeof(struct shared) - 8) }, -EINVAL, "lies outside of the shared struct" },
	{ { OPTION(.name = "a", .type = SL_TYPE_BOOL, .offset = SIZE_MAX) }, -EINVAL, "lies outside of the shared struct" },
	{ { OPTION(.name = "a", .type = SL_TYPE_INT, .offset = 4) }, -EINVAL, "no field of that type can lie at offset 4" },
	{ { OPTION(ROW("a", INT, count), .fallback = "three") }, -EINVAL, "a default that is no integer it may have: \"three\"" },
	{ { OPTION(ROW("a", INT, count), .fallback = "10", .max = 9) }, -EINVAL, "a default that is no integer" },
	{ { OPTION(ROW("a", CHOICE, choice), .fallback = "c", .choices = choices) }, -EINVAL, "a default that is no choice" },
};
/* clang-format on */

static void good_tables_pass(void **state)
{
	struct err err = { "" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (vet_stage(&good[i], &err) < 0)
			fail_msg("%s: %s", good[i].name, err.text);
	}
}

static void every_mistake_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = { "" };
		int r = vet_stage(&bad[i].stage, &err);

		if (r != bad[i].error || !strstr(err.text, bad[i].text))
			fail_msg("expected %d %s, found %d %s", bad[i].error, bad[i].text, r,
				err.text);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_tables_pass),
		cmocka_unit_test(every_mistake_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
