/* SPDX-License-Identifier: MIT */
/*
 * A worker with coroutines: up to that many records at once, each as a task, over batch borders. The thread's own task, the
 * root, takes stretches of records from the crew; *runners*, a task each, take single records of the stretch. There is always one
 * runner that has not run yet while records and room are left: it starts the next one. So records that need not wait are
 * done by few runners, and a runner that goes on to the next record keeps its segment.
 */
#ifndef ENGINE_TASKS_H
#define ENGINE_TASKS_H

#include "engine/worker.h"

/* Until the crew finishes. 0 or negative errno. */
int tasks_run(struct worker *worker);

#endif
