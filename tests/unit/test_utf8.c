/* SPDX-License-Identifier: MIT */
/* Text that was cut anywhere, or is of another encoding, is UTF-8 afterwards, and what was is as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static void expect(const char *text, const char *mended)
{
	char copy[64];

	(void)snprintf(copy, sizeof(copy), "%s", text);
	assert_string_equal(utf8_mend(copy), mended);
}

static void test_good_text_stays(void **state)
{
	(void)state;
	expect("", "");
	expect("plain\n\t", "plain\n\t");
	expect("\u00fc \u20ac \U0001f600 \uffff \U0010ffff",
		"\u00fc \u20ac \U0001f600 \uffff \U0010ffff");
}

static void test_a_character_that_is_cut_goes(void **state)
{
	(void)state;
	expect("price: \xe2\x82", "price: ");
	expect("price: \xe2", "price: ");
	expect("\xf0\x9f\x98", "");
	expect("\xc3", "");
}

static void test_other_bytes_are_shown(void **state)
{
	(void)state;
	expect("gr\xfc\xdf"
	       "e",
		"gr??e");
	expect("cut \xe2\x82 (tried 3 times)", "cut ?? (tried 3 times)");
	expect("\x80\xc0\xaf\xff", "????");
	/* A surrogate, a long form, beyond the last character. */
	expect("\xed\xa0\x80|\xe0\x80\x80|\xf4\x90\x80\x80", "???|???|????");
}

static void test_cut(void **state)
{
	const char *text = "a\u00fc\u20ac\U0001f600";
	static const size_t expected[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10 };

	(void)state;
	for (size_t size = 0; size <= 10; size++)
		assert_int_equal(utf8_cut(text, size), expected[size]);
	assert_int_equal(utf8_cut("\x80\x80\x80\x80\x80", 5), 5);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_text_stays),
		cmocka_unit_test(test_a_character_that_is_cut_goes),
		cmocka_unit_test(test_other_bytes_are_shown),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
