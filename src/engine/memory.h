/* SPDX-License-Identifier: MIT */
/*
 * The memory of a sink with SL_REMEMBERED: the names of the batches that it has committed, kept with its mark in one step, so
 * that no batch is written twice and a successor knows where to go on. One per worker; its thread.
 */
#ifndef ENGINE_MEMORY_H
#define ENGINE_MEMORY_H

#include "engine/crew.h"
#include "state/committed.h"

struct memory {
	struct committed *store;
	void *mark; /* what sl_remember said last */
	size_t mark_size;
	bool has_mark;    /* since it was kept last */
	bool has_repeats; /* since then, a batch was given again */
	void *recalled;
	size_t recalled_size;
};

enum memory_known { MEMORY_NEW, MEMORY_WRITTEN, MEMORY_COMMITTED };

/* All: negative errno with callback->err. Before start: what a predecessor remembered is there for sl_recall. */
int memory_open(struct memory *memory, struct callback *callback);
/* After start: what it said there holds from now on, the first time also over a power cut. */
int memory_started(struct callback *callback);
/* An enum memory_known; unless it is new, the job's counts are set. `uncommitted`: jobs written since the last commit, linked by next_in_list. */
int memory_recognise(struct callback *callback, const struct job *uncommitted, struct job *job);
/* The stage has committed what these jobs wrote. */
int memory_keep(struct callback *callback, const struct job *uncommitted);
void memory_fini(struct memory *memory);

#endif
