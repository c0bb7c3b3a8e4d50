/* SPDX-License-Identifier: MIT */
/* A decoder over a file that grows: its end is none, a line is one when its newline has come, and positions are those of whole records. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sluice/record.h>

struct fixture {
	int fd; /* written by pwrite, read from its own place */
	off_t size;
	struct sl_decoder *decoder;
	struct sl_writer out;
	uint64_t position;
	uint32_t refused;
};

static void refuse(void *user, uint64_t line, const char *reason, const char *text, size_t size)
{
	struct fixture *f = user;

	(void)line;
	(void)reason;
	(void)text;
	(void)size;
	f->refused++;
}

static void begin(struct fixture *f, enum sl_format format)
{
	const struct sl_codec codec = {
		.format = format, .compression = SL_COMPRESSION_NONE, .record_max = 1000
	};
	char path[] = "/tmp/sluice-decoder-XXXXXX";
	int r;

	*f = (struct fixture){ .fd = mkstemp(path) };
	assert_true(f->fd >= 0);
	assert_int_equal(unlink(path), 0);
	sl_writer_init(&f->out);
	f->decoder = sl_decoder_new(&codec, f->fd, refuse, f, &r);
	assert_non_null(f->decoder);
	sl_decoder_follow(f->decoder);
}

static void end(struct fixture *f)
{
	sl_decoder_free(f->decoder);
	sl_writer_fini(&f->out);
	(void)close(f->fd);
}

static void append(struct fixture *f, const char *text, size_t size)
{
	assert_int_equal(pwrite(f->fd, text, size, f->size), size);
	f->size += (off_t)size;
}

static void say(struct fixture *f, const char *text)
{
	append(f, text, strlen(text));
}

/* Reads once; how many records came, or the negative errno. */
static int get(struct fixture *f)
{
	int r;

	sl_writer_reset(&f->out);
	r = sl_decoder_read(f->decoder, &f->out, 100, 1 << 20, &f->position);
	return r < 0 ? r : (int)f->out.count;
}

static void the_end_is_none(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, SL_FORMAT_LINES);
	assert_int_equal(get(&f), -EAGAIN);
	say(&f, "one\ntwo\n");
	assert_int_equal(get(&f), 2);
	assert_int_equal(f.position, 8);
	assert_int_equal(get(&f), -EAGAIN);
	assert_int_equal(f.position, 8);
	say(&f, "three\n");
	assert_int_equal(get(&f), 1);
	assert_int_equal(f.position, 14);
	assert_int_equal(sl_decoder_line(f.decoder), 4);
	end(&f);
}

static void a_line_is_one_with_its_newline(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, SL_FORMAT_NDJSON);
	say(&f, "{\"a\":1}\n{\"a\"");
	assert_int_equal(get(&f), 1);
	assert_int_equal(f.position, 8);
	assert_int_equal(get(&f), -EAGAIN);
	assert_int_equal(f.position, 8);
	assert_int_equal(sl_decoder_bytes(f.decoder), 12);
	/* It would be one by itself. */
	say(&f, ":2}");
	assert_int_equal(get(&f), -EAGAIN);
	say(&f, "\n");
	assert_int_equal(get(&f), 1);
	assert_int_equal(f.position, 16);
	assert_int_equal(f.refused, 0);
	end(&f);
}

static void what_is_refused_moves_the_position(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, SL_FORMAT_NDJSON);
	say(&f, "no json\n\n");
	assert_int_equal(get(&f), -EAGAIN);
	assert_int_equal(f.refused, 1);
	assert_int_equal(f.position, 9);
	end(&f);
}

static void a_long_line_is_refused_once(void **state)
{
	char text[600];
	struct fixture f;

	(void)state;
	memset(text, 'x', sizeof(text));
	begin(&f, SL_FORMAT_LINES);
	say(&f, "a\n");
	assert_int_equal(get(&f), 1);
	for (int i = 0; i < 5; i++) {
		append(&f, text, sizeof(text));
		assert_int_equal(get(&f), -EAGAIN);
		/* It is not behind us before its end is. */
		assert_int_equal(f.position, 2);
	}
	say(&f, "\nb\n");
	assert_int_equal(get(&f), 1);
	assert_int_equal(f.refused, 1);
	assert_int_equal(f.position, f.size);
	end(&f);
}

static void csv_waits_for_its_header_and_quotes(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, SL_FORMAT_CSV);
	say(&f, "a,");
	assert_int_equal(get(&f), -EAGAIN);
	say(&f, "b\n1,\"x\n");
	assert_int_equal(get(&f), -EAGAIN);
	assert_int_equal(f.position, 4);
	say(&f, "y\"\n2,z\n");
	assert_int_equal(get(&f), 2);
	assert_int_equal(f.position, f.size);
	end(&f);
}

static void msgpack_waits_for_the_rest(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, SL_FORMAT_MSGPACK);
	append(&f, "\x01\x92\x02", 3);
	assert_int_equal(get(&f), 1);
	assert_int_equal(f.position, 1);
	assert_int_equal(get(&f), -EAGAIN);
	append(&f, "\x03", 1);
	assert_int_equal(get(&f), 1);
	assert_int_equal(f.position, 4);
	end(&f);
}

static void the_rest_is_a_record_when_it_ends(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, SL_FORMAT_LINES);
	say(&f, "one\ntwo");
	assert_int_equal(get(&f), 1);
	assert_int_equal(get(&f), -EAGAIN);
	sl_decoder_end(f.decoder);
	/* What comes now is another matter. */
	say(&f, "more\n");
	sl_writer_reset(&f.out);
	assert_int_equal(
		sl_decoder_read(f.decoder, &f.out, 100, 1 << 20, &f.position), SL_DECODE_END);
	assert_int_equal(f.out.count, 1);
	assert_int_equal(f.position, 7);
	end(&f);
}

static void it_goes_on_at_a_place(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, SL_FORMAT_CSV);
	say(&f, "a,b\n1,2\n3,4\n5,");
	assert_int_equal(sl_decoder_seek(f.decoder, 8, 3), 0);
	assert_int_equal(get(&f), 1);
	assert_int_equal(f.position, 12);
	assert_int_equal(get(&f), -EAGAIN);
	say(&f, "6\n");
	assert_int_equal(get(&f), 1);
	assert_int_equal(sl_decoder_line(f.decoder), 5);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_is_none),
		cmocka_unit_test(a_line_is_one_with_its_newline),
		cmocka_unit_test(what_is_refused_moves_the_position),
		cmocka_unit_test(a_long_line_is_refused_once),
		cmocka_unit_test(csv_waits_for_its_header_and_quotes),
		cmocka_unit_test(msgpack_waits_for_the_rest),
		cmocka_unit_test(the_rest_is_a_record_when_it_ends),
		cmocka_unit_test(it_goes_on_at_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
