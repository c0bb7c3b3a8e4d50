/* SPDX-License-Identifier: MIT */
/* See string_put.h. */
#include "string_put.h"

bool string_is_blank(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n')
			return false;
	return true;
}

static void put_latin1(struct sl_writer *out, const char *text, size_t size)
{
	struct sl_writer wide;
	char *to;

	sl_writer_init(&wide);
	to = sl_writer_reserve(&wide, 2 * size);
	for (size_t i = 0; to && i < size; i++) {
		unsigned char byte = (unsigned char)text[i];

		if (byte < 0x80) {
			to[wide.size++] = (char)byte;
		} else {
			to[wide.size++] = (char)(0xc0 | byte >> 6);
			to[wide.size++] = (char)(0x80 | (byte & 0x3f));
		}
	}
	if (to)
		sl_put_str(out, wide.data, wide.size);
	else
		out->error = wide.error;
	sl_writer_fini(&wide);
}

void string_put(struct sl_writer *out, const char *text, size_t size)
{
	if (text_is_utf8(text, size))
		sl_put_str(out, text, size);
	else
		put_latin1(out, text, size);
}
