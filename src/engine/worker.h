/* SPDX-License-Identifier: MIT */
/* A worker: one thread that runs stage code, one job at a time. See crew.h for how it meets the pump. */
#ifndef ENGINE_WORKER_H
#define ENGINE_WORKER_H

#include "engine/crew.h"

struct worker {
	struct crew *crew;
	pthread_t thread;
	struct sl_context context;
	void *own;                  /* the stage's worker struct */
	struct sl_writer *writers;  /* one per port, reused */
	struct sl_writer **outputs; /* pointers to them, as the stage wants them */
	bool has_ended;             /* source: produce said SL_END; it is not called again */
	struct job *uncommitted;    /* sink: written, not committed; in order */
	struct job **uncommitted_tail;
	uint64_t uncommitted_bytes;
	int64_t commit_at; /* monotonic: at the latest */
};

int worker_start(struct worker *worker, struct crew *crew, uint32_t index);
void worker_join(struct worker *worker);

#endif
