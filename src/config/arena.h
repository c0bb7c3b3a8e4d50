/* SPDX-License-Identifier: MIT */
/*
 * Memory that is given back all at once: what belongs to a graph, to bound options, to one load. An allocation never
 * moves. Errors are sticky, so that a caller may ask once at the end: after a failed allocation `error` is -ENOMEM.
 * One thread at a time.
 */
#ifndef CONFIG_ARENA_H
#define CONFIG_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
	char *at; /* free memory of the newest block */
	size_t left;
	int error;
};

/* An arena of zero bytes is a valid empty one. */
void arena_fini(struct arena *arena);
/* Zeroed memory, aligned for anything; NULL when there is none. */
void *arena_alloc(struct arena *arena, size_t size);
/* count * size, checked. */
void *arena_alloc_array(struct arena *arena, size_t count, size_t size);
/* A copy of size bytes, with a 0 behind them. */
char *arena_copy(struct arena *arena, const char *text, size_t size);
char *arena_printf(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list args);

#endif
