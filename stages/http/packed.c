/* SPDX-License-Identifier: MIT */
/* See packed.h. */
#include "packed.h"

#include <errno.h>

#include <zlib.h>

/* zlib's default; 16: with the frame of gzip, in which no time stands. */
#define LEVEL Z_DEFAULT_COMPRESSION
#define WINDOW_BITS (15 + 16)
#define MEMORY_LEVEL 8

int packed_put(struct sl_writer *out, const char *text, size_t size)
{
	z_stream z = { .next_in = (Bytef *)text, .avail_in = (uInt)size };
	char *at;
	int r;

	if (size > UINT32_MAX || deflateInit2(&z, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	at = sl_writer_reserve(out, deflateBound(&z, size));
	if (!at) {
		(void)deflateEnd(&z);
		return -ENOMEM;
	}
	z.next_out = (Bytef *)at;
	z.avail_out = (uInt)deflateBound(&z, size);
	r = deflate(&z, Z_FINISH);
	out->size += z.total_out;
	(void)deflateEnd(&z);
	return r == Z_STREAM_END ? 0 : -ENOMEM;
}
