/* SPDX-License-Identifier: MIT */
/*
 * What a sink has committed, for sinks whose target cannot hold it: names of batches, and for each instance the mark that goes
 * with them, in one transaction. One store per stage, shared by its instances. A connection is one thread's.
 */
#ifndef STATE_COMMITTED_H
#define STATE_COMMITTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "record/batch.h"
#include "state/store.h"

struct committed;

/* What the stage's store is; its name is written into `name`. For point.c, which reads and writes the whole of it. */
#define COMMITTED_NAME_MAX 96
struct store_kind committed_kind(const char *stage, char name[COMMITTED_NAME_MAX]);

int committed_open(const char *state, const char *stage, struct committed **ret, struct err *err);
void committed_close(struct committed *committed);

/*
 * 1: it is committed, with *ret_dead of its records given up (0 when its name is forgotten, or it was a part of a larger one, which a source may
 * cut otherwise after a power cut); 0; negative errno.
 */
int committed_has(struct committed *committed, const struct batch_id *id, uint64_t *ret_dead,
	struct err *err);

/*
 * One transaction: committed_begin, committed_add for each batch, committed_end with the instance's mark. Names that ended below a batch's
 * floor are forgotten: whatever is below it counts as committed. `is_new`: that it is there already is refused (-EALREADY). 0 or negative errno:
 * then nothing of it is kept.
 */
int committed_begin(struct committed *committed, struct err *err);
int committed_add(struct committed *committed, const struct batch_head *head, uint64_t dead,
	bool is_new, struct err *err);
int committed_end(struct committed *committed, uint64_t run, uint32_t instance, const void *mark,
	size_t size, struct err *err);

/* 1: the instance's mark of that run, malloc()ed; 0: there is none; negative errno. */
int committed_recall(struct committed *committed, uint64_t run, uint32_t instance, void **ret_mark,
	size_t *ret_size, struct err *err);
/* What was written by now, in the memory of the kernel only, is safe from a power cut. */
int committed_sync(struct committed *committed, struct err *err);

#endif
