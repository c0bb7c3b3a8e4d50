/* SPDX-License-Identifier: MIT */
/* What others send: where a message ends, in whatever pieces it comes, and what a syslog message says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../stages/listen/frame.h"
#include "../../stages/listen/syslog.h"

/* --- framing -------------------------------------------------------------------------------------- */

/* Appends what is whole: "[text]", "L[text]" too long, "C[text]" cut, "B[text]" broken. */
static void drain(struct frames *frames, const struct frame_rules *rules, char *out)
{
	static const char *const marks[] = { "", "", "L", "C", "B" };
	enum frame_outcome outcome;
	const char *text;
	size_t size;

	while ((outcome = frames_next(frames, rules, &text, &size)) != FRAME_NONE)
		sprintf(out + strlen(out), "%s[%.*s]", marks[outcome], (int)size, text);
}

/* In pieces of `step` bytes. Of what is too long there is as much as had come by then: it is left out where that is not the same. */
static void cut(const char *input, size_t size, size_t step, struct frame_rules rules, char *out)
{
	struct frames frames = { 0 };

	*out = '\0';
	for (size_t at = 0; at < size; at += step) {
		size_t piece = size - at < step ? size - at : step;
		char *room = frames_room(&frames, piece);

		assert_non_null(room);
		memcpy(room, input + at, piece);
		frames_added(&frames, piece);
		drain(&frames, &rules, out);
		frames_shrink(&frames);
		/* Never more than a message and a piece. */
		assert_true(frames.capacity <= 2 * (rules.max + step + 12));
	}
	frames_end(&frames);
	drain(&frames, &rules, out);
	frames_fini(&frames);
}

static void check_frames(
	const char *input, size_t size, struct frame_rules rules, const char *expected)
{
	char out[1000];

	for (size_t step = 1; step <= size + 1; step++) {
		cut(input, size, step, rules, out);
		if (strcmp(out, expected) != 0)
			fail_msg("in pieces of %zu: %s instead of %s", step, out, expected);
	}
}

#define FRAMES(input, rules, expected) check_frames(input, sizeof(input) - 1, rules, expected)

static const struct frame_rules lines = { FRAMING_NEWLINE, false, 100 };
static const struct frame_rules octets = { FRAMING_OCTETS, false, 100 };
static const struct frame_rules either = { FRAMING_AUTO, false, 100 };

static void frames_of_lines(void **state)
{
	(void)state;
	FRAMES("", lines, "");
	FRAMES("one\ntwo\r\n\nfour", lines, "[one][two][][four]");
	FRAMES("\n\n", lines, "[][]");
	FRAMES("a\0\nb\0\r\n", lines, "[a][b]");
	FRAMES("3 abc", lines, "[3 abc]");
}

static void frames_of_octets(void **state)
{
	(void)state;
	FRAMES("3 abc5 a\nb c1 x", octets, "[abc][a\nb c][x]");
	FRAMES("3 abc\n2 de\n", octets, "[abc][de]");
	FRAMES("10 abc", octets, "C[abc]");
	FRAMES("10", octets, "C[10]");
	FRAMES("10 ", octets, "C[]");
	FRAMES("4 abc\n", octets, "[abc\n]");
}

/* What cannot be a count ends it, and how much of it is told depends on what was there. */
static void frames_that_break(void **state)
{
	static const char *const inputs[] = { "x", "0 ", "01 a", "12x", " 3 abc", "1234567890 a",
		"-1 a" };
	char out[200];

	(void)state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
		for (size_t step = 1; step < 12; step++) {
			cut(inputs[i], strlen(inputs[i]), step, octets, out);
			assert_int_equal(out[0], 'B');
			assert_null(strstr(out + 1, "]B"));
		}
	cut("3 abcx3 def", 11, 11, octets, out);
	assert_string_equal(out, "[abc]B[x3 def]");
}

static void frames_of_both(void **state)
{
	(void)state;
	FRAMES("<1>a\n4 <2>b<3>c\n5 <4>\nd", either, "[<1>a][<2>b][<3>c][<4>\nd]");
	FRAMES("2026-01-01 a line\n<1>b\n", either, "[2026-01-01 a line][<1>b]");
	FRAMES("12", either, "C[12]");
}

static void frames_too_long(void **state)
{
	struct frame_rules few = { FRAMING_NEWLINE, false, 8 };
	char input[400], out[1000];

	(void)state;
	memset(input, 'x', sizeof(input));
	memcpy(input, "12345678\n", 9);
	input[300] = '\n';
	memcpy(input + 301, "ok\n", 3);
	for (size_t step = 1; step < 310; step++) {
		char *long_one;

		cut(input, 304, step, few, out);
		assert_memory_equal(out, "[12345678]L[", 12);
		long_one = strstr(out, "]L[") + 3;
		assert_true(strspn(long_one, "x") > 8);
		assert_string_equal(strchr(long_one, ']'), "][ok]");
	}
	few.framing = FRAMING_OCTETS;
	memcpy(input, "8 12345678300 ", 14);
	memcpy(input + 314, "2 ok", 4);
	for (size_t step = 1; step < 320; step++) {
		cut(input, 318, step, few, out);
		assert_memory_equal(out, "[12345678]L[", 12);
		assert_string_equal(strrchr(out, '['), "[ok]");
		assert_true(strlen(out) < 12 + 300 + 8);
	}
}

static void frames_of_datagrams(void **state)
{
	struct frame_rules whole = { FRAMING_AUTO, true, 10 };
	char out[100];

	(void)state;
	cut("a\nb", 3, 3, whole, out);
	assert_string_equal(out, "[a\nb]");
	cut("12345678901", 11, 11, whole, out);
	assert_string_equal(out, "L[12345678901]");
}

/* --- syslog --------------------------------------------------------------------------------------- */

#define NOW 1780000000 /* 2026-05-28 20:26:40 UTC */

/* The record as JSON, or "! reason". */
static void read_at(const char *text, size_t size, time_t now, char *out, size_t room)
{
	struct sl_writer w, scratch;
	struct syslog message;
	const char *reason = syslog_parse(text, size, now, &message), *why;

	if (reason) {
		(void)snprintf(out, room, "! %s", reason);
		return;
	}
	sl_writer_init(&w);
	sl_writer_init(&scratch);
	sl_put_map(&w, SYSLOG_FIELDS);
	syslog_put(&w, &message, &scratch);
	assert_int_equal(sl_record_done(&w), 0);
	assert_true(sl_check(w.data, w.mark));
	sl_writer_reset(&scratch);
	assert_int_equal(sl_json_print(&scratch, (struct sl_value){ w.data, w.mark }, &why), 0);
	assert_true(scratch.size < room);
	memcpy(out, scratch.data, scratch.size);
	out[scratch.size] = '\0';
	sl_writer_fini(&w);
	sl_writer_fini(&scratch);
}

static void check_syslog(const char *text, size_t size, const char *expected)
{
	char out[4000];

	read_at(text, size, NOW, out, sizeof(out));
	assert_string_equal(out, expected);
}

#define SYSLOG(text, expected) check_syslog(text, sizeof(text) - 1, expected)
#define RECORD(facility, severity, time, host, app, procid, msgid, data, message)                  \
	"{\"facility\":" facility ",\"severity\":" severity ",\"timestamp\":" time                 \
	",\"host\":" host ",\"app\":" app ",\"procid\":" procid ",\"msgid\":" msgid                \
	",\"structured_data\":" data ",\"message\":" message "}"

/* The examples of RFC 5424, 6.5. */
static void rfc5424_examples(void **state)
{
	(void)state;
	SYSLOG("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf"
	       "'su root' failed for lonvick on /dev/pts/8",
		RECORD("4", "2", "\"2003-10-11T22:14:15.003Z\"", "\"mymachine.example.com\"",
			"\"su\"", "null", "\"ID47\"", "null",
			"\"'su root' failed for lonvick on /dev/pts/8\""));
	SYSLOG("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to "
	       "make the do-nuts.",
		RECORD("20", "5", "\"2003-08-24T05:14:15.000003-07:00\"", "\"192.0.2.1\"",
			"\"myproc\"", "\"8710\"", "null", "null",
			"\"%% It's time to make the do-nuts.\""));
	SYSLOG("<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
	       "[exampleSDID@32473 iut=\"3\" eventSource=\"Application\" eventID=\"1011\"]"
	       "[examplePriority@32473 class=\"high\"]",
		RECORD("20", "5", "\"2003-10-11T22:14:15.003Z\"", "\"mymachine.example.com\"",
			"\"evntslog\"", "null", "\"ID47\"",
			"{\"exampleSDID@32473\":{\"iut\":\"3\",\"eventSource\":\"Application\","
			"\"eventID\":\"1011\"},\"examplePriority@32473\":{\"class\":\"high\"}}",
			"\"\""));
}

static void rfc5424_corners(void **state)
{
	(void)state;
	SYSLOG("<0>1 - - - - - -",
		RECORD("0", "0", "null", "null", "null", "null", "null", "null", "\"\""));
	SYSLOG("<191>1 - - - - - [a b=\"\\\"\\\\\\]\\n\" b=\"2\" c=\"\" b=\"3\"][d] two\nlines",
		RECORD("23", "7", "null", "null", "null", "null", "null",
			"{\"a\":{\"b\":[\"\\\"\\\\]\\\\n\",\"2\",\"3\"],\"c\":\"\"},\"d\":{}}",
			"\"two\\nlines\""));
	/* Bytes that are no UTF-8 are Latin-1. */
	SYSLOG("<13>1 - - - - - - gr\xfc\xdf dich",
		RECORD("1", "5", "null", "null", "null", "null", "null", "null",
			"\"gr\xc3\xbc\xc3\x9f dich\""));
	SYSLOG("<13>1 - - - - - - gr\xc3\xbc\xc3\x9f",
		RECORD("1", "5", "null", "null", "null", "null", "null", "null",
			"\"gr\xc3\xbc\xc3\x9f\""));
	SYSLOG("<13>1 2016-12-31T23:59:60Z - - - - -",
		RECORD("1", "5", "\"2016-12-31T23:59:60Z\"", "null", "null", "null", "null", "null",
			"\"\""));
}

static void rfc5424_malformed(void **state)
{
	static const char *const texts[] = { "<13>1 ", "<13>1 -", "<13>1 - - - - -",
		"<13>1 - - - - - ", "<13>1 - - - - - x", "<13>1 - - - - - -x",
		"<13>1 2003-10-11 - - - - -", "<13>1 2003-13-11T22:14:15Z - - - - -",
		"<13>1 2003-10-11T24:14:15Z - - - - -", "<13>1 2003-10-11T22:14:15 - - - - -",
		"<13>1 2003-10-11T22:14:15.Z - - - - -", "<13>1  - - - - - -",
		"<13>1 - h\x01 - - - -", "<13>1 - - - - - [", "<13>1 - - - - - []",
		"<13>1 - - - - - [a", "<13>1 - - - - - [a ", "<13>1 - - - - - [a b]",
		"<13>1 - - - - - [a b=]", "<13>1 - - - - - [a b=\"]",
		"<13>1 - - - - - [a b=\"\\\"]", "<13>1 - - - - - [a b=\"1\"",
		"<13>1 - - - - - [a b=\"1\"  c=\"2\"]", "<13>1 - - - - - [a][a]",
		"<13>1 - - - - - [a]x", "<13>1 - - - - 123456789012345678901234567890123 -",
		"<13>1 - - - - - [a123456789012345678901234567890123]" };
	char out[400], many[4000] = "<13>1 - - - - - [a";

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		read_at(texts[i], strlen(texts[i]), NOW, out, sizeof(out));
		if (out[0] != '!')
			fail_msg("%s was taken: %s", texts[i], out);
	}
	for (int i = 0; i < 256; i++)
		strcat(many, " b=\"\"");
	strcat(many, "]");
	read_at(many, strlen(many), NOW, out, sizeof(out));
	assert_string_equal(out, "! its structured data have more than 256 parts");
}

static void rfc3164(void **state)
{
	(void)state;
	setenv("TZ", "UTC0", 1);
	tzset();
	SYSLOG("<34>May 11 22:14:15 mymachine su: 'su root' failed",
		RECORD("4", "2", "\"2026-05-11T22:14:15+00:00\"", "\"mymachine\"", "\"su\"", "null",
			"null", "null", "\"'su root' failed\""));
	SYSLOG("<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
		RECORD("1", "5", "\"2026-02-05T17:32:18+00:00\"", "\"10.0.0.99\"", "null", "null",
			"null", "null", "\"Use the BFG!\""));
	SYSLOG("<30>May  1 00:00:00 h systemd-logind[412]: New session",
		RECORD("3", "6", "\"2026-05-01T00:00:00+00:00\"", "\"h\"", "\"systemd-logind\"",
			"\"412\"", "null", "null", "\"New session\""));
	/* As programs write to /dev/log: no host. */
	SYSLOG("<85>May  1 00:00:00 sudo[17]:root : ok",
		RECORD("10", "5", "\"2026-05-01T00:00:00+00:00\"", "null", "\"sudo\"", "\"17\"",
			"null", "null", "\"root : ok\""));
	/* As rsyslog forwards. */
	SYSLOG("<30>2026-05-01T00:00:00.123456+02:00 h postfix/smtp[1]: ok",
		RECORD("3", "6", "\"2026-05-01T00:00:00.123456+02:00\"", "\"h\"",
			"\"postfix/smtp\"", "\"1\"", "null", "null", "\"ok\""));
	SYSLOG("<13>anything at all", RECORD("1", "5", "null", "null", "null", "null", "null",
					      "null", "\"anything at all\""));
}

static void rfc3164_years(void **state)
{
	char out[400];

	(void)state;
	setenv("TZ", "UTC0", 1);
	tzset();
	/* Tomorrow is a clock that is ahead; what is further away was last year. */
	read_at("<13>May 29 20:00:00 h a: b", 26, NOW, out, sizeof(out));
	assert_non_null(strstr(out, "2026-05-29T20:00:00+00:00"));
	read_at("<13>May 30 20:00:00 h a: b", 26, NOW, out, sizeof(out));
	assert_non_null(strstr(out, "2025-05-30T20:00:00+00:00"));
	/* 2026-12-31 23:59:50 and 2027-01-01 00:00:10 */
	read_at("<13>Jan  1 00:00:05 h a: b", 26, 1798761590, out, sizeof(out));
	assert_non_null(strstr(out, "2027-01-01T00:00:05+00:00"));
	read_at("<13>Dec 31 23:59:55 h a: b", 26, 1798761610, out, sizeof(out));
	assert_non_null(strstr(out, "2026-12-31T23:59:55+00:00"));
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	read_at("<13>May 20 20:00:00 h a: b", 26, NOW, out, sizeof(out));
	assert_non_null(strstr(out, "2026-05-20T20:00:00+02:00"));
	read_at("<13>Jan 20 20:00:00 h a: b", 26, NOW, out, sizeof(out));
	assert_non_null(strstr(out, "2026-01-20T20:00:00+01:00"));
}

static void no_priority(void **state)
{
	static const char *const texts[] = { "", "<", "<>", "<1", "<1>", "<192>a", "<1000>a",
		"<-1>a", "<a>b", "13>a", " <13>a", "< 1>a", "May 11 22:14:15 h a: b" };
	char out[200];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		bool is_good = strcmp(texts[i], "<1>") == 0;

		read_at(texts[i], strlen(texts[i]), NOW, out, sizeof(out));
		if ((out[0] == '!') == is_good)
			fail_msg("%s: %s", texts[i], out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_lines),
		cmocka_unit_test(frames_of_octets),
		cmocka_unit_test(frames_that_break),
		cmocka_unit_test(frames_of_both),
		cmocka_unit_test(frames_too_long),
		cmocka_unit_test(frames_of_datagrams),
		cmocka_unit_test(rfc5424_examples),
		cmocka_unit_test(rfc5424_corners),
		cmocka_unit_test(rfc5424_malformed),
		cmocka_unit_test(rfc3164),
		cmocka_unit_test(rfc3164_years),
		cmocka_unit_test(no_priority),
	};

	return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
