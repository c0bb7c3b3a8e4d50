/* SPDX-License-Identifier: MIT */
/*
 * The table of a process, and the thread that reads it, at first and again when it has changed. The old table is looked into until the new one is whole, and
 * for as long as somebody has it. What is to be said is left for a worker, since only those have a log.
 */
#ifndef STAGES_LOOKUP_KEEPER_H
#define STAGES_LOOKUP_KEEPER_H

#include "table.h"

struct keeper;

/* NULL: no memory. The options are borrowed. */
struct keeper *keeper_new(const struct lookup *options);
/* Stops the thread; nobody may have a table. */
void keeper_free(struct keeper *keeper);
/* Starts the thread, if it does not run. Any thread. 0 or a negative errno. */
int keeper_start(struct keeper *keeper);
/* 1: there is a table; 0: not yet; or why there will be none. Any thread. */
int keeper_look(struct keeper *keeper, struct problem *ret);

/* There is a table. Any thread. */
struct version;
struct version *keeper_take(struct keeper *keeper);
void keeper_give(struct keeper *keeper, struct version *version);
const struct table *version_table(const struct version *version);

struct message {
	enum sl_level level;
	char text[700];
};
/* Something to be said, once. Any thread; cheap. */
bool keeper_hear(struct keeper *keeper, struct message *ret);

#endif
