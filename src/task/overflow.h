/* SPDX-License-Identifier: MIT */
/* An overflow of a task's stack ends the process with a message that names stage and task. */
#ifndef TASK_OVERFLOW_H
#define TASK_OVERFLOW_H

/* Once per thread that runs tasks; takes SIGSEGV over, once per process. Nothing under a sanitizer. */
void overflow_watch_thread(void);
void overflow_forget_thread(void);

#endif
