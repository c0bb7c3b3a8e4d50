/* SPDX-License-Identifier: MIT */
/* Numbers with units: what a user writes, and what a user reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"

static void sizes_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0 },
		{ "512", 512 },
		{ "512B", 512 },
		{ "64KiB", 65536 },
		{ "64 KiB", 65536 },
		{ "64K", 65536 },
		{ "64k", 65536 },
		{ "64KB", 64000 },
		{ "1.5MiB", 1572864 },
		{ "2GB", 2000000000 },
		{ "4GiB", UINT64_C(4294967296) },
		{ "1TiB", UINT64_C(1) << 40 },
		{ "0.5K", 512 },
		{ "18446744073709551615", UINT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 77;

		assert_int_equal(units_parse_size(cases[i].text, &bytes), 0);
		assert_true(bytes == cases[i].bytes);
	}
}

static void wrong_sizes_are_refused(void **state)
{
	static const char *const wrong[] = { "", "K", "-1", "+1", "1.", ".5K", "1.2.3", "1KiBs",
		"64 megabytes", "0x10", "1e3", " 1" };
	uint64_t bytes = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(units_parse_size(wrong[i], &bytes), -EINVAL);
	assert_int_equal(units_parse_size("18446744073709551616", &bytes), -ERANGE);
	assert_int_equal(units_parse_size("99999999TiB", &bytes), -ERANGE);
	assert_int_equal(units_parse_size("99999999999999999999999999", &bytes), -ERANGE);
	assert_true(bytes == 77);
}

static void durations_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{ "0", 0 },
		{ "0s", 0 },
		{ "7ns", 7 },
		{ "10us", 10000 },
		{ "200ms", 200 * NSEC_PER_MSEC },
		{ "5s", 5 * NSEC_PER_SEC },
		{ "5 s", 5 * NSEC_PER_SEC },
		{ "1.5m", 90 * NSEC_PER_SEC },
		{ "2min", 120 * NSEC_PER_SEC },
		{ "2h", 7200 * NSEC_PER_SEC },
		{ "1d", 86400 * NSEC_PER_SEC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t ns = 77;

		assert_int_equal(units_parse_duration(cases[i].text, &ns), 0);
		assert_true(ns == cases[i].ns);
	}
}

static void a_duration_needs_its_unit(void **state)
{
	static const char *const wrong[] = { "5", "", "s", "-5s", "5x", "5 minutes", "1h30m", "0.0",
		"00" };
	int64_t ns = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(units_parse_duration(wrong[i], &ns), -EINVAL);
	assert_int_equal(units_parse_duration("200000d", &ns), -ERANGE);
	assert_int_equal(ns, 77);
}

static void quantities_are_printed(void **state)
{
	char text[32];

	(void)state;
	assert_string_equal(units_print_size(0, text, sizeof(text)), "0 B");
	assert_string_equal(units_print_size(1023, text, sizeof(text)), "1023 B");
	assert_string_equal(units_print_size(1536, text, sizeof(text)), "1.5 KiB");
	assert_string_equal(units_print_size(64 << 20, text, sizeof(text)), "64 MiB");
	/* Rounded up it is a MiB, and says so. */
	assert_string_equal(units_print_size((1 << 20) - 1, text, sizeof(text)), "1 MiB");
	assert_string_equal(units_print_size(UINT64_MAX, text, sizeof(text)), "16 EiB");

	assert_string_equal(units_print_duration(0, text, sizeof(text)), "0 s");
	assert_string_equal(units_print_duration(850, text, sizeof(text)), "850 ns");
	assert_string_equal(units_print_duration(1500, text, sizeof(text)), "1.5 us");
	assert_string_equal(
		units_print_duration(200 * NSEC_PER_MSEC, text, sizeof(text)), "200 ms");
	assert_string_equal(
		units_print_duration(12345 * NSEC_PER_MSEC, text, sizeof(text)), "12.3 s");
	assert_string_equal(
		units_print_duration(59999 * NSEC_PER_MSEC, text, sizeof(text)), "1 min");
	assert_string_equal(
		units_print_duration(125 * NSEC_PER_SEC, text, sizeof(text)), "2 min 5 s");
	assert_string_equal(
		units_print_duration(3720 * NSEC_PER_SEC, text, sizeof(text)), "1 h 2 min");
	assert_string_equal(
		units_print_duration(50 * 3600 * NSEC_PER_SEC, text, sizeof(text)), "2 d 2 h");

	assert_string_equal(units_print_count(0, text, sizeof(text)), "0");
	assert_string_equal(units_print_count(999, text, sizeof(text)), "999");
	assert_string_equal(units_print_count(1234567, text, sizeof(text)), "1 234 567");
	assert_string_equal(
		units_print_count(UINT64_MAX, text, sizeof(text)), "18 446 744 073 709 551 615");
}

static void a_short_buffer_is_never_overrun(void **state)
{
	char text[8];

	(void)state;
	for (size_t size = 1; size <= sizeof(text); size++) {
		memset(text, 'x', sizeof(text));
		(void)units_print_count(1234567890, text, size);
		assert_non_null(memchr(text, '\0', size));
		(void)units_print_size(123456789, text, size);
		assert_non_null(memchr(text, '\0', size));
		(void)units_print_duration(123456789, text, size);
		assert_non_null(memchr(text, '\0', size));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(wrong_sizes_are_refused),
		cmocka_unit_test(durations_are_read),
		cmocka_unit_test(a_duration_needs_its_unit),
		cmocka_unit_test(quantities_are_printed),
		cmocka_unit_test(a_short_buffer_is_never_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
