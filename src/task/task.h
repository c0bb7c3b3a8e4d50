/* SPDX-License-Identifier: MIT */
/*
 * Tasks and the loop that runs them: one loop per thread, made at its first wait (or by loop_get). The thread itself is the
 * *root* task. Every wait is task_park; what it waits for calls task_wake:
 *
 *            start                park                      wake
 *     NEW ----------> READY ---> RUNNING ----------> PARKED ------> READY
 *                       ^           |  end
 *                       +--- (turn) +-----> ENDED
 *
 * A parked task switches to its thread's stack, where the root's own wait (loop_run) takes the next ready task. So a wait of
 * the root, that is of a plain thread, runs all tasks of its loop until it is woken; and a wait is written once.
 *
 * Fair: those that are ready at the beginning of a round run once each, then the loop looks at descriptors and timers.
 *
 * Everything here belongs to the loop's thread, but task_wake_from_afar and loop_nudge.
 */
#ifndef TASK_TASK_H
#define TASK_TASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "stats/page.h"
#include "task/stack.h"
#include "task/switch.h"
#include "task/timers.h"
#include <sluice/task.h>

/* What a callback is given. task: NULL for whatever is the root of the thread that uses it. */
struct sl_context {
	struct sl_task *task;
	void *user; /* the engine's; members of a group have their opener's */
};

enum task_state { TASK_READY, TASK_RUNNING, TASK_PARKED, TASK_ENDED };

struct sl_task {
	struct sl_context context;
	struct switch_point point;
	struct loop *loop;
	void *stack; /* NULL: the root */
	enum task_state state;
	uint32_t number;    /* of its loop's tasks, from 1: its name in messages */
	int result;         /* of the wait; once ended, of the task */
	int64_t due;        /* while timer_index != 0 */
	size_t timer_index; /* 0: it has no deadline now; TIMER_IN_ROW; else in the heap */
	struct sl_task *timer_prev, *timer_next;
	int64_t parked_at; /* ns; 0: this wait is not stage code's */
	int64_t inherited; /* deadline of the scopes around it */
	struct sl_scope *scopes;
	struct sl_group *groups; /* opened and not closed, innermost first */
	const char *opened_file; /* of the innermost, whose struct may be gone */
	int opened_line;
	uint32_t locks; /* held */
	bool is_canceled;
	bool is_shielded; /* this wait cannot be cancelled */
	bool has_wake;    /* from afar, while it was not parked */
	bool is_kept;     /* once ended, its group frees it */
	sl_member_fn *fn;
	void *arg;
	struct sl_group *group; /* whose member it is; or NULL */
	uint32_t index;         /* sl_gather's */
	void (*on_end)(struct sl_task *task);
	void *owner;
	struct sl_task *prev, *next; /* in its group's members; `next` also in its ended */
	struct sl_task *queued;      /* in ready */
	struct sl_task *inbox_next;
};

struct loop_counts {
	uint64_t tasks; /* alive now */
	uint64_t tasks_max;
	uint32_t started;
	int64_t waited_ns; /* by stage code, of all tasks together */
	uint64_t held;     /* times that a task kept the thread for longer than LOOP_HOLD_MAX */
	int64_t held_max_ns;
};

#define LOOP_HOLD_MAX (100 * SL_MILLISECOND)

struct loop;

/* Who this is, and what its owner wants to know. */
struct loop_setup {
	const char *name;         /* of the stage, in messages */
	size_t stack_size;        /* 0: 64 KiB */
	struct page_worker *slot; /* the loop keeps the counters of its tasks there; or NULL */
	void (*on_nudge)(struct loop *loop);
	/* The task's turn begins, on the loop's thread. */
	void (*on_turn)(const struct sl_task *task);
	/* On another thread: it begins to work for the task, which waits for it; NULL: and has ended. */
	void (*on_away)(const struct sl_task *task);
	/* A task kept the thread for longer than LOOP_HOLD_MAX. */
	void (*on_held)(struct loop *loop, const struct sl_task *task, int64_t ns);
	void *user;
};

struct watch;
struct http;

struct loop {
	uv_loop_t uv;
	uv_async_t async;
	int epoll;         /* of `timer` and sl_wait_fd; itself watched by epoll_poll */
	int timer;         /* timerfd: libuv's timers know milliseconds only */
	int64_t timer_due; /* what it is set to; SL_NEVER: it is not */
	uv_poll_t epoll_poll;
	struct watch *watches;
	struct http *http;
	struct sl_task root;
	struct sl_task *current;
	struct sl_task *ready, **ready_tail;
	uint32_t ready_count;
	struct sl_task *ended; /* its stack can be released now */
	struct stack_pool stacks;
	struct timers timers;
	int64_t now;      /* when the running task began its turn */
	uint32_t pending; /* requests at libuv's pool */
	struct loop_counts counts, published;

	pthread_mutex_t inbox_lock; /* of inbox */
	struct sl_task *inbox;
	atomic_bool is_nudged;

	bool is_looking; /* at descriptors and timers */
	bool is_idle;    /* the root waits in task_park_root */
	const struct loop_setup *setup;
};

/* The loop of the calling thread, made if need be; NULL: no memory or descriptors (errno says). */
struct loop *loop_get(void);
/* The same, if there is one. */
struct loop *loop_of_thread(void);
/* For the loop that this thread will make; borrowed until loop_end. */
void loop_set_up(const struct loop_setup *setup);
/* Ends this thread's loop; no task may be alive. Fine when there is none. */
void loop_end(void);
/* Any thread: on_nudge will be called, and the root's task_park_root answers. */
void loop_nudge(struct loop *loop);

/* The running task: `ctx` must be its; aborts with a message otherwise. */
struct sl_task *task_self(struct sl_context *ctx);
/* A new task, ready. Its context.user is `user`; on_end is called on its own stack when fn has returned. NULL: no memory. */
struct sl_task *task_start(struct loop *loop, sl_member_fn *fn, void *arg, void *user,
	void (*on_end)(struct sl_task *));
/* Gives back what an ended task still has: by the loop, or by its group. */
void task_free(struct sl_task *task);

/*
 * Waits until woken, `deadline`, a scope's deadline, or a cancel: what task_wake said, -ETIMEDOUT, -ECANCELED. Shielded:
 * until woken.
 */
int task_park(struct sl_task *self, int64_t deadline);
int task_park_shielded(struct sl_task *self);
/* Until woken or cancelled: scopes' deadlines do not end it. */
int task_park_until_canceled(struct sl_task *self);
/* The engine's own wait on the root: until a nudge or task_wake; it is not counted as stage code's. */
void task_park_root(struct loop *loop, int64_t deadline);
/* Only a parked one. */
void task_wake(struct sl_task *task, int result);
/* From any thread; 0 is the result. Whoever gave up waiting meanwhile must take it with task_park_for_wake. */
void task_wake_from_afar(struct sl_task *task);
void task_park_for_wake(struct sl_task *self);
/* Its wait, and every later one, answers -ECANCELED. */
void task_cancel(struct sl_task *task);
bool task_is_canceled(const struct sl_task *task);
/* The earliest of its scopes' deadlines and `deadline`. */
int64_t task_deadline(const struct sl_task *task, int64_t deadline);
/* Stage code has returned: aborts when it left a group open or a lock taken. `what`: "transform", "member" ... */
void task_check_left(struct sl_task *task, const char *what);
/* The same by the context that it was given: a thread that never waited has nothing to leave. */
void task_check_left_by(struct sl_context *ctx, const char *what);

/* "sluice: stage `x`: ..." and abort(): a fault of the stage's code. */
_Noreturn void task_misuse(const struct loop *loop, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* io.c, http.c: what they keep in a loop. */
int watches_open(struct loop *loop);
void watches_close(struct loop *loop);
void http_close(struct loop *loop);

#endif
