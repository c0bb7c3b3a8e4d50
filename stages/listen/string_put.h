/* SPDX-License-Identifier: MIT */
/* Text of which nothing is known, as a string of a record. */
#ifndef STAGES_LISTEN_STRING_PUT_H
#define STAGES_LISTEN_STRING_PUT_H

#include <sluice/record.h>

#include "../http/text.h"

bool string_is_blank(const char *text, size_t size);
/* As it is, if it is UTF-8; else each byte as the character of Latin-1, of which every text is one. */
void string_put(struct sl_writer *out, const char *text, size_t size);

#endif
