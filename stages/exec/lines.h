/* SPDX-License-Identifier: MIT */
/* What a non-blocking descriptor gives, line by line, or as a whole. Zeroed is empty; not for two tasks over a wait. */
#ifndef STAGES_EXEC_LINES_H
#define STAGES_EXEC_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Unread bytes are [begin, size); there is no newline in [begin, scanned). */
struct lines {
	char *data;
	size_t size, capacity;
	size_t begin, scanned;
};

void lines_fini(struct lines *l);
void lines_reset(struct lines *l);
/* Reads once. Bytes; 0: the end; -EAGAIN: nothing now; another negative errno. */
ssize_t lines_read(struct lines *l, int fd);
/* The next whole line without its end, good until the next read; false: there is none. */
bool lines_next(struct lines *l, const char **ret_text, size_t *ret_size);
/* What has been read and not yet given, whole lines or not. */
const char *lines_text(const struct lines *l);
size_t lines_unread(const struct lines *l);

#endif
