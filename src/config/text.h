/* SPDX-License-Identifier: MIT */
/*
 * The raw text of a config: the file with everything that it includes, flattened into one, and a map back to where
 * each line came from. Flattening here, instead of leaving `@include` to libconfig, gives every version the same rules
 * (relative to the including file's folder, absolute paths as they are) and every problem its own file and line.
 */
#ifndef CONFIG_TEXT_H
#define CONFIG_TEXT_H

#include <stddef.h>

#include "config/arena.h"
#include "config/problems.h"

#define TEXT_SIZE_MAX (4 << 20) /* of the flattened text */
#define TEXT_INCLUDE_DEPTH_MAX 10

struct text_span; /* lines in a row of one file */

struct text {
	struct arena *arena; /* borrowed */
	const char *path;    /* of the config, as it was given */
	char *data;          /* 0-terminated, ends with a newline */
	size_t size;
	size_t capacity;
	unsigned line; /* the line that is being written */
	struct text_span *spans;
	unsigned span_count;
	unsigned span_capacity;
};

struct text_place {
	const char *file; /* lives as long as the text's arena */
	unsigned line;
};

/* Reads `path` and what it includes. 0, or a negative errno when something could not be read (all of it reported). */
int text_load(struct text *text, struct arena *arena, struct problems *problems, const char *path);
void text_fini(struct text *text);
struct text_place text_place(const struct text *text, unsigned line);

/*
 * What libconfig would accept silently: integers that do not fit their type, a comment that never ends.
 */
void text_check(const struct text *text, struct problems *problems);

/* A copy of one line, without the blanks around it, cut to what fits a message. */
const char *text_quote(const struct text *text, unsigned line);

#endif
