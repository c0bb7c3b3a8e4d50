/* SPDX-License-Identifier: MIT */
/* What is decided about a child: its states as a table, and whether it may be restarted, and when. No I/O. */
#ifndef SUPERVISOR_POLICY_H
#define SUPERVISOR_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "config/graph.h"

enum child_state {
	CHILD_NEW,      /* never started */
	CHILD_STARTING, /* spawned, not READY */
	CHILD_RUNNING,  /* READY */
	CHILD_LEAVING,  /* said DONE */
	CHILD_WAITING,  /* died; its successor starts after the backoff */
	CHILD_FINISHED, /* exit 0 after DONE */
	CHILD_FAILED,   /* died and is not replaced */
	CHILD_STATES,
};

enum child_event {
	CHILD_SPAWN,
	CHILD_READY,
	CHILD_DONE,
	CHILD_EXIT,    /* 0 */
	CHILD_DEATH,   /* any other end, to be followed by a successor */
	CHILD_GIVE_UP, /* any other end, the last */
	CHILD_EVENTS,
};

extern const int child_table[CHILD_STATES][CHILD_EVENTS];
extern const char *const child_state_names[CHILD_STATES];
/* The next state, or -EPROTO. */
int child_next(enum child_state state, enum child_event event);

/* Deaths within `restart_within` that may be held against records: a stage that dies of more is not well itself. */
#define POLICY_QUARANTINE_MAX 200

/* The deaths of one stage that still count. */
struct policy {
	int64_t *deaths; /* monotonic ns, oldest first; malloc()ed */
	uint32_t count, capacity;
};

/*
 * A death at `now`: true and the time to wait before the successor starts, 0 for the first; false: that is one too many, or there is no memory.
 */
bool policy_restart(
	struct policy *policy, const struct graph_stage *stage, int64_t now, int64_t *ret_wait_ns);
void policy_fini(struct policy *policy);

/* A death that is held against a record, with a policy of its own: true, and the successor starts at once; false: one too many. */
bool policy_quarantine(struct policy *policy, const struct graph_stage *stage, int64_t now);

#endif
