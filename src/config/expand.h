/* SPDX-License-Identifier: MIT */
/*
 * What a string of a config stands for: ${NAME} is a parameter of the command line (--set NAME=VALUE), else an environment
 * variable, ${NAME:-default} one with a default for when it is unset or empty, ${credential:NAME} the content of $CREDENTIALS_DIRECTORY/NAME (systemd's LoadCredential=)
 * without its last newline, and $${ a plain ${. Strings are expanded after the parse, so that a value cannot become
 * syntax.
 */
#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include <stdbool.h>

#include "base/err.h"
#include "config/arena.h"

#define EXPAND_CREDENTIAL_MAX (1 << 20)

/* Names that were asked for, and secrets that were given; newest first. */
struct expand_word {
	const char *text;
	const struct expand_word *next;
};

/* All 0: no parameters. Everything is in, or outlives, the arena. */
struct expand {
	struct arena *arena;
	const char *const *parameters; /* "NAME=VALUE", ends with NULL; may be NULL */
	const struct expand_word *asked;
	const struct expand_word *secrets;
	bool names_credentials; /* ${credential:NAME} stands for itself */
	unsigned missing; /* credentials that stood for themselves, since they are not there */
};

/* From now on a credential that is not there stands for itself, as ${credential:NAME}. Once, before any string, by who needs a part of a config only. */
void expand_do_without(void);

/* *ret_text lives as long as the arena, or is `text` itself. 0, -EINVAL (with text in err), -ENOMEM. */
int expand_string(struct expand *expand, const char *text, const char **ret_text, struct err *err);
/* The first parameter that no string has asked for, and the name that it may have meant (or NULL); NULL: there is none. */
const char *expand_unused(const struct expand *expand, const char **ret_meant);
/* Does it hold a secret, which no message may show? */
bool expand_is_secret(const char *text);

#endif
