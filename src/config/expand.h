/* SPDX-License-Identifier: MIT */
/*
 * What a string of a config stands for: ${NAME} is an environment variable, ${NAME:-default} one with a default for when
 * it is unset or empty, ${credential:NAME} the content of $CREDENTIALS_DIRECTORY/NAME (systemd's LoadCredential=)
 * without its last newline, and $${ a plain ${. Strings are expanded after the parse, so that a value cannot become
 * syntax.
 */
#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include <stdbool.h>

#include "base/err.h"
#include "config/arena.h"

#define EXPAND_CREDENTIAL_MAX (1 << 20)

/* *ret_text lives as long as the arena, or is `text` itself. 0, -EINVAL (with text in err), -ENOMEM. */
int expand_string(struct arena *arena, const char *text, const char **ret_text, struct err *err);
/* Does it hold a secret, which no message may show? */
bool expand_is_secret(const char *text);

#endif
