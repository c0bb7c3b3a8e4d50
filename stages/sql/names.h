/* SPDX-License-Identifier: MIT */
/*
 * Names in a text of SQL. Fields are not known before the records come, so whatever a text names may be one, and is a column of `input` from
 * the beginning: were it not, SQLite could find the name in another table (json_each has an `id`), and give that without a word.
 */
#ifndef STAGES_SQL_NAMES_H
#define STAGES_SQL_NAMES_H

#include "input.h"

/* Adds all that could be a column: no keyword, no function, no alias. *ret_is_compound: it has a UNION or the like. 0 or -ENOMEM. */
int names_add(struct input *input, const char *text, bool *ret_is_compound);

/* SQLite's message "no such column: t.name" -> name; false for any other message. */
bool names_missing(const char *message, char *name, size_t size);

#define NAMES_HINT_SIZE 160
/*
 * SQLite does not understand `text` at the byte `at`, and says `message`: if a name is the reason that needs quotes, since it is a keyword or has spaces, `hint` says so,
 * as the end of a message; else it is "".
 */
void names_hint(const char *message, const char *text, size_t at, char *hint, size_t size);

#endif
