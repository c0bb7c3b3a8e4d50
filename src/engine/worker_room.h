/* SPDX-License-Identifier: MIT */
/*
 * What the files of the worker share: worker.c (its life: jobs and shares of them, taken and handed back) and worker_roles.c (what a job is to a
 * source, a transform and a sink). The worker's thread.
 */
#ifndef ENGINE_WORKER_ROOM_H
#define ENGINE_WORKER_ROOM_H

#include "engine/worker.h"

/* --- worker.c ------------------------------------------------------------------------------------- */

/* A callback of the stage begins, and has ended: into the slot. */
void worker_slot_enter(struct worker *worker);
void worker_slot_leave(struct worker *worker);

/* --- worker_roles.c ------------------------------------------------------------------------------- */

/* Runs the stage over a whole job. 0, or negative errno with the callback's `err`. */
int worker_run_role(struct worker *worker, struct job *job);
/* Of a sink: the job is handed back with the commit that covers it, which may be now. As above. */
int worker_keep_uncommitted(struct worker *worker, struct job *job);
/* Commits what is written, or lets the stage tick. As above. */
int worker_commit(struct worker *worker);
/* A source that was cancelled may wait again. */
void worker_forget_cancel(void);

#endif
