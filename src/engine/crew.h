/* SPDX-License-Identifier: MIT */
/*
 * The crew: the workers of an instance and the queues between them and the pump. A job goes from the pump to one
 * worker, or its records to several (segment.h), and comes back. The pump is woken through an eventfd; a worker by `wake`,
 * one with coroutines, or a source, by its loop.
 *
 * Thread rules: crew_* functions are the pump's; everything behind them is in worker.c. One lock, named in
 * struct crew, never held over stage code.
 */
#ifndef ENGINE_CREW_H
#define ENGINE_CREW_H

#include <pthread.h>

#include "engine/host.h"
#include "engine/keeper.h"
#include "link/inlet.h"
#include "link/outlet.h"

/* One call into stage code: a batch for a transform or a sink, or a cut for a source. */
struct job {
	/* given */
	struct delivery *delivery; /* NULL: a source's cut */
	uint64_t sequence;         /* in which the pump handed it out */
	uint64_t bytes;            /* of the input: what may come back out of it */
	uint32_t records;          /* of the input */
	uint32_t want;             /* source: records */
	size_t size_max;           /* source: bytes */
	bool is_repeat;            /* source: the cut was made before */
	struct keeper_repeat repeat;
	struct quarantine *quarantine; /* NULL: nothing is known of the batch */

	/* of a transform that takes single records: crew->lock */
	bool is_begun;
	uint32_t next; /* the first record that nobody has taken */
	uint32_t left; /* records that are not done */
	struct segment *segments;
	uint32_t tried; /* suspected records that were taken, each alone */
	bool is_apart;  /* one of them is in work */

	/* answered */
	struct outlet_output *outputs; /* one per port; NULL for a sink */
	uint32_t port_count;
	struct sl_cut cut;       /* source */
	char *origin_name;       /* source */
	bool is_end;             /* source: nothing more */
	bool is_canceled;        /* source: stopped, nothing was put */
	bool is_known;           /* sink: it has it already */
	bool is_refused;         /* the payload is malformed: nothing was done */
	uint64_t consumed, dead; /* records */
	int64_t work_ns;

	struct job *next_in_list; /* todo, done, or a worker's uncommitted */
	struct job *next_begun;   /* in begun */
};

void job_free(struct job *job);

/* A queue of jobs, singly linked. */
struct job_list {
	struct job *head;
	struct job **tail;
	uint32_t count;
};

struct worker;

struct crew {
	struct host *host;
	uint32_t worker_count;
	struct worker *workers;
	int wake_fd; /* eventfd: something is begun, done, started, finished or failed */

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t wake;  /* todo or is_finishing changed */
	struct job_list todo;
	struct job_list done;
	struct job_list begun; /* linked by next_begun */
	uint32_t waiting;      /* workers in `wake` */
	uint32_t started, stopped;
	bool is_finishing;
	bool is_complete; /* with is_finishing: end, not stop */
	bool has_failed;
	bool is_final;  /* with has_failed: restarting would not help */
	int error;      /* with has_failed: a negative errno */
	struct err err; /* with has_failed */
};

/* Starts the workers; each runs the stage's start, then reports (crew_started). 0 or negative errno. */
int crew_start(struct host *host, struct crew *crew, struct err *err);
/* Under the lock: there is something in todo. */
void crew_rouse(struct crew *crew);
/* Under the lock: the job is the first in todo again. */
void crew_put_back(struct crew *crew, struct job *job);
void crew_give(struct crew *crew, struct job *job);
/* Takes what has come back since: the two lists are the caller's. */
void crew_collect(struct crew *crew, struct job **ret_begun, struct job **ret_done);
bool crew_has_started(struct crew *crew);
/* 1 and the text: a worker failed and its process must exit; *ret_final: for good. */
int crew_has_failed(struct crew *crew, struct err *err, int *ret_error, bool *ret_final);
/* A source was told to stop: whatever its workers wait for answers -ECANCELED. Any thread. */
void crew_cancel(struct crew *crew);
/* After the last job: every worker commits, runs finish and stop, and ends. */
void crew_finish(struct crew *crew, bool is_complete);
bool crew_has_stopped(struct crew *crew);
/* Brings the workers' cpu_ns in the page up to date. */
void crew_show_cpu(struct crew *crew);
/* Joins the workers; only when crew_has_stopped. */
void crew_join(struct crew *crew);

#endif
