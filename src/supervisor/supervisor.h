/* SPDX-License-Identifier: MIT */
/*
 * The supervisor: one process per instance, and nothing of the data. An sd-event loop over the children's pidfds,
 * their words and their stderr, signals and timers. One thread. It opens no ZeroMQ socket, loads no stage and
 * reads no record.
 *
 * Whoever runs it (cli/) shows what happens through struct supervisor_view.
 */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include <sys/types.h>

#include "base/log.h"
#include "stats/page.h"
#include "supervisor/fill.h"
#include "supervisor/group.h"
#include "supervisor/plan.h"
#include "supervisor/policy.h"
#include "supervisor/resume.h"

struct supervisor;

/* One instance as it is now; borrowed from the supervisor during a callback. */
struct supervisor_child {
	uint32_t stage;
	uint32_t instance;
	enum child_state state;
	pid_t pid; /* 0: none */
	uint32_t restarts;
	const struct page *page;
};

struct supervisor_view {
	/* A line for people. */
	void (*line)(void *user, const struct log_line *line);
	/* All stages are ready. */
	void (*ready)(void *user);
	/* A stop was asked for: the pipeline drains. */
	void (*stopping)(void *user);
	/* A reload has begun (true), or has been refused after that (false); when it is done, `ready` is called. */
	void (*reloading)(void *user, bool is_under_way);
	/* The data stand still, and nothing that the supervisor can do helps. True: somebody else does; false: the pipeline fails. */
	bool (*stuck)(void *user, const char *reason);
	/* Every 200 ms, and once at the end. */
	void (*tick)(void *user, const struct supervisor *supervisor);
	void *user;
};

enum supervisor_end {
	SUPERVISOR_SETTLED = 0, /* everything that was read is settled */
	SUPERVISOR_FAILED = 1,  /* gave up, or was stopped at once, or a leak */
	SUPERVISOR_DEAD = 3,    /* settled, but records were given up */
};

struct supervisor_result {
	enum supervisor_end end;
	bool is_stopped;       /* by a signal, not by the end of input */
	bool has_counts;       /* the tally is whole: no source was lost */
	const uint64_t *tally; /* tally_size cells; borrowed until supervisor_free */
	uint64_t given_up;     /* records, of the tally: ... */
	uint64_t letters;      /* ... of these are dead letters; the others were dropped */
	int64_t elapsed_ns;
	char reason[1200]; /* of FAILED */
};

/* How to begin. */
struct supervisor_start {
	enum resume_mode mode;
	bool accept_mixed; /* of records that two shapes of the graph have worked on */
};

/* Begins a reload: 0; negative errno and why it cannot be. */
int supervisor_reload(struct supervisor *supervisor, struct err *err);

/* Runs the plan to its end; a reload puts another graph into it. Blocks SIGINT, SIGTERM and SIGCHLD while it does. 0 or negative errno with `err`. */
int supervisor_run(struct plan *plan, struct supervisor_start start,
	const struct supervisor_view *view, struct supervisor **ret_supervisor, struct err *err);
void supervisor_result(const struct supervisor *supervisor, struct supervisor_result *ret);
void supervisor_free(struct supervisor *supervisor);

/* --- for control.c ------------------------------------------------------------------------------ */

enum supervisor_state {
	SUPERVISOR_STARTING, /* not all stages are ready */
	SUPERVISOR_RUNNING,
	SUPERVISOR_STOPPING, /* drains */
	SUPERVISOR_FAILING,  /* the processes are being killed */
};

/* Borrowed from the supervisor until anything happens to it. */
struct supervisor_now {
	enum supervisor_state state;
	uint64_t run;
	int64_t started_ns;    /* monotonic */
	const char *reason;    /* of FAILING */
	const uint64_t *tally; /* of those sources that have finished */
};

struct supervisor_now supervisor_now(const struct supervisor *supervisor);
/* Sources stop, what was read is settled, the end. A second time: nothing. */
void supervisor_drain(struct supervisor *supervisor);
/* Everything ends now; `by` says who wants it: "a second Ctrl-C". */
void supervisor_stop(struct supervisor *supervisor, const char *by);
/* Is everything well, or being mended? */
bool supervisor_is_moving(const struct supervisor *supervisor);
/* Is what is written being brought to the disk, or back from it? That may take long. */
bool supervisor_is_on_disk(const struct supervisor *supervisor);
/* Asks child i for its counts: WORD_TALLY_NOW. False: it is no source that could tell. */
bool supervisor_ask_tally(struct supervisor *supervisor, uint32_t i);

const struct graph *supervisor_graph(const struct supervisor *supervisor);
const struct plan *supervisor_plan(const struct supervisor *supervisor);
uint32_t supervisor_child_count(const struct supervisor *supervisor);
struct supervisor_child supervisor_child(const struct supervisor *supervisor, uint32_t i);
/* What it uses of memory, threads and processor, read now. */
struct group_use supervisor_use(const struct supervisor *supervisor, uint32_t i);
/* How full the store is that begins with that stage; false: none does. */
bool supervisor_fill(const struct supervisor *supervisor, uint32_t in, struct fill *ret);

#endif
