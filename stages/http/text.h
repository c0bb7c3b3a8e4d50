/* SPDX-License-Identifier: MIT */
/*
 * Text that grows, in a struct sl_writer used as a plain buffer, and why something cannot be. An allocation that fails is
 * sticky in the writer: only text_end need be looked at.
 */
#ifndef STAGES_HTTP_TEXT_H
#define STAGES_HTTP_TEXT_H

#include <sluice/record.h>

/* For people. Says no secret: neither a header's value nor the user part of an address. */
struct reason {
	char text[400];
};

/* Sets the text; returns `error`. */
int reason_set(struct reason *reason, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void text_put(struct sl_writer *w, const char *data, size_t size);
void text_put_cstr(struct sl_writer *w, const char *text);
/* The text, 0-terminated, good until the next put; NULL: no memory. */
const char *text_end(struct sl_writer *w);

bool text_is_utf8(const char *text, size_t size);
/* Holds a byte that would end a header line, or that has no business in one. */
bool text_has_control(const char *text, size_t size);

#endif
