/* SPDX-License-Identifier: MIT */
/*
 * The mistakes found so far. They are collected, because one pass after another looks at the config, and reported at
 * the end in the order of the text. A line here is one of the flattened text (text.h); 0 is the file as a whole.
 */
#ifndef CONFIG_PROBLEMS_H
#define CONFIG_PROBLEMS_H

#include <stdbool.h>

#include "config/arena.h"
#include "config/load.h"

struct text;

struct problem {
	bool is_error;
	unsigned line;
	unsigned ordinal; /* in which it was found: orders what stands in one line */
	const char *text;
};

struct problems {
	struct arena *arena; /* borrowed; holds the texts */
	struct problem *items;
	unsigned count;
	unsigned capacity;
	unsigned error_count;
	unsigned raw_count; /* the first ones, which are about the raw text */
};

void problems_init(struct problems *problems, struct arena *arena);
void problems_fini(struct problems *problems);
void problems_error(struct problems *problems, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void problems_warning(struct problems *problems, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Is there a mistake in the raw text of that line? What follows from it need not be said, too. */
bool problems_is_marred(const struct problems *problems, unsigned line);
void problems_report(
	struct problems *problems, const struct text *text, load_problem_fn *report, void *user);

#endif
