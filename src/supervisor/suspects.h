/* SPDX-License-Identifier: MIT */
/*
 * Whom a death by signal is held against. Which work a process died of stands in its page; the suspects stand in the shared page,
 * where every instance of the stage finds them (engine/quarantine.h):
 *
 *              death, with work                 death, alone
 *     (free) -----------------> SUSPECTED --------------------> POISON     a dead letter from now on
 *                                   |
 *                                   +--> CLEARED, EXCUSED --> (free)       it went through: the death is unexplained
 *
 * Nothing here does any I/O. The supervisor's thread.
 */
#ifndef SUPERVISOR_SUSPECTS_H
#define SUPERVISOR_SUSPECTS_H

#include <stdbool.h>

#include "stats/page.h"

/* Suspects of one stage at once: more deaths than that have another reason than some record. */
#define SUSPECTS_PER_STAGE 64

enum suspects_verdict {
	SUSPECTS_NOBODY, /* no record is known that it could have been */
	SUSPECTS_FOUND,  /* to be looked into: the batch will be worked on a record at a time */
	SUSPECTS_NAMED,  /* the record is known */
};

/* Is this signal one that a record may be the reason of? A SIGKILL is not: it comes from outside. */
bool suspects_is_fault(int signal);

/*
 * A process of the stage died. `worker`: the one that hung, and `cause` is PAGE_CAUSE_HUNG; or -1, and `cause` is the signal,
 * or PAGE_CAUSE_NO_MEMORY.
 * Must be called before any instance hears of the death.
 */
enum suspects_verdict suspects_blame(struct page_shared *shared, uint32_t stage,
	const struct page *page, int worker, uint32_t cause);

/* What the process worked on is nothing to its successor. */
void suspects_forget_work(struct page *page);

/* Deaths of the stage of which no record was the reason, found out since the last call. */
uint32_t suspects_unexplained(struct page_shared *shared, uint32_t stage);

#endif
