/* SPDX-License-Identifier: MIT */
/*
 * Bytes in and out of a descriptor, compressed or not: gzip (zlib) and zstd, members and frames that follow one another
 * included. The descriptor is borrowed. One thread.
 */
#ifndef RECORD_STREAM_H
#define RECORD_STREAM_H

#include <sys/types.h>

#include <sluice/record.h>

struct stream_in;
/* NULL: no memory. */
/* no_wait: what would wait is -EAGAIN, whatever the descriptor is. */
struct stream_in *stream_in_new(enum sl_compression compression, int fd, bool no_wait);
void stream_in_free(struct stream_in *in);
/* Up to `size` decompressed bytes: their number; 0: the end; -EAGAIN; other negative errno, see stream_in_reason. */
ssize_t stream_in_read(struct stream_in *in, char *data, size_t size);
const char *stream_in_reason(const struct stream_in *in);
/* A plain, seekable stream goes on there: 0, or -ESPIPE. */
int stream_in_seek(struct stream_in *in, uint64_t position);
uint64_t stream_in_bytes(const struct stream_in *in); /* read from the descriptor */

struct stream_out;
struct stream_out *stream_out_new(enum sl_compression compression, int fd);
void stream_out_free(struct stream_out *out);
/* Takes all of it. 0 or negative errno. */
int stream_out_write(struct stream_out *out, const char *data, size_t size);
int stream_out_flush(struct stream_out *out);
/* What was written so far stands alone: a member or frame ends here, and the next write begins another. */
int stream_out_cut(struct stream_out *out);
int stream_out_finish(
	struct stream_out *out); /* the trailer, too; nothing may be written after it */

#endif
