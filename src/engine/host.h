/* SPDX-License-Identifier: MIT */
/*
 * An instance: one process of a stage. The *pump* thread owns every ZeroMQ socket, the ledger and the words to the
 * supervisor; *workers* run stage code. They meet in the crew (crew.h) and nowhere else.
 *
 *      words ---+                    +--> worker 0 --+
 *   inlets -----+--> pump --- jobs --+--> worker 1 --+--- done jobs --> pump --> outlets
 *                                    +--> ...       -+
 *
 * struct host is constant once the workers run, but for what is marked.
 */
#ifndef ENGINE_HOST_H
#define ENGINE_HOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "config/graph.h"
#include "record/batch.h"
#include "state/dead.h"
#include "stats/page.h"
#include "task/task.h"
#include <sluice/stage.h>

struct host {
	const struct graph *graph;
	const struct graph_stage *stage;
	const struct sl_stage *impl;
	uint32_t stage_index;
	uint32_t instance;
	uint32_t epoch;
	uint64_t run;
	uint64_t series;
	uint64_t term; /* see base/word.h */
	uint64_t
		salt; /* of the origins of a source that cannot resume: nobody else's positions are meant */
	bool accept_mixed;
	void *shared; /* the stage's shared struct */
	struct page *page;
	struct page_shared *shared_page;
	struct keeper *keeper;       /* of a source that resumes; NULL */
	const char *state;           /* folder */
	int listener;                /* of a source that listens; -1: none */
	_Atomic(const char *) phase; /* of the pump, for who looks at a process that stands still */
	char full_name[256];         /* "orders/save" */
	atomic_bool stopping;        /* a source reads no more */
	atomic_bool pausing;         /* ... for now */

	pthread_mutex_t dead_lock;
	struct dead *dead;        /* dead_lock; opened by the first who needs it */
	bool dead_waits;          /* dead_lock; for space on the disk: said */
	int64_t dead_quiet_until; /* dead_lock; the next time is not said before */
};

struct keeper_repeat;
struct memory;
struct owed_letter;

/*
 * What stands behind the sl_context that a callback is given, and those of the members of its groups: which host, which
 * worker, and what the callback has said. One thread.
 */
struct callback {
	struct sl_context context; /* of the thread itself; a task has its own */
	struct host *host;
	struct page_worker *slot;           /* NULL: not a worker */
	struct memory *memory;              /* NULL: the stage is none that remembers */
	const struct sl_batch *batch;       /* that it works on; NULL: a source */
	const struct sl_cut *cut;           /* of a source */
	const struct keeper_repeat *repeat; /* of a source: that it makes again; NULL: none */
	uint32_t index; /* of the record, of a stage that is given single ones */
	uint32_t kind;  /* enum page_work_kind: what of it the stage is working on now */
	const struct sl_batch
		*part;          /* of `batch`, that the stage was given instead; NULL: all of it */
	const uint32_t *places; /* of the part's records in it */
	uint32_t attempts;      /* of that record, this one included */
	uint64_t dead;          /* records rejected since it was last taken back to 0 */
	struct owed_letter *owed,
		**owed_tail; /* dead letters that found no space on the disk, in order */
	int64_t waited_ns;   /* see sl_waited; since the same */
	bool must_stop;      /* a record was rejected under on_error = "stop" */
	int64_t retry_at;    /* what sl_retry asked for */
	struct err err;      /* what sl_error or sl_retry said last */
};

/* The origin by which a source's positions are known; 0 stays that of a source that resumes. */
static inline uint64_t host_origin(const struct host *host, uint64_t origin)
{
	return origin ^ host->salt;
}

void callback_init(struct callback *callback, struct host *host, struct page_worker *slot);
/*
 * 1: the record that the callback is to work on became a dead letter before its batch was given again: that was its fate. 0; negative errno
 * with callback->err.
 */
int callback_is_dead(struct callback *callback);
/* As sl_reject, with a reason that is known. */
void callback_reject(
	struct callback *callback, const char *where, struct sl_value record, const char *reason);
/*
 * When the stage has returned, before what it did counts: waits until the dead letters that found no space are in the store. `ctx`: of the task, or
 * the thread, that calls. 0; negative errno with callback->err.
 */
int callback_keep_owed(struct callback *callback, struct sl_context *ctx);

/* The life of a stage process, from START to its exit status. `words` is the socket to the supervisor. */
int host_main(int words);

#endif
