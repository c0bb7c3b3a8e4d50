/* SPDX-License-Identifier: MIT */
/* Processes that are killed for want of memory: found out, and said. The supervisor's thread. */
#ifndef SUPERVISOR_STARVED_H
#define SUPERVISOR_STARVED_H

#include <signal.h>

#include "supervisor/group.h"
#include "supervisor/supervisor_room.h"

/* The child was reaped: was it that? Then its reason says so, and a line of its own. Before its group is removed. */
enum group_end starved_note(struct child *child, const siginfo_t *info);
/* It has a memory_max, and has ended with an error because it was given no more for what it worked on. */
bool starved_has_no_more(const struct child *child);
/* Every now and then: says which child goes on without a program that was killed. */
void starved_tick(struct supervisor *s, int64_t now);

#endif
