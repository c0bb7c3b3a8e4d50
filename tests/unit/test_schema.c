/* SPDX-License-Identifier: MIT */
/* Option tables: every type bound from its resolved form, defaults, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "config/graph.h"
#include "config/schema.h"

struct shared {
	const char *text;
	const char *absent;
	int64_t number;
	double real;
	bool flag;
	uint64_t size;
	int64_t duration;
	int choice;
	char character;
	struct sl_strings strings;
	struct sl_value values;
	struct sl_pairs pairs;
};

static const char *const colours[] = { "red", "green", "blue", NULL };

#define ROW(name_, type_) SL_OPTION(#name_, type_, struct shared, name_)

/* clang-format off */
static const struct sl_option table[] = {
	{ ROW(text, STRING), .required = true },
	{ ROW(absent, STRING) },
	{ ROW(number, INT), .fallback = "-7", .min = -10, .max = 10 },
	{ ROW(real, REAL), .fallback = "0.5" },
	{ ROW(flag, BOOL), .fallback = "true" },
	{ ROW(size, SIZE), .fallback = "64KiB", .min = 1024, .max = INT64_C(1) << 40 },
	{ ROW(duration, DURATION), .fallback = "1.5s" },
	{ ROW(choice, CHOICE), .fallback = "green", .choices = colours },
	{ ROW(character, CHAR), .fallback = "\\t" },
	{ ROW(strings, STRINGS), .fallback = "one" },
	{ ROW(values, VALUES) },
	{ ROW(pairs, PAIRS) },
	{ 0 },
};
/* clang-format on */

struct map {
	struct sl_writer bytes;
	struct sl_value value;
};

static struct sl_writer *map_open(struct map *map, uint32_t count)
{
	sl_writer_init(&map->bytes);
	sl_put_map(&map->bytes, count);
	return &map->bytes;
}

static struct sl_value map_close(struct map *map)
{
	assert_int_equal(sl_record_done(&map->bytes), 0);
	return (struct sl_value){ .data = map->bytes.data, .size = map->bytes.mark };
}

static void defaults_fill_what_is_absent(void **state)
{
	struct map map;
	struct shared shared = { 0 };
	struct schema_bound *bound;
	struct sl_writer *w = map_open(&map, 1);

	(void)state;
	sl_put_cstr(w, "text");
	sl_put_cstr(w, "hello");
	assert_int_equal(schema_bind(table, map_close(&map), &shared, &bound, NULL), 0);
	/* What is bound does not borrow strings from the map. */
	memset(map.bytes.data, 'x', map.bytes.size);
	assert_string_equal(shared.text, "hello");
	assert_null(shared.absent);
	assert_true(shared.number == -7 && shared.real == 0.5 && shared.flag);
	assert_true(shared.size == 65536 && shared.duration == 1500 * NSEC_PER_MSEC);
	assert_int_equal(shared.choice, 1);
	assert_int_equal(shared.character, '\t');
	assert_int_equal(shared.strings.count, 1);
	assert_string_equal(shared.strings.items[0], "one");
	assert_null(shared.values.data);
	assert_int_equal(shared.pairs.count, 0);
	schema_free(bound);
	sl_writer_fini(&map.bytes);
}

static void every_type_is_bound(void **state)
{
	struct map map;
	struct shared shared = { 0 };
	struct schema_bound *bound;
	struct sl_writer *w = map_open(&map, 11);

	(void)state;
	sl_put_cstr(w, "text"), sl_put_cstr(w, "");
	sl_put_cstr(w, "number"), sl_put_int(w, 10);
	sl_put_cstr(w, "real"), sl_put_double(w, 2.25);
	sl_put_cstr(w, "flag"), sl_put_bool(w, false);
	sl_put_cstr(w, "size"), sl_put_uint(w, UINT64_C(1) << 40);
	sl_put_cstr(w, "duration"), sl_put_int(w, 3);
	sl_put_cstr(w, "choice"), sl_put_int(w, 2);
	sl_put_cstr(w, "character"), sl_put_cstr(w, ";");
	sl_put_cstr(w, "strings"), sl_put_array(w, 2), sl_put_cstr(w, "a"), sl_put_cstr(w, "b");
	sl_put_cstr(w, "values"), sl_put_array(w, 1), sl_put_int(w, 5);
	sl_put_cstr(w, "pairs"), sl_put_map(w, 2);
	sl_put_cstr(w, "z"), sl_put_cstr(w, "1"), sl_put_cstr(w, "a"), sl_put_cstr(w, "2");
	assert_int_equal(schema_bind(table, map_close(&map), &shared, &bound, NULL), 0);
	assert_string_equal(shared.text, "");
	assert_true(shared.number == 10 && shared.real == 2.25 && !shared.flag);
	assert_true(shared.size == UINT64_C(1) << 40 && shared.duration == 3);
	assert_int_equal(shared.choice, 2);
	assert_int_equal(shared.character, ';');
	assert_int_equal(shared.strings.count, 2);
	assert_string_equal(shared.strings.items[1], "b");
	assert_int_equal(sl_count(shared.values), 1);
	assert_int_equal(shared.pairs.count, 2);
	assert_string_equal(shared.pairs.names[0], "z");
	assert_string_equal(shared.pairs.values[0], "1");
	assert_string_equal(shared.pairs.names[1], "a");
	schema_free(bound);
	sl_writer_fini(&map.bytes);
}

static void a_required_option_must_be_there(void **state)
{
	struct map map;
	struct shared shared = { 0 };
	struct schema_bound *bound = NULL;
	struct err err = { "" };

	(void)state;
	(void)map_open(&map, 0);
	assert_int_equal(schema_bind(table, map_close(&map), &shared, &bound, &err), -EINVAL);
	assert_string_equal(err.text, "\"text\" is missing");
	assert_null(bound);
	sl_writer_fini(&map.bytes);
}

/* Binds text and one option that a put_ function writes; the answer of schema_bind. */
static int bind_one(const char *name, void (*put)(struct sl_writer *))
{
	struct map map;
	struct shared shared = { 0 };
	struct schema_bound *bound = NULL;
	struct sl_writer *w = map_open(&map, 2);
	int r;

	sl_put_cstr(w, "text"), sl_put_cstr(w, "x");
	sl_put_cstr(w, name), put(w);
	r = schema_bind(table, map_close(&map), &shared, &bound, NULL);
	schema_free(bound);
	sl_writer_fini(&map.bytes);
	return r;
}

static void put_text(struct sl_writer *w)
{
	sl_put_cstr(w, "text");
}

static void put_eleven(struct sl_writer *w)
{
	sl_put_int(w, 11);
}

static void put_negative(struct sl_writer *w)
{
	sl_put_int(w, -1);
}

static void put_huge(struct sl_writer *w)
{
	sl_put_uint(w, UINT64_MAX);
}

static void put_zero_inside(struct sl_writer *w)
{
	sl_put_str(w, "a\0b", 3);
}

static void put_mixture(struct sl_writer *w)
{
	sl_put_array(w, 2);
	sl_put_cstr(w, "a");
	sl_put_int(w, 1);
}

static void put_number_in_pairs(struct sl_writer *w)
{
	sl_put_map(w, 1);
	sl_put_cstr(w, "a");
	sl_put_int(w, 1);
}

static void what_a_row_does_not_allow_is_refused(void **state)
{
	(void)state;
	assert_int_equal(bind_one("number", put_eleven), -EINVAL);
	assert_int_equal(bind_one("number", put_text), -EINVAL);
	assert_int_equal(bind_one("number", put_huge), -EINVAL);
	assert_int_equal(bind_one("real", put_text), -EINVAL);
	assert_int_equal(bind_one("pairs", put_number_in_pairs), -EINVAL);
	assert_int_equal(bind_one("pairs", put_mixture), -EINVAL);
	assert_int_equal(bind_one("flag", put_eleven), -EINVAL);
	assert_int_equal(bind_one("size", put_eleven), -EINVAL);
	assert_int_equal(bind_one("size", put_huge), -EINVAL);
	assert_int_equal(bind_one("duration", put_negative), -EINVAL);
	assert_int_equal(bind_one("choice", put_eleven), -EINVAL);
	assert_int_equal(bind_one("choice", put_negative), -EINVAL);
	assert_int_equal(bind_one("character", put_text), -EINVAL);
	assert_int_equal(bind_one("absent", put_zero_inside), -EINVAL);
	assert_int_equal(bind_one("strings", put_mixture), -EINVAL);
	assert_int_equal(bind_one("strings", put_text), -EINVAL);
	assert_int_equal(bind_one("values", put_text), -EINVAL);
}

static void the_common_defaults_are_right(void **state)
{
	struct schema_values values = { 0 };
	struct schema_bound *bound;

	(void)state;
	assert_int_equal(
		schema_bind(schema_common, (struct sl_value){ 0 }, &values, &bound, NULL), 0);
	assert_true(values.processes == 1 && values.threads == 1 && values.queue == 4);
	assert_true(values.coroutines == 0 && values.stack_size == 64 << 10);
	assert_true(values.rate == 0 && values.timeout == 0 && values.retries == 5);
	assert_true(values.retain == 64 << 20 && values.restart == 5);
	assert_int_equal(values.order, GRAPH_ORDER_KEEP);
	assert_int_equal(values.on_error, GRAPH_ON_ERROR_DEAD_LETTER);
	assert_int_equal(values.partition.count, 0);
	assert_true(values.restart_within == 60 * NSEC_PER_SEC &&
		    values.backoff == 100 * NSEC_PER_MSEC);
	assert_true(values.stall_timeout == 60 * NSEC_PER_SEC);
	schema_free(bound);
}

static void common_rows_fit_their_roles(void **state)
{
	(void)state;
	assert_true(schema_common_fits(schema_find(schema_common, "processes"), SL_SINK));
	assert_false(schema_common_fits(schema_find(schema_common, "queue"), SL_SOURCE));
	assert_false(schema_common_fits(schema_find(schema_common, "retain"), SL_SINK));
	assert_true(schema_common_fits(schema_find(schema_common, "partition"), SL_SINK));
	assert_true(schema_common_fits(schema_find(schema_common, "coroutines"), SL_TRANSFORM));
	assert_true(schema_common_fits(schema_find(schema_common, "memory_max"), SL_SOURCE));
	for (const struct sl_option *option = schema_common; option->name; option++)
		assert_true(option->help && option->example);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_fill_what_is_absent),
		cmocka_unit_test(every_type_is_bound),
		cmocka_unit_test(a_required_option_must_be_there),
		cmocka_unit_test(what_a_row_does_not_allow_is_refused),
		cmocka_unit_test(the_common_defaults_are_right),
		cmocka_unit_test(common_rows_fit_their_roles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
