/* SPDX-License-Identifier: MIT */
/*
 * What no line may show: the credentials of a config. Whoever writes text for people asks here last, so that a secret stays one
 * wherever it slipped into a message: a stage's, a library's, a program's. Known are the text itself, each longer line of it, and
 * its forms in a URL and in JSON. Below four bytes nothing is hidden: "no" would be, in half of all lines.
 *
 * Added before there is a second thread, or by the only one; never removed.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>

#define SECRET_MIN 4
#define SECRETS_MAX 1024

/* A copy is kept. 0, -ENOMEM, or -E2BIG: there are too many. */
int secret_add(const char *text);
/* Writes *** over each, in place; the text only becomes shorter. Returns `text`. */
char *secret_hide(char *text);

#endif
