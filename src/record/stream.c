/* SPDX-License-Identifier: MIT */
/* See stream.h. */
#include "record/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#define RAW_SIZE (128u << 10)
#define GZIP_WINDOW (15 + 16) /* zlib's way to say: gzip format */

struct stream_in {
	enum sl_compression compression;
	int fd;
	uint64_t bytes;
	const char *reason;
	bool no_wait;
	bool is_open; /* inside a member or frame */
	bool at_end;  /* of the descriptor */
	z_stream zlib;
	ZSTD_DStream *zstd;
	size_t raw_at, raw_end;
	unsigned char raw[RAW_SIZE];
};

struct stream_out {
	bool has_data; /* since the last cut */
	bool has_cut;
	enum sl_compression compression;
	int fd;
	z_stream zlib;
	ZSTD_CStream *zstd;
	unsigned char raw[RAW_SIZE];
};

/* --- in ----------------------------------------------------------------------------------------- */

struct stream_in *stream_in_new(enum sl_compression compression, int fd, bool no_wait)
{
	struct stream_in *in = calloc(1, sizeof(*in));

	if (!in)
		return NULL;
	in->compression = compression;
	in->fd = fd;
	in->no_wait = no_wait;
	in->reason = "";
	if (compression == SL_COMPRESSION_GZIP && inflateInit2(&in->zlib, GZIP_WINDOW) != Z_OK) {
		free(in);
		return NULL;
	}
	if (compression == SL_COMPRESSION_ZSTD) {
		in->zstd = ZSTD_createDStream();
		if (!in->zstd) {
			free(in);
			return NULL;
		}
	}
	return in;
}

void stream_in_free(struct stream_in *in)
{
	if (!in)
		return;
	if (in->compression == SL_COMPRESSION_GZIP)
		(void)inflateEnd(&in->zlib);
	(void)ZSTD_freeDStream(in->zstd);
	free(in);
}

const char *stream_in_reason(const struct stream_in *in)
{
	return in->reason;
}

uint64_t stream_in_bytes(const struct stream_in *in)
{
	return in->bytes;
}

int stream_in_seek(struct stream_in *in, uint64_t position)
{
	if (in->compression != SL_COMPRESSION_NONE || lseek(in->fd, (off_t)position, SEEK_SET) < 0)
		return -ESPIPE;
	in->bytes = position;
	return 0;
}

static ssize_t read_fd(struct stream_in *in, void *data, size_t size)
{
	struct pollfd ready = { .fd = in->fd, .events = POLLIN };
	ssize_t got;

	if (in->no_wait && poll(&ready, 1, 0) == 0)
		return -EAGAIN;
	do
		got = read(in->fd, data, size);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		if (errno != EAGAIN)
			in->reason = strerrordesc_np(errno);
		return -errno;
	}
	in->bytes += (uint64_t)got;
	in->at_end = got == 0;
	return got;
}

static ssize_t broken(struct stream_in *in, const char *reason)
{
	in->reason = reason;
	return -EBADMSG;
}

/* One step of decompression: bytes made, 0 when more raw bytes are needed, -EBADMSG. */
static ssize_t inflate_some(struct stream_in *in, char *data, size_t size)
{
	int r;

	if (!in->is_open && inflateReset(&in->zlib) != Z_OK)
		return broken(in, "gzip: cannot begin a member");
	in->is_open = true;
	in->zlib.next_in = in->raw + in->raw_at;
	in->zlib.avail_in = (uInt)(in->raw_end - in->raw_at);
	in->zlib.next_out = (unsigned char *)data;
	in->zlib.avail_out = (uInt)size;
	r = inflate(&in->zlib, Z_NO_FLUSH);
	in->raw_at = in->raw_end - in->zlib.avail_in;
	if (r == Z_STREAM_END)
		in->is_open = false;
	else if (r != Z_OK && r != Z_BUF_ERROR)
		return broken(in, "gzip: the compressed data is damaged");
	return (ssize_t)(size - in->zlib.avail_out);
}

static ssize_t unzstd_some(struct stream_in *in, char *data, size_t size)
{
	ZSTD_inBuffer from = { in->raw, in->raw_end, in->raw_at };
	ZSTD_outBuffer to = { data, size, 0 };
	size_t r = ZSTD_decompressStream(in->zstd, &to, &from);

	if (ZSTD_isError(r))
		return broken(in, "zstd: the compressed data is damaged");
	in->raw_at = from.pos;
	in->is_open = r != 0;
	return (ssize_t)to.pos;
}

static ssize_t decompress_some(struct stream_in *in, char *data, size_t size)
{
	return in->compression == SL_COMPRESSION_GZIP ? inflate_some(in, data, size)
						      : unzstd_some(in, data, size);
}

ssize_t stream_in_read(struct stream_in *in, char *data, size_t size)
{
	if (in->compression == SL_COMPRESSION_NONE)
		return read_fd(in, data, size);
	for (;;) {
		ssize_t made, got;

		/* A decompressor may hold back output that did not fit the last time. */
		if (in->raw_at < in->raw_end || in->is_open) {
			made = decompress_some(in, data, size);
			if (made != 0)
				return made;
		}
		if (in->raw_at < in->raw_end)
			continue;
		got = read_fd(in, in->raw, sizeof(in->raw));
		if (got < 0)
			return got;
		if (got == 0)
			return in->is_open ? broken(in, "the compressed data ends too early") : 0;
		in->raw_at = 0;
		in->raw_end = (size_t)got;
	}
}

/* --- out ---------------------------------------------------------------------------------------- */

struct stream_out *stream_out_new(enum sl_compression compression, int fd)
{
	struct stream_out *out = calloc(1, sizeof(*out));

	if (!out)
		return NULL;
	out->compression = compression;
	out->fd = fd;
	if (compression == SL_COMPRESSION_GZIP &&
		deflateInit2(&out->zlib, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8,
			Z_DEFAULT_STRATEGY) != Z_OK) {
		free(out);
		return NULL;
	}
	if (compression == SL_COMPRESSION_ZSTD) {
		out->zstd = ZSTD_createCStream();
		if (!out->zstd) {
			free(out);
			return NULL;
		}
	}
	return out;
}

void stream_out_free(struct stream_out *out)
{
	if (!out)
		return;
	if (out->compression == SL_COMPRESSION_GZIP)
		(void)deflateEnd(&out->zlib);
	(void)ZSTD_freeCStream(out->zstd);
	free(out);
}

static int write_fd(struct stream_out *out, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t put = write(out->fd, at, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		at += put;
		size -= (size_t)put;
	}
	return 0;
}

static int deflate_all(struct stream_out *out, const char *data, size_t size, int flush)
{
	out->zlib.next_in = (unsigned char *)data;
	out->zlib.avail_in = (uInt)size;
	do {
		int r;

		out->zlib.next_out = out->raw;
		out->zlib.avail_out = sizeof(out->raw);
		if (deflate(&out->zlib, flush) == Z_STREAM_ERROR)
			return -EIO;
		r = write_fd(out, out->raw, sizeof(out->raw) - out->zlib.avail_out);
		if (r < 0)
			return r;
	} while (out->zlib.avail_out == 0);
	return 0;
}

static int zstd_all(struct stream_out *out, const char *data, size_t size, ZSTD_EndDirective end)
{
	ZSTD_inBuffer from = { data, size, 0 };
	size_t left;

	do {
		ZSTD_outBuffer to = { out->raw, sizeof(out->raw), 0 };
		int r;

		left = ZSTD_compressStream2(out->zstd, &to, &from, end);
		if (ZSTD_isError(left))
			return -EIO;
		r = write_fd(out, out->raw, to.pos);
		if (r < 0)
			return r;
	} while (end == ZSTD_e_continue ? from.pos < from.size : left > 0);
	return 0;
}

int stream_out_write(struct stream_out *out, const char *data, size_t size)
{
	/* Even nothing would begin a member. */
	if (size == 0)
		return 0;
	out->has_data = true;
	switch (out->compression) {
	case SL_COMPRESSION_GZIP:
		return deflate_all(out, data, size, Z_NO_FLUSH);
	case SL_COMPRESSION_ZSTD:
		return zstd_all(out, data, size, ZSTD_e_continue);
	default:
		return write_fd(out, data, size);
	}
}

int stream_out_cut(struct stream_out *out)
{
	int r;

	if (!out->has_data)
		return 0;
	r = stream_out_finish(out);
	if (r == 0 && out->compression == SL_COMPRESSION_GZIP && deflateReset(&out->zlib) != Z_OK)
		return -EIO;
	out->has_data = false;
	out->has_cut = true;
	return r;
}

int stream_out_flush(struct stream_out *out)
{
	switch (out->compression) {
	case SL_COMPRESSION_GZIP:
		return deflate_all(out, NULL, 0, Z_SYNC_FLUSH);
	case SL_COMPRESSION_ZSTD:
		return zstd_all(out, NULL, 0, ZSTD_e_flush);
	default:
		return 0;
	}
}

int stream_out_finish(struct stream_out *out)
{
	/* An empty member behind others says nothing. */
	if (!out->has_data && out->has_cut)
		return 0;
	switch (out->compression) {
	case SL_COMPRESSION_GZIP:
		return deflate_all(out, NULL, 0, Z_FINISH);
	case SL_COMPRESSION_ZSTD:
		return zstd_all(out, NULL, 0, ZSTD_e_end);
	default:
		return 0;
	}
}
