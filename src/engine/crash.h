/* SPDX-License-Identifier: MIT */
/*
 * A process that is ended by a signal of its own (SIGSEGV, SIGABRT ...), or by the supervisor's SIGABRT because it hangs, says
 * where it stood: each worker and what it was given, the pump, where the stacks are. Then it dies of the signal as it would have,
 * with a core if the system keeps them. Before that it writes down in its page whose work the thread was at that died: that is what
 * quarantine goes by (supervisor/suspects.h).
 *
 * The handler allocates nothing and takes no lock.
 */
#ifndef ENGINE_CRASH_H
#define ENGINE_CRASH_H

#include "engine/host.h"

/* Once per process, by the pump's thread. `host` must stay. */
void crash_start(struct host *host);
/* By each worker's thread: a stack for the handler; `slot` is its own. */
void crash_watch_thread(struct page_worker *slot);
void crash_forget_thread(void);
/* A loop's on_away: this thread works for a callback of another one; NULL: no more. */
void crash_away(const struct sl_task *task);
/* The pump, every now and then: notes since when each worker has been in its call. */
void crash_sample(struct host *host);

#endif
