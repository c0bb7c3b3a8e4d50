/* SPDX-License-Identifier: MIT */
/*
 * A worker: one thread that runs stage code: one job, or a part of one, at a time; or with coroutines as many records as it
 * may have tasks (tasks.h). See crew.h for how it meets the pump.
 */
#ifndef ENGINE_WORKER_H
#define ENGINE_WORKER_H

#include "engine/crew.h"
#include "engine/memory.h"

struct worker {
	struct crew *crew;
	pthread_t thread;
	clockid_t clock;   /* of the thread's computing */
	int64_t cpu_shown; /* how much of it the page has: crew->lock */
	bool has_left;     /* the thread ends: crew->lock */
	struct page_worker *slot;
	struct callback callback;
	struct memory memory;
	void *own;                   /* the stage's worker struct */
	struct sl_writer *writers;   /* one per port, for whole batches */
	struct sl_writer **outputs;  /* pointers to them, as the stage wants them */
	_Atomic(struct loop *) loop; /* of a source, or with coroutines: to wake it */
	_Atomic uint32_t in_hand;    /* records of its tasks */
	bool is_hungry;              /* has room for more, and waits: crew->lock */
	struct loop_setup setup;
	int64_t held_quiet_until;
	uint32_t owed;           /* source: records put whose rate is to be waited for */
	uint64_t left;           /* source: records that it may read; UINT64_MAX: all */
	bool has_ended;          /* source: produce said SL_END; it is not called again */
	struct job *uncommitted; /* sink: written, not committed; in order */
	struct job **uncommitted_tail;
	uint64_t uncommitted_bytes;
	int64_t commit_at; /* monotonic: at the latest */
};

/* For tasks.c: to the pump. */
void worker_done(struct crew *crew, struct job *first, struct job **last);
void worker_fail(struct crew *crew, struct callback *callback, int error);
void worker_wake_pump(struct crew *crew);
/*
 * The next records to be done, [at, end) of a job; at most `limit`, and not more than this worker's share. 1; 0: none at hand; -ENOMEM.
 * An empty batch is a stretch without records, to be ended too.
 */
struct stretch {
	struct job *job;
	uint32_t at, end;
};
int worker_take(struct worker *worker, uint32_t limit, struct stretch *ret_stretch);

/* Puts what it has computed since the last time into its slot. Under the lock. */
void worker_show_cpu(struct worker *worker);
int worker_start(struct worker *worker, struct crew *crew, uint32_t index);
void worker_join(struct worker *worker);

#endif
