/* SPDX-License-Identifier: MIT */
/* The types that fields of records have, as people call them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "record/infer.h"

#define RECORDS_MAX 8

struct records {
	struct sl_writer writers[RECORDS_MAX];
	uint32_t count;
	struct infer infer;
};

static struct sl_value put(struct records *records, const char *json)
{
	struct sl_writer *w = &records->writers[records->count++];
	const char *reason;

	sl_writer_init(w);
	assert_int_equal(sl_json_parse(w, json, strlen(json), &reason), 0);
	return (struct sl_value){ w->data, w->size };
}

static void forget(struct records *records)
{
	for (uint32_t i = 0; i < records->count; i++)
		sl_writer_fini(&records->writers[i]);
	infer_fini(&records->infer);
}

/* "a integer, b string?": what is inferred of these records. */
static void says(const char *const *json, const char *expected)
{
	struct records records = { 0 };
	char text[400] = "";

	for (; *json; json++)
		assert_int_equal(infer_add(&records.infer, put(&records, *json)), 0);
	infer_end(&records.infer);
	for (uint32_t i = 0; i < records.infer.count; i++) {
		const struct infer_field *field = &records.infer.fields[i];
		size_t used = strlen(text);

		(void)snprintf(text + used, sizeof(text) - used, "%s%.*s %s%s", i ? ", " : "",
			(int)field->name_size, field->name, infer_name(field->type),
			field->is_optional ? "?" : "");
	}
	assert_string_equal(text, expected);
	forget(&records);
}

#define SAYS(expected, ...) says((const char *const[]){ __VA_ARGS__, NULL }, expected)

static void each_kind_has_a_name(void **state)
{
	(void)state;
	SAYS("a integer, b number, c string, d boolean, e array, f map, g null",
		"{\"a\": 1, \"b\": 1.0, \"c\": \"x\", \"d\": true, \"e\": [], \"f\": {}, \"g\": "
		"null}");
	SAYS("value integer", "1", "18446744073709551615");
}

static void kinds_are_joined(void **state)
{
	(void)state;
	SAYS("a number", "{\"a\": 1}", "{\"a\": 1.5}", "{\"a\": 2}");
	SAYS("a mixed", "{\"a\": 1}", "{\"a\": \"1\"}", "{\"a\": 2}");
	SAYS("a string", "{\"a\": \"2024-02-29\"}", "{\"a\": \"soon\"}");
	SAYS("a mixed", "{\"a\": []}", "{\"a\": {}}");
}

static void a_field_may_be_missing(void **state)
{
	(void)state;
	SAYS("a integer?", "{\"a\": null}", "{\"a\": 1}");
	SAYS("a integer?", "{\"a\": 1}", "{\"a\": null}");
	SAYS("a integer, b string?", "{\"a\": 1}", "{\"a\": 2, \"b\": \"x\"}");
	SAYS("a null", "{\"a\": null}", "{\"a\": null}");
	SAYS("a null?", "{\"a\": null}", "{}");
	SAYS("a string?, value integer?", "{\"a\": \"x\"}", "7");
}

static void timestamps_are_seen(void **state)
{
	static const char *const yes[] = { "2024-02-29", "2024-02-29T12:00", "2024-02-29 12:00:00",
		"2024-02-29T12:00:00Z", "2024-02-29T12:00:00.123456+01:00",
		"2024-02-29T12:00:00-0530", "2024-02-29 12:00:00,5", "2024-02-29t12:00:60z",
		"2024-02-29T12:00+01" };
	static const char *const no[] = { "", "2024", "2024-13-01", "2024-02-32", "2024-2-9",
		"2024-02-29T", "2024-02-29T12", "2024-02-29T12:60",
		"2024-02-29T12:00:", "2024-02-29T12:00:00.", "2024-02-29T12:00:00Zulu",
		"2024-02-29T12:00:00+", "2024-02-29T12:00:00+01:", "12:00:00", "20240229",
		" 2024-02-29" };
	char json[80];

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		(void)snprintf(json, sizeof(json), "\"%s\"", yes[i]);
		SAYS("value timestamp", json);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		(void)snprintf(json, sizeof(json), "\"%s\"", no[i]);
		SAYS("value string", json);
	}
}

static void a_cell_is_found(void **state)
{
	struct records records = { 0 };
	struct sl_value map = put(&records, "{\"value\": 1, \"b\": 2}");
	struct sl_value bare = put(&records, "3");
	int64_t x = 0;

	(void)state;
	assert_int_equal(infer_add(&records.infer, map), 0);
	assert_int_equal(infer_add(&records.infer, bare), 0);
	assert_true(sl_get_int(infer_cell(&records.infer.fields[0], map), &x) && x == 1);
	assert_true(sl_get_int(infer_cell(&records.infer.fields[1], map), &x) && x == 2);
	assert_true(sl_get_int(infer_cell(&records.infer.fields[0], bare), &x) && x == 3);
	assert_null(infer_cell(&records.infer.fields[1], bare).data);
	forget(&records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_has_a_name),
		cmocka_unit_test(kinds_are_joined),
		cmocka_unit_test(a_field_may_be_missing),
		cmocka_unit_test(timestamps_are_seen),
		cmocka_unit_test(a_cell_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
