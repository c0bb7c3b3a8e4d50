/* SPDX-License-Identifier: MIT */
/*
 * Texts that are values: by the form of each alone, never by what came before or beside it, so that a record that is read again is the same.
 *
 *   true false                     boolean
 *   0 17 -5                        integer, when it fits 64 bits
 *   2.50 -1e9                      double, with at most 17 significant digits and within its range
 *   all else                       string: 007 +5 .5 1. -0 NaN True " 5", an empty one, integers that are too large
 *
 * So no text that is a name rather than a number (a post code, an article) loses what it had. A double keeps its value, not its form: 2.50 is 2.5.
 */
#ifndef RECORD_TYPED_H
#define RECORD_TYPED_H

#include <sluice/record.h>

void typed_put(struct sl_writer *w, const char *text, size_t size);
/* Would it be something else than a string? */
bool typed_is(const char *text, size_t size);

/* What a column says that it is. Leading zeros and + are part of a number there. False: it is none, and nothing was put. */
bool typed_put_int(struct sl_writer *w, const char *text, size_t size);
bool typed_put_double(struct sl_writer *w, const char *text, size_t size);
bool typed_put_bool(struct sl_writer *w, const char *text, size_t size);

#endif
