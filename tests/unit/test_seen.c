/* SPDX-License-Identifier: MIT */
/* The keys that `dedupe` remembers, against a plain list; and the times that records say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../stages/aggregate/moment.h"
#include "../../stages/dedupe/seen.h"

#define KEYS 4000
#define STEPS 60000

/* Few places in the table, and few upper halves: they collide. */
static struct seen_key key_of(unsigned n)
{
	return (struct seen_key){ n % 37 * 64, (uint64_t)(n % 3) << 40 | n, n };
}

static void finds_what_was_not_forgotten(void **state)
{
	struct seen seen = { 0 };
	bool is_there[KEYS] = { false };
	unsigned count = 0;

	(void)state;
	srandom(1);
	for (int step = 0; step < STEPS; step++) {
		unsigned n = (unsigned)random() % KEYS;
		struct seen_key key = key_of(n);

		assert_int_equal(seen_has(&seen, &key), is_there[n]);
		if (!is_there[n]) {
			assert_int_equal(seen_add(&seen, &key), 0);
			is_there[n] = true;
			count++;
		}
		while (count > (step < STEPS / 2 ? KEYS / 2 : 100)) {
			is_there[seen_oldest(&seen)->when] = false;
			seen_forget(&seen);
			count--;
		}
		assert_int_equal(seen.end - seen.first, count);
	}
	for (unsigned n = 0; n < KEYS; n++) {
		struct seen_key key = key_of(n);

		assert_int_equal(seen_has(&seen, &key), is_there[n]);
	}
	seen_fini(&seen);
}

static void forgets_all(void **state)
{
	struct seen seen = { .first = 1000, .end = 1000 };
	struct seen_key key = key_of(5);

	(void)state;
	assert_false(seen_has(&seen, &key));
	assert_null(seen_oldest(&seen));
	assert_int_equal(seen_add(&seen, &key), 0);
	assert_ptr_equal(seen_at(&seen, 1000), seen_oldest(&seen));
	seen_forget(&seen);
	assert_false(seen_has(&seen, &key));
	assert_null(seen_oldest(&seen));
	seen_fini(&seen);
}

/* --- times -------------------------------------------------------------------------------------- */

static bool read_text(const char *text, int64_t *ret)
{
	struct sl_writer w;
	bool is_right;

	sl_writer_init(&w);
	sl_put_cstr(&w, text);
	is_right = moment_read((struct sl_value){ w.data, w.size }, MOMENT_AUTO, ret);
	sl_writer_fini(&w);
	return is_right;
}

static void reads_and_prints(void **state)
{
	/* clang-format off */
	static const struct { const char *text; int64_t moment; const char *printed; } cases[] = {
		{ "1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z" },
		{ "2026-03-01t12:00:00.5z", 1772366400500000, "2026-03-01T12:00:00.5Z" },
		{ "2026-03-01 13:30:00,000001+01:30", 1772366400000001, "2026-03-01T12:00:00.000001Z" },
		{ "1969-12-31T23:59:59.999Z", -1000, "1969-12-31T23:59:59.999Z" },
		{ "2000-02-29T23:59:60Z", 951868800000000, "2000-03-01T00:00:00Z" },
		{ "0001-01-01T00:00:00Z", -62135596800000000, "0001-01-01T00:00:00Z" },
		{ "9999-12-31T23:59:59Z", 253402300799000000, "9999-12-31T23:59:59Z" },
	};
	/* clang-format on */
	char text[MOMENT_TEXT];
	int64_t moment = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(read_text(cases[i].text, &moment));
		assert_int_equal(moment, cases[i].moment);
		assert_string_equal(moment_print(moment, text), cases[i].printed);
	}
}

static void refuses_what_is_no_time(void **state)
{
	static const char *const cases[] = { "", "2026", "2026-03-01", "2026-03-01T12:00:00",
		"2026-13-01T12:00:00Z", "2026-03-01T24:00:00Z", "2026-03-01T12:00:00.Z",
		"2026-03-01T12:00:00Z ", "26-03-01T12:00:00Z", "2026-03-01T12:00:00+0100" };
	int64_t moment = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_false(read_text(cases[i], &moment));
	assert_int_equal(moment, 7);
}

static void reads_numbers(void **state)
{
	/* clang-format off */
	static const struct { double number; enum moment_unit unit; int64_t moment; } cases[] = {
		{ 1.5, MOMENT_AUTO, 1500000 }, { -0.25, MOMENT_SECONDS, -250000 },
		{ 1772366400, MOMENT_AUTO, 1772366400000000 }, { 1772366400123, MOMENT_AUTO, 1772366400123000 },
		{ 5, MOMENT_MILLISECONDS, 5000 }, { 1e11, MOMENT_SECONDS, 100000000000000000 },
	};
	/* clang-format on */
	struct sl_writer w;
	int64_t moment;

	(void)state;
	sl_writer_init(&w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sl_writer_reset(&w);
		sl_put_double(&w, cases[i].number);
		assert_true(
			moment_read((struct sl_value){ w.data, w.size }, cases[i].unit, &moment));
		assert_int_equal(moment, cases[i].moment);
	}
	sl_writer_reset(&w);
	sl_put_double(&w, 1e300);
	assert_false(moment_read((struct sl_value){ w.data, w.size }, MOMENT_AUTO, &moment));
	sl_writer_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_not_forgotten),
		cmocka_unit_test(forgets_all),
		cmocka_unit_test(reads_and_prints),
		cmocka_unit_test(refuses_what_is_no_time),
		cmocka_unit_test(reads_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
