/* SPDX-License-Identifier: MIT */
/* What only the room itself needs of a loop. */
#ifndef TASK_LOOP_H
#define TASK_LOOP_H

#include "task/task.h"

/* The end of the line of those that are ready. */
void loop_make_ready(struct loop *loop, struct sl_task *task);
/* The root's wait: runs tasks until it is the root's turn. */
void loop_run(struct loop *loop);
/* The first deadline has passed: `timer` is readable. */
void loop_timer_expired(struct loop *loop);
/* After a wait that was none: gives way when the task has had its thread for long. */
void task_breathe(struct sl_task *task);

#endif
