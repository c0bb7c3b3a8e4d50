/* SPDX-License-Identifier: MIT */
/*
 * The text of a key that is compared with the key at its place in each record. Keys are short, and calling memcmp for each costs more than comparing
 * them: up to eight bytes are one word.
 */
#ifndef STAGES_SQL_KEY_TEXT_H
#define STAGES_SQL_KEY_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct key_text {
	char *text; /* with a 0 behind it; owned by who has the struct */
	size_t size;
	uint64_t word, mask; /* its first bytes, and which of the word's bytes it has */
};

/* False: no memory. */
static inline bool key_text_init(struct key_text *key, const char *text, size_t size)
{
	size_t first = size < sizeof(key->word) ? size : sizeof(key->word);

	*key = (struct key_text){ .text = malloc(size + 1), .size = size };
	if (!key->text)
		return false;
	memcpy(key->text, text, size);
	key->text[size] = '\0';
	memcpy(&key->word, text, first);
	memset(&key->mask, 0xff, first);
	return true;
}

/* Is it the text? What stands before `end` can be read. */
static inline bool key_text_is(
	const struct key_text *key, const char *text, size_t size, const char *end)
{
	uint64_t word;

	if (key->size != size)
		return false;
	if (size > sizeof(word) || end - text < (ptrdiff_t)sizeof(word))
		return memcmp(key->text, text, size) == 0;
	memcpy(&word, text, sizeof(word));
	return ((word ^ key->word) & key->mask) == 0;
}

#endif
