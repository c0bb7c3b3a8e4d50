/* SPDX-License-Identifier: MIT */
/* Any bytes as a file of each format: what is decoded is well-formed, and the positions never go back. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sluice/record.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refuse(void *user, uint64_t line, const char *reason, const char *text, size_t size)
{
	volatile char last = 0;

	(void)user;
	(void)line;
	(void)reason;
	for (size_t i = 0; i < size; i++)
		last = text[i];
	(void)last;
}

static void check_records(const struct sl_writer *w)
{
	struct sl_cursor cursor = { .at = w->data, .left = w->count };
	struct sl_value key, value;

	while (sl_next(&cursor, &key, &value))
		if (!sl_check(value.data, value.size))
			abort();
	if (w->count > 0 && cursor.at != w->data + w->mark)
		abort();
}

static void decode(enum sl_format format, int fd)
{
	/* [{"name":"a","width":3},{"width":1},{"name":"b","width":2,"type":"infer"}] */
	static const char fields[] = "\x93\x82\xa4name\xa1"
				     "a\xa5width\x03\x81\xa5width\x01\x83\xa4name\xa1"
				     "b\xa5width\x02\xa4type\xa5infer";
	struct sl_codec codec = { .format = format,
		.compression = SL_COMPRESSION_NONE,
		.record_max = 4096,
		.fields = { fields, sizeof(fields) - 1 },
		.infers = true,
		.header = format == SL_FORMAT_CSV ? SL_HEADER_ABSENT : SL_HEADER_AUTO };
	uint64_t position = 0, before = 0;
	struct sl_decoder *decoder;
	struct sl_writer w;
	int r;

	(void)lseek(fd, 0, SEEK_SET);
	decoder = sl_decoder_new(&codec, fd, refuse, NULL, &r);
	if (!decoder)
		return;
	sl_writer_init(&w);
	do {
		r = sl_decoder_read(decoder, &w, 3, 1 << 16, &position);
		if (position < before)
			abort();
		before = position;
		check_records(&w);
		sl_writer_reset(&w);
	} while (r == SL_DECODE_MORE);
	sl_writer_fini(&w);
	sl_decoder_free(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	for (int format = SL_FORMAT_NDJSON; format <= SL_FORMAT_FIXED; format++)
		decode((enum sl_format)format, fd);
	(void)close(fd);
	return 0;
}
