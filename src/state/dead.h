/* SPDX-License-Identifier: MIT */
/*
 * Dead letters: records that a stage gave up on, each with its reason, until somebody looks at them. One store per pipeline
 * (dead.db). A letter is named by the batch that it was in, the stage and its place in the batch: the same one is kept once,
 * however often the batch is given out. One thread at a time.
 */
#ifndef STATE_DEAD_H
#define STATE_DEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "record/batch.h"
#include "state/store.h"

extern const struct store_kind dead_kind;

struct dead;

struct dead_letter {
	int64_t id;         /* counts up; 0 in dead_put */
	struct batch_id in; /* `end` is not part of the name: a source does not know it yet */
	const char *stage;
	uint32_t index; /* in the batch; in a source: how many it had refused of the cut before */
	uint32_t attempts; /* >= 1 */
	int64_t time;      /* UTC, ns since 1970 */
	const char *where; /* "data.csv:17"; NULL: the stage does not say */
	const char *reason;
	const char *record; /* MessagePack; NULL: it could not even be read */
	size_t record_size;
};

/* `may_make` as store_open. */
int dead_open(const char *state, bool may_make, struct dead **ret_dead, struct err *err);
void dead_close(struct dead *dead);

/* 1: kept; 0: it is there already; negative errno: it is not kept. */
int dead_put(struct dead *dead, const struct dead_letter *letter, struct err *err);
/* 1: there is a letter of that name; 0; negative errno. */
int dead_has(struct dead *dead, const struct batch_id *in, const char *stage, uint32_t index,
	struct err *err);

/* Which of them: all of a stage (NULL: of any), one id (0: any), up to an id (0: no limit), those with their record only. */
struct dead_choice {
	const char *stage;
	int64_t id;
	int64_t last;
	bool is_whole;
};

typedef int dead_each_fn(void *user, const struct dead_letter *letter); /* not 0: no more */
/* In the order in which they came, begin with those after id `after`; what `each` returned, or a negative errno. */
int dead_walk(struct dead *dead, const struct dead_choice *choice, int64_t after,
	dead_each_fn *each, void *user, struct err *err);
/* Removes them; how many. */
int64_t dead_purge(struct dead *dead, const struct dead_choice *choice, struct err *err);

#endif
