/* SPDX-License-Identifier: MIT */
/* See problems.h. */
#include "config/problems.h"

#include <errno.h>
#include <stdlib.h>

#include "config/text.h"

void problems_init(struct problems *problems, struct arena *arena)
{
	*problems = (struct problems){ .arena = arena };
}

void problems_fini(struct problems *problems)
{
	free(problems->items);
	*problems = (struct problems){ 0 };
}

static struct problem *add(struct problems *problems)
{
	if (problems->count == problems->capacity) {
		unsigned capacity = problems->capacity > 0 ? problems->capacity * 2 : 16;
		struct problem *items = reallocarray(problems->items, capacity, sizeof(*items));

		if (!items)
			return NULL;
		problems->items = items;
		problems->capacity = capacity;
	}
	return &problems->items[problems->count++];
}

static void vadd(
	struct problems *problems, bool is_error, unsigned line, const char *format, va_list args)
{
	const char *text = arena_vprintf(problems->arena, format, args);
	struct problem *problem = add(problems);

	problems->error_count += is_error;
	if (!problem)
		problems->arena->error = -ENOMEM;
	else
		*problem = (struct problem){
			.is_error = is_error,
			.line = line,
			.ordinal = problems->count,
			.text = text ? text : "no memory to say what is wrong",
		};
}

void problems_error(struct problems *problems, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vadd(problems, true, line, format, args);
	va_end(args);
}

void problems_warning(struct problems *problems, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vadd(problems, false, line, format, args);
	va_end(args);
}

bool problems_is_marred(const struct problems *problems, unsigned line)
{
	for (unsigned i = 0; i < problems->raw_count; i++)
		if (problems->items[i].is_error && problems->items[i].line == line)
			return true;
	return false;
}

static int compare(const void *left, const void *right)
{
	const struct problem *a = left, *b = right;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->ordinal < b->ordinal ? -1 : 1;
}

void problems_report(
	struct problems *problems, const struct text *text, load_problem_fn *report, void *user)
{
	if (problems->count > 0)
		qsort(problems->items, problems->count, sizeof(*problems->items), compare);
	for (unsigned i = 0; i < problems->count; i++) {
		const struct problem *problem = &problems->items[i];
		struct text_place place = text_place(text, problem->line);

		report(user, problem->is_error, place.file, place.line, problem->text);
	}
}
