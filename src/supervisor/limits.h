/* SPDX-License-Identifier: MIT */
/*
 * memory_max, cpu_weight and tasks_max where there is no cgroup for them: the first is held by a limit of each process's own, the others are
 * not held; and the line that says so. No I/O.
 */
#ifndef SUPERVISOR_LIMITS_H
#define SUPERVISOR_LIMITS_H

#include "config/graph.h"
#include "supervisor/groups.h"

/* Does any stage say a weight? Then all have one. */
bool limits_want_cpu(const struct graph *graph);
/*
 * The RLIMIT_DATA of a process of the stage: its memory_max, and room for the stacks of its threads and coroutines, of which the kernel
 * counts what is reserved. 0: none.
 */
uint64_t limits_data(const struct groups *groups, const struct graph_stage *stage);
/* What is not held as it was asked for, and why, into `text`; false: everything is. */
bool limits_explain(
	const struct groups *groups, const struct graph *graph, char *text, size_t size);

#endif
