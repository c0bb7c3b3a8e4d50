/* SPDX-License-Identifier: MIT */
/*
 * One child: an instance's process, its words, its stderr. Spawning and reading only; what follows from a word or a
 * death is decided in supervisor.c.
 */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include <systemd/sd-event.h>

#include "base/log.h"
#include "base/word.h"
#include "supervisor/group.h"
#include "supervisor/supervisor.h"

struct child {
	struct supervisor *supervisor;
	uint32_t stage;
	uint32_t instance;
	char name[64]; /* "vat.1" */
	enum child_state state;
	uint32_t epoch; /* of the process that is there, or was last; 0: none yet */
	pid_t pid;
	uint32_t restarts;
	uint64_t *tally; /* of a source: what it has settled; NULL: not said */
	int words;       /* -1: none */
	int errors;      /* the read end of its stderr; -1: none */
	int page_fd;
	struct page *page;
	struct group group;
	uint64_t data_max; /* RLIMIT_DATA of the next process; 0: none */
	sd_event_source *exit_source, *words_source, *errors_source, *timer;
	enum word_how how;       /* of DONE */
	bool was_ready;          /* this process */
	bool has_paused;         /* this process, of a source: all that it read is settled */
	bool said_final;         /* FAILED: restarting would not help */
	int error;               /* FAILED: positive errno; 0: none */
	int64_t full_said_ns;    /* when it was said what it waits for */
	char reason[1024];       /* FAILED: its text; or why we killed it */
	char line[LOG_LINE_MAX]; /* of stderr, incomplete */
	size_t line_size;
	/* hang watch */
	uint64_t calls[PAGE_WORKERS_MAX];
	int64_t calls_since[PAGE_WORKERS_MAX];
	int64_t hung_at;   /* when it was told to end, with SIGABRT; 0: it is well */
	int64_t killed_at; /* with SIGKILL after that; 0: not yet */
	int hung_worker;   /* with hung_at; -1: the process as a whole */
};

/* Makes the page. 0 or negative errno. */
int child_init(
	struct child *child, struct supervisor *supervisor, uint32_t stage, uint32_t instance);
void child_fini(struct child *child);

/* What a process is given, borrowed. */
struct child_fds {
	int graph;
	int shared;
	int listener; /* -1: it listens nowhere */
};

/*
 * Starts the process and says START. The callbacks are registered by the caller on child->pid, ->words, ->errors. 0 or
 * negative errno with `err`; then nothing is left.
 */
int child_spawn(struct child *child, const struct plan *plan, struct child_fds fds,
	const struct resume *resume, uint64_t term, struct err *err);
/* Closes what belonged to the process that is gone. */
void child_release(struct child *child);
/* Ends a hung process: SIGABRT, so that it says where it stands and leaves a core; `worker` as hung_worker. */
void child_abort(struct child *child, int worker, int64_t now);
/*
 * And what does not listen to that is killed; one that is writing its core may end that. Called every now and then. True: it was killed, and
 * is there for long after that.
 */
bool child_abort_again(struct child *child, int64_t now);
/*
 * Says a word. One that is dead will be reaped soon; one that has not read for so long that no word fits any more is killed: it would never know, and
 * its successor is told everything.
 */
void child_say(struct child *child, enum word_type type, const struct child *about);

/* Reads stderr: calls `line` for each whole line, with what its <N.E> says (default: a warning, of nothing). 0: end, 1: more later. */
typedef void child_line_fn(struct child *child, enum log_event event, int level, const char *text);
int child_read_errors(struct child *child, child_line_fn *line);
/* The process has ended: what is left, also a last line that nobody ended. */
void child_end_errors(struct child *child, child_line_fn *line);

#endif
