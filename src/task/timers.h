/* SPDX-License-Identifier: MIT */
/*
 * The tasks of one loop that wait with a deadline, by deadline. Most waits of a stage are equally long, and so are due in the
 * order in which they begin: they make a list, which costs nothing to keep in order. The others are in a binary heap.
 * A task knows its place.
 */
#ifndef TASK_TIMERS_H
#define TASK_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct sl_task;

#define TIMER_IN_ROW SIZE_MAX /* timer_index of a task in `row` */

struct timers {
	struct sl_task *
		row; /* doubly linked by timer_prev, timer_next; none is due before the one before it */
	struct sl_task **heap; /* from 1 on */
	size_t count;
	size_t capacity;
};

void timers_fini(struct timers *timers);
/* 0 or -ENOMEM. The task must not be in it. */
int timers_add(struct timers *timers, struct sl_task *task, int64_t due);
/* Fine when it is not in it. */
void timers_remove(struct timers *timers, struct sl_task *task);
/* The task that is due first, or NULL. */
struct sl_task *timers_first(const struct timers *timers);

#endif
