/* SPDX-License-Identifier: MIT */
/* What is hidden of a secret, wherever it stands; and that nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"

static void expect(const char *text, const char *hidden)
{
	char copy[256];

	(void)snprintf(copy, sizeof(copy), "%s", text);
	assert_string_equal(secret_hide(copy), hidden);
}

static void test_nothing_is_known(void **state)
{
	(void)state;
	expect("all of it stays", "all of it stays");
}

static void test_hidden(void **state)
{
	(void)state;
	assert_int_equal(secret_add("hunter2"), 0);
	expect("hunter2", "***");
	expect("Bearer hunter2: 401", "Bearer ***: 401");
	expect("hunter2hunter2, hunter2", "******, ***");
	expect("hunter", "hunter");
	expect("", "");
}

static void test_longer_first(void **state)
{
	(void)state;
	assert_int_equal(secret_add("hunter2 and more"), 0);
	expect("it is hunter2 and more", "it is ***");
	expect("it is hunter2 and less", "it is *** and less");
}

static void test_in_a_url(void **state)
{
	(void)state;
	assert_int_equal(secret_add("a b/c+d"), 0);
	expect("GET /?key=a%20b%2Fc%2Bd", "GET /?key=***");
}

static void test_in_json(void **state)
{
	(void)state;
	assert_int_equal(secret_add("pass\"w\\rd"), 0);
	expect("{\"key\":\"pass\\\"w\\\\rd\"}", "{\"key\":\"***\"}");
}

static void test_lines(void **state)
{
	(void)state;
	assert_int_equal(secret_add("-----BEGIN-----\nMIIEvQIBADAN\nshort\n"), 0);
	expect("bad key MIIEvQIBADAN at 1", "bad key *** at 1");
	expect("short", "short");
}

static void test_too_short(void **state)
{
	(void)state;
	assert_int_equal(secret_add("abc"), 0);
	assert_int_equal(secret_add(""), 0);
	expect("abc", "abc");
}

static void test_too_many(void **state)
{
	char text[32];
	int r = 0;

	(void)state;
	for (int i = 0; i < SECRETS_MAX + 1 && r == 0; i++) {
		(void)snprintf(text, sizeof(text), "number%d", i);
		r = secret_add(text);
	}
	assert_int_equal(r, -E2BIG);
	/* What is known already needs no room. */
	assert_int_equal(secret_add("hunter2"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_known),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_longer_first),
		cmocka_unit_test(test_in_a_url),
		cmocka_unit_test(test_in_json),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_too_short),
		cmocka_unit_test(test_too_many),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
