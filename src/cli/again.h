/* SPDX-License-Identifier: MIT */
/*
 * A command about the same pipeline, as it may be pasted into a shell: with the folders and parameters that this one was given, each word
 * quoted where a shell would take it for something else.
 */
#ifndef CLI_AGAIN_H
#define CLI_AGAIN_H

#include <stdio.h>

/* All borrowed. What is NULL was not given. */
struct again {
	const char *file;
	const char *const *sets; /* "NAME=VALUE", ends with NULL */
	const char *state;
	const char *runtime;
};

#define AGAIN_TEXT_MAX 2048 /* longer ones are cut */

/* "sluice COMMAND FILE --set NAME=VALUE --state DIR --runtime DIR", without a newline. */
void again_print(FILE *out, const char *command, const struct again *again);
/* The same behind `before`, as text. */
void again_text(char text[AGAIN_TEXT_MAX], const char *before, const char *command,
	const struct again *again);

#endif
