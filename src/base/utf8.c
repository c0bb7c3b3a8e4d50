/* SPDX-License-Identifier: MIT */
/* See utf8.h. */
#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* What a first byte says: how many bytes follow, and which the second may be (no long forms, no surrogates, nothing above U+10FFFF). */
struct lead {
	uint8_t low, high; /* first bytes */
	uint8_t follow;
	uint8_t second_low, second_high;
};

static const struct lead leads[] = {
	{ 0x00, 0x7f, 0, 0x00, 0x00 },
	{ 0xc2, 0xdf, 1, 0x80, 0xbf },
	{ 0xe0, 0xe0, 2, 0xa0, 0xbf },
	{ 0xe1, 0xec, 2, 0x80, 0xbf },
	{ 0xed, 0xed, 2, 0x80, 0x9f },
	{ 0xee, 0xef, 2, 0x80, 0xbf },
	{ 0xf0, 0xf0, 3, 0x90, 0xbf },
	{ 0xf1, 0xf3, 3, 0x80, 0xbf },
	{ 0xf4, 0xf4, 3, 0x80, 0x8f },
};

static const struct lead *lead_of(uint8_t byte)
{
	for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++)
		if (byte >= leads[i].low && byte <= leads[i].high)
			return &leads[i];
	return NULL;
}

/* The size of the character that begins there; 0: none does; *ret_is_cut: it would, but the text ends inside it. */
static size_t character(const char *text, size_t size, bool *ret_is_cut)
{
	const uint8_t *at = (const uint8_t *)text;
	const struct lead *lead = lead_of(*at);

	*ret_is_cut = false;
	for (size_t i = 1; lead && i <= lead->follow; i++) {
		*ret_is_cut = i == size;
		if (*ret_is_cut)
			return 0;
		if (i == 1 ? at[1] < lead->second_low || at[1] > lead->second_high
			   : (at[i] & 0xc0) != 0x80)
			return 0;
	}
	return lead ? lead->follow + 1u : 0;
}

char *utf8_mend(char *text)
{
	size_t size = strlen(text);
	bool is_cut;

	for (size_t at = 0; at < size;) {
		size_t whole = character(text + at, size - at, &is_cut);

		if (is_cut)
			size = at;
		else if (whole == 0)
			text[at] = '?';
		at += whole > 0 ? whole : 1;
	}
	text[size] = '\0';
	return text;
}

size_t utf8_cut(const char *text, size_t size)
{
	bool is_cut = false;

	/* No character is longer than four bytes. */
	for (size_t back = 1; back <= 3 && back <= size; back++) {
		(void)character(text + size - back, back, &is_cut);
		if (is_cut)
			return size - back;
	}
	return size;
}
