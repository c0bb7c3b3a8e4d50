/* SPDX-License-Identifier: MIT */
/*
 * The cgroup of one instance, in the tree of groups.h: its process is born into it, and so is whatever that starts. It is made before the
 * process and removed, with what is left in it, when that has ended: so all that it counts is of one process's life.
 *
 * Whether a process that was killed by SIGKILL was killed for want of memory is seen from the counts of its group. A program that it
 * runs may have been killed before, and it lives; so only what was counted lately says something about its own end.
 */
#ifndef SUPERVISOR_GROUP_H
#define SUPERVISOR_GROUP_H

#include <stdint.h>

#include "base/err.h"
#include "config/graph.h"
#include "supervisor/groups.h"

/* Of memory.events.local. */
struct group_events {
	uint64_t
		at_limit; /* times that the group had no more than its own limit, and somebody was to be killed */
	uint64_t kills; /* processes of the group that were killed, for its limit or another */
};

struct group {
	int folder; /* -1: none */
	int enter;  /* a process that writes "0" here is in it */
	struct group_events seen;
	struct group_events old; /* those that are no news */
	int64_t seen_ns;
};

/* What one instance uses; UINT64_MAX: not known. */
struct group_use {
	bool is_there; /* it has a group */
	uint64_t memory, memory_peak, memory_max;
	uint64_t tasks, tasks_max;
	uint64_t cpu_weight;
	uint64_t kills; /* processes that were killed for want of memory */
};

enum group_end {
	GROUP_OTHERWISE, /* memory was not the reason */
	GROUP_AT_LIMIT,  /* it needed more than its memory_max */
	GROUP_OUTSIDE,   /* the machine, or a group above, had no more */
};

/* None. */
void group_init(struct group *group);
/*
 * A group `name` with the limits of `stage`, as far as there are controllers. Without a tree: 0, and there is none. Negative errno with
 * `err`: a limit cannot be set.
 */
int group_make(const struct groups *groups, const char *name, const struct graph_stage *stage,
	struct group *group, struct err *err);
/* The process has ended. What it has left in the group is killed. */
void group_remove(const struct groups *groups, const char *name, struct group *group);

/* Looks at what was counted. How many processes were killed that are no news now, and were not dismissed: 0 nearly always. */
uint64_t group_look(struct group *group, int64_t now);
/* They were programs: the process itself goes on. */
void group_dismiss(struct group *group);
/* The process was ended by SIGKILL just now: why? */
enum group_end group_why(struct group *group);
struct group_use group_use(const struct group *group);

/* --- for tests ---------------------------------------------------------------------------------- */

/* The number behind `key` in the lines "key number"; 0 where there is none. */
uint64_t group_parse_count(const char *text, const char *key);
/* A file of one number; UINT64_MAX: "max", or no number. */
uint64_t group_parse_number(const char *text);

#endif
