/* SPDX-License-Identifier: MIT */
/* What a text is by its form alone. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "record/typed.h"

static const char *json_of(const char *text, bool (*put)(struct sl_writer *, const char *, size_t))
{
	static char out[256];
	struct sl_writer w;
	bool is_put = true;

	sl_writer_init(&w);
	if (put)
		is_put = put(&w, text, strlen(text));
	else
		typed_put(&w, text, strlen(text));
	if (is_put)
		sl_print((struct sl_value){ w.data, w.size }, out, sizeof(out));
	sl_writer_fini(&w);
	return is_put ? out : "none";
}

static void the_form_says_it(void **state)
{
	static const char *const rows[][2] = {
		/* as they are */
		{ "0", "0" },
		{ "17", "17" },
		{ "-5", "-5" },
		{ "9223372036854775807", "9223372036854775807" },
		{ "-9223372036854775808", "-9223372036854775808" },
		{ "18446744073709551615", "18446744073709551615" },
		{ "2.5", "2.5" },
		{ "2.50", "2.5" },
		{ "-0.25", "-0.25" },
		{ "1e3", "1000.0" },
		{ "1E-2", "0.01" },
		{ "true", "true" },
		{ "false", "false" },
		{ "0.10000000000000001", "0.1" },
		/* strings */
		{ "", "\"\"" },
		{ "007", "\"007\"" },
		{ "-01", "\"-01\"" },
		{ "00.5", "\"00.5\"" },
		{ "-0", "\"-0\"" },
		{ "+5", "\"+5\"" },
		{ ".5", "\".5\"" },
		{ "1.", "\"1.\"" },
		{ "1e", "\"1e\"" },
		{ "1e+", "\"1e+\"" },
		{ "-", "\"-\"" },
		{ "1,5", "\"1,5\"" },
		{ " 5", "\" 5\"" },
		{ "5 ", "\"5 \"" },
		{ "0x10", "\"0x10\"" },
		{ "1e999", "\"1e999\"" },
		{ "inf", "\"inf\"" },
		{ "nan", "\"nan\"" },
		{ "True", "\"True\"" },
		{ "null", "\"null\"" },
		{ "18446744073709551616", "\"18446744073709551616\"" },
		{ "-9223372036854775809", "\"-9223372036854775809\"" },
		{ "0.1234567890123456789", "\"0.1234567890123456789\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(json_of(rows[i][0], NULL), rows[i][1]);
}

static void a_column_says_it(void **state)
{
	(void)state;
	assert_string_equal(json_of("00042", typed_put_int), "42");
	assert_string_equal(json_of("+7", typed_put_int), "7");
	assert_string_equal(json_of("-007", typed_put_int), "-7");
	assert_string_equal(json_of("4.0", typed_put_int), "none");
	assert_string_equal(json_of("", typed_put_int), "none");
	assert_string_equal(json_of("+-7", typed_put_int), "none");
	assert_string_equal(json_of("99999999999999999999", typed_put_int), "none");
	assert_string_equal(json_of("0012.50", typed_put_double), "12.5");
	assert_string_equal(json_of("12", typed_put_double), "12.0");
	assert_string_equal(json_of("1e999", typed_put_double), "none");
	assert_string_equal(json_of("true", typed_put_bool), "true");
	assert_string_equal(json_of("1", typed_put_bool), "none");
}

/* --- sniffing ----------------------------------------------------------------------------------- */

static int sniff(const char *content, struct sl_codec *codec, char *text, size_t size)
{
	char path[] = "/tmp/sluice-infer-XXXXXX";
	int fd = mkstemp(path);
	int r;

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	codec->format = SL_FORMAT_CSV;
	codec->compression = SL_COMPRESSION_NONE;
	r = sl_sniff(codec, fd, text, size);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	(void)close(fd);
	return r;
}

static void a_dialect_is_found(void **state)
{
	static const struct {
		const char *content;
		char delimiter, quote;
		enum sl_header header;
	} rows[] = {
		{ "a,b\n1,2\n", ',', '"', SL_HEADER_PRESENT },
		{ "a;b\n1,5;2\n2;3\n", ';', '"', SL_HEADER_PRESENT },
		{ "\xef\xbb\xbf"
		  "a\tb\r\n1\t2\r\n",
			'\t', '"', SL_HEADER_PRESENT },
		{ "1|2|x\n3|4|y\n", '|', '"', SL_HEADER_ABSENT },
		{ "x,'a,b'\ny,'c'\n", ',', '\'', SL_HEADER_PRESENT },
		{ "x;\"a\n;b\"\ny;c", ';', '"', SL_HEADER_PRESENT },
		{ "id,,z\n1,2,3\n", ',', '"', SL_HEADER_ABSENT },
		{ "id,id\n1,2\n", ',', '"', SL_HEADER_ABSENT },
		{ "name\nAnn\nBob\n", ',', '"', SL_HEADER_PRESENT },
		{ "17\n18\n", ',', '"', SL_HEADER_ABSENT },
		/* one of many rows is malformed */
		{ "a,b\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2\n1,2,3\n", ',', '"',
			SL_HEADER_PRESENT },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sl_codec codec = { 0 };

		assert_int_equal(sniff(rows[i].content, &codec, text, sizeof(text)), 0);
		assert_int_equal(codec.delimiter, rows[i].delimiter);
		assert_int_equal(codec.quote, rows[i].quote);
		assert_int_equal(codec.header, rows[i].header);
	}
}

static void nobody_knows(void **state)
{
	struct sl_codec codec = { 0 };
	char text[256];

	(void)state;
	assert_int_equal(sniff("1,2;3,4\n5,6;7,8\n", &codec, text, sizeof(text)), -EINVAL);
	assert_non_null(strstr(text, "write delimiter = \",\"; or delimiter = \";\";"));
	assert_int_equal(sniff("'a',\"b\"\n'c',\"d\"\n", &codec, text, sizeof(text)), -EINVAL);
	assert_non_null(strstr(text, "write quote = "));
	assert_int_equal(sniff("a,b,c\nd\ne,f\n", &codec, text, sizeof(text)), -EINVAL);
	assert_non_null(strstr(text, "write `delimiter`"));
	assert_int_equal(sniff("", &codec, text, sizeof(text)), 1);
	assert_int_equal(codec.delimiter, 0);
}

static void what_is_given_stands(void **state)
{
	const char *const names[] = { "x", "y" };
	struct sl_codec codec = { .delimiter = ';', .quote = '\'', .header = SL_HEADER_ABSENT };
	char text[256];

	(void)state;
	assert_int_equal(sniff("a,b;c,d\ne,f;g,h\n", &codec, text, sizeof(text)), 0);
	assert_int_equal(codec.delimiter, ';');
	assert_int_equal(codec.quote, '\'');
	assert_int_equal(codec.header, SL_HEADER_ABSENT);
	codec = (struct sl_codec){ .columns = names, .column_count = 2 };
	assert_int_equal(sniff("a|b\n", &codec, text, sizeof(text)), 0);
	assert_int_equal(codec.delimiter, '|');
	assert_int_equal(codec.header, SL_HEADER_AUTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_form_says_it),
		cmocka_unit_test(a_column_says_it),
		cmocka_unit_test(a_dialect_is_found),
		cmocka_unit_test(nobody_knows),
		cmocka_unit_test(what_is_given_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
