/* SPDX-License-Identifier: MIT */
/* See arena.h. A list of blocks; what is larger than a block gets one of its own. */
#include "config/arena.h"

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 4096

struct arena_block {
	struct arena_block *next;
	alignas(max_align_t) char data[];
};

void arena_fini(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	*arena = (struct arena){ 0 };
}

static int add_block(struct arena *arena, size_t size)
{
	struct arena_block *block;

	if (size < BLOCK_SIZE)
		size = BLOCK_SIZE;
	block = calloc(1, sizeof(*block) + size);
	if (!block)
		return arena->error = -ENOMEM;
	block->next = arena->blocks;
	arena->blocks = block;
	arena->at = block->data;
	arena->left = size;
	return 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	const size_t unit = alignof(max_align_t);
	char *at;

	if (size > SIZE_MAX / 2) {
		arena->error = -ENOMEM;
		return NULL;
	}
	size = (size + (size == 0) + unit - 1) / unit * unit;
	if (size > arena->left && add_block(arena, size) < 0)
		return NULL;
	at = arena->at;
	arena->at += size;
	arena->left -= size;
	return at;
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
	if (__builtin_mul_overflow(count, size, &size))
		size = SIZE_MAX;
	return arena_alloc(arena, size);
}

char *arena_copy(struct arena *arena, const char *text, size_t size)
{
	char *copy = size < SIZE_MAX ? arena_alloc(arena, size + 1) : NULL;

	if (copy && size > 0)
		memcpy(copy, text, size);
	return copy;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args)
{
	va_list again;
	char *text;
	int size;

	va_copy(again, args);
	size = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (size < 0)
		return NULL;
	text = arena_alloc(arena, (size_t)size + 1);
	if (text)
		(void)vsnprintf(text, (size_t)size + 1, format, args);
	return text;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = arena_vprintf(arena, format, args);
	va_end(args);
	return text;
}
