/* SPDX-License-Identifier: MIT */
/*
 * Text for people that was put together from what others said: cut to fit, perhaps inside a character, and with bytes of any
 * encoding. What reads it (JSON) wants UTF-8.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* In place: each byte that belongs to no whole character becomes '?', and a character that is cut at the end goes. Returns `text`. */
char *utf8_mend(char *text);
/* The size of `text` without the beginning of a character at its end. */
size_t utf8_cut(const char *text, size_t size);

#endif
