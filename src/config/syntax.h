/* SPDX-License-Identifier: MIT */
/*
 * Why libconfig refused a text. libconfig says "syntax error" and a line, often a later one; this reads the text by the
 * same grammar, finds the first place that does not fit, and says what to write instead. It only explains:
 * what is right and what is wrong, libconfig decides.
 */
#ifndef CONFIG_SYNTAX_H
#define CONFIG_SYNTAX_H

#include "config/text.h"

/* Adds one error. `line` and `reason` are libconfig's, used when nothing better is found. */
void syntax_explain(
	const struct text *text, struct problems *problems, unsigned line, const char *reason);

#endif
