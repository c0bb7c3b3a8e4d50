/* SPDX-License-Identifier: MIT */
/* `sluice dead`, as sluice-stage answers it: only stage processes know SQLite. */
#ifndef ENGINE_LETTERS_H
#define ENGINE_LETTERS_H

#include "state/dead.h"

extern const struct sl_stage letters_source;

/*
 * `action`: list, show, export, purge, or last: the highest id of what was chosen, and how many that is, as two numbers. The exit
 * status.
 */
int letters_answer(const char *action, const char *state, const struct dead_choice *choice);

#endif
