/* SPDX-License-Identifier: MIT */
/*
 * Which run this is: STATE/run names the last one and how it ended, so that the next start knows whether to go on in it. A text file of
 * `key value` lines, replaced as a whole. The supervisor's; stages hear of it in START.
 */
#ifndef SUPERVISOR_RESUME_H
#define SUPERVISOR_RESUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "supervisor/plan.h"

enum resume_mode {
	RESUME_UNFINISHED, /* goes on in a run that did not end; after one that did, from nothing */
	RESUME_ALWAYS,     /* goes on where the checkpoints stand */
	RESUME_NEVER,      /* from nothing */
	RESUME_APART,      /* no run of this pipeline: nothing is written down */
};

struct resume {
	uint64_t run;
	uint64_t series; /* the number of its first run */
	bool is_resumed; /* the run was begun before */
	bool must_go_back; /* ... and the machine was started anew since: to the last point (state/point.h) */
	bool boot_is_unknown; /* nobody could say later whether it was */
	bool accept_mixed;    /* given by the caller */
};

/* `ret_note`: what to tell a person, "" for nothing. 0 or negative errno. */
int resume_begin(const struct plan *plan, enum resume_mode mode, struct resume *ret, char *ret_note,
	size_t note_size, struct err *err);
/* It has: the next start needs not. */
int resume_went_back(const struct plan *plan, const struct resume *resume, struct err *err);
/* The run has come to its end, or was stopped with all settled. After a failure it is not called. */
int resume_end(
	const struct plan *plan, const struct resume *resume, bool is_stopped, struct err *err);
/* Never 0. */
uint64_t resume_random(void);
/* Did the last run end in the middle of its work? */
bool resume_is_unsettled(const struct plan *plan);

#endif
