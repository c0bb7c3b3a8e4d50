/* SPDX-License-Identifier: MIT */
/* See lines.h. */
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM (64u << 10)   /* what a pipe holds */
#define KEPT (1024u << 10) /* a larger buffer is given back once it is empty */

void lines_fini(struct lines *l)
{
	free(l->data);
	*l = (struct lines){ 0 };
}

void lines_reset(struct lines *l)
{
	if (l->capacity > KEPT)
		lines_fini(l);
	l->size = l->begin = l->scanned = 0;
}

static int make_room(struct lines *l)
{
	size_t capacity = l->capacity ? 2 * l->capacity : ROOM;
	char *data;

	if (l->begin == l->size)
		lines_reset(l);
	if (l->capacity - l->size >= ROOM / 2)
		return 0;
	/* Moving is worth it only where it makes much room. */
	if (l->begin > l->capacity / 2) {
		memmove(l->data, l->data + l->begin, l->size - l->begin);
		l->size -= l->begin;
		l->scanned -= l->begin;
		l->begin = 0;
		return 0;
	}
	data = realloc(l->data, capacity);
	if (!data)
		return -ENOMEM;
	l->data = data;
	l->capacity = capacity;
	return 0;
}

ssize_t lines_read(struct lines *l, int fd)
{
	ssize_t n;
	int r = make_room(l);

	if (r < 0)
		return r;
	do
		n = read(fd, l->data + l->size, l->capacity - l->size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	l->size += (size_t)n;
	return n;
}

bool lines_next(struct lines *l, const char **ret_text, size_t *ret_size)
{
	const char *end;

	if (l->scanned == l->size)
		return false;
	end = memchr(l->data + l->scanned, '\n', l->size - l->scanned);
	if (!end) {
		l->scanned = l->size;
		return false;
	}
	*ret_text = l->data + l->begin;
	*ret_size = (size_t)(end - *ret_text);
	if (*ret_size > 0 && end[-1] == '\r')
		(*ret_size)--;
	l->begin = l->scanned = (size_t)(end - l->data) + 1;
	return true;
}

const char *lines_text(const struct lines *l)
{
	return l->data ? l->data + l->begin : "";
}

size_t lines_unread(const struct lines *l)
{
	return l->size - l->begin;
}
