/* SPDX-License-Identifier: MIT */
/* See task.h: a task's life, its waits, its scopes. */
#include "task/task.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "task/loop.h"

#define BREATH SL_MILLISECOND /* a task that need not wait still gives way after so long */

_Noreturn void task_misuse(const struct loop *loop, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_write(LOG_LEVEL_ERROR, "stage `%s`: %s: a fault in the stage's code",
		loop && loop->setup->name ? loop->setup->name : "?", text);
	abort();
}

struct sl_task *task_self(struct sl_context *ctx)
{
	struct loop *loop = loop_get();
	struct sl_task *task;

	if (!loop)
		task_misuse(NULL, "no loop: %s", "out of memory or descriptors");
	task = ctx->task ? ctx->task : &loop->root;
	if (task->loop != loop)
		task_misuse(loop, "a task was used from another thread than its own");
	if (loop->current != task)
		task_misuse(loop, "a call for one task was made by another, or by none: each "
				  "must use the `ctx` that it was given");
	return task;
}

/* --- life --------------------------------------------------------------------------------------- */

static void task_main(void *arg)
{
	struct sl_task *task = arg;
	struct loop *loop = task->loop;

	task->result = task->fn(&task->context, task->arg);
	task_check_left(task, task->group ? "a member of a group" : "a callback");
	task->state = TASK_ENDED;
	loop->counts.tasks--;
	loop->ended = task;
	task->on_end(task);
	switch_to(&task->point, &loop->root.point, true);
}

struct sl_task *task_start(struct loop *loop, sl_member_fn *fn, void *arg, void *user,
	void (*on_end)(struct sl_task *))
{
	char *low = stack_take(&loop->stacks);
	struct sl_task *task;
	size_t size;

	if (!low)
		return NULL;
	size = (loop->stacks.size - sizeof(*task)) & ~(size_t)63;
	task = (struct sl_task *)(low + size);
	*task = (struct sl_task){
		.context = { .task = task, .user = user },
		.loop = loop,
		.stack = low,
		.number = ++loop->counts.started,
		.inherited = SL_NEVER,
		.fn = fn,
		.arg = arg,
		.on_end = on_end,
	};
	switch_make(&task->point, low, size, task_main, task);
	loop->counts.tasks++;
	if (loop->counts.tasks > loop->counts.tasks_max)
		loop->counts.tasks_max = loop->counts.tasks;
	loop_make_ready(loop, task);
	return task;
}

void task_free(struct sl_task *task)
{
	assert(task->state == TASK_ENDED && task->stack);
	stack_release(&task->loop->stacks, task->stack);
}

void task_check_left(struct sl_task *task, const char *what)
{
	if (task->groups)
		task_misuse(task->loop, "%s left the group open that it opened at %s:%d", what,
			task->opened_file, task->opened_line);
	if (task->locks > 0)
		task_misuse(task->loop, "%s ended with %u lock%s taken", what, task->locks,
			task->locks > 1 ? "s" : "");
	if (task->scopes)
		task_misuse(task->loop, "%s left a scope open", what);
}

void task_check_left_by(struct sl_context *ctx, const char *what)
{
	struct loop *loop = loop_of_thread();

	if (loop)
		task_check_left(ctx->task ? ctx->task : &loop->root, what);
}

/* --- scopes ------------------------------------------------------------------------------------- */

static bool is_in_shield(const struct sl_task *task)
{
	for (const struct sl_scope *scope = task->scopes; scope; scope = scope->outer)
		if (scope->flags & SL_SHIELD)
			return true;
	return false;
}

bool task_is_canceled(const struct sl_task *task)
{
	return task->is_canceled && !is_in_shield(task);
}

int64_t task_deadline(const struct sl_task *task, int64_t deadline)
{
	for (const struct sl_scope *scope = task->scopes; scope; scope = scope->outer) {
		if (scope->deadline < deadline)
			deadline = scope->deadline;
		if (scope->flags & SL_SHIELD)
			return deadline;
	}
	return task->inherited < deadline ? task->inherited : deadline;
}

void sl_scope_open(struct sl_context *ctx, struct sl_scope *scope, int64_t deadline, unsigned flags)
{
	struct sl_task *task = task_self(ctx);

	*scope = (struct sl_scope){ .outer = task->scopes, .deadline = deadline, .flags = flags };
	task->scopes = scope;
}

int sl_scope_close(struct sl_context *ctx, struct sl_scope *scope)
{
	struct sl_task *task = task_self(ctx);

	if (task->scopes != scope)
		task_misuse(task->loop, "scopes must be closed in the opposite order in which they "
					"were opened, each by the task that opened it");
	task->scopes = scope->outer;
	return scope->deadline <= clock_now() ? -ETIMEDOUT : 0;
}

/* --- waiting ------------------------------------------------------------------------------------ */

/* To the loop and back. */
static void leave(struct sl_task *task)
{
	if (task->stack)
		switch_to(&task->point, &task->loop->root.point, false);
	else
		loop_run(task->loop);
}

static int park(struct sl_task *task, int64_t deadline, bool is_shielded)
{
	struct loop *loop = task->loop;

	if (deadline != SL_NEVER && timers_add(&loop->timers, task, deadline) < 0)
		return -ENOMEM;
	task->state = TASK_PARKED;
	task->is_shielded = is_shielded;
	leave(task);
	if (task->parked_at != 0)
		loop->counts.waited_ns += loop->now - task->parked_at;
	return task->result;
}

static void give_way(struct sl_task *task)
{
	loop_make_ready(task->loop, task);
	leave(task);
}

void task_breathe(struct sl_task *task)
{
	if (clock_now() - task->loop->now > BREATH)
		give_way(task);
}

int task_park(struct sl_task *self, int64_t deadline)
{
	int64_t now = clock_now();

	if (task_is_canceled(self))
		return -ECANCELED;
	deadline = task_deadline(self, deadline);
	if (deadline <= now) {
		give_way(self);
		return task_is_canceled(self) ? -ECANCELED : -ETIMEDOUT;
	}
	self->parked_at = now;
	return park(self, deadline, false);
}

int task_park_shielded(struct sl_task *self)
{
	self->parked_at = clock_now();
	return park(self, SL_NEVER, true);
}

int task_park_until_canceled(struct sl_task *self)
{
	self->parked_at = clock_now();
	return park(self, SL_NEVER, false);
}

void task_park_for_wake(struct sl_task *self)
{
	if (!self->has_wake)
		(void)task_park_shielded(self);
	self->has_wake = false;
}

void task_park_root(struct loop *loop, int64_t deadline)
{
	assert(loop->current == &loop->root);
	if (atomic_exchange(&loop->is_nudged, false))
		return;
	loop->root.parked_at = 0;
	loop->is_idle = true;
	(void)park(&loop->root, deadline, false);
	loop->is_idle = false;
	(void)atomic_exchange(&loop->is_nudged, false);
}

void task_wake(struct sl_task *task, int result)
{
	assert(task->state == TASK_PARKED);
	timers_remove(&task->loop->timers, task);
	task->result = result;
	loop_make_ready(task->loop, task);
}

void task_cancel(struct sl_task *task)
{
	if (task->state == TASK_ENDED)
		return;
	task->is_canceled = true;
	if (task->state == TASK_PARKED && !task->is_shielded && !is_in_shield(task))
		task_wake(task, -ECANCELED);
}

/* --- the simplest waits ------------------------------------------------------------------------- */

int64_t sl_now(void)
{
	return clock_now();
}

int sl_sleep_until(struct sl_context *ctx, int64_t deadline)
{
	int r = task_park(task_self(ctx), deadline);

	return r == -ETIMEDOUT && clock_now() >= deadline ? 0 : r;
}

int sl_yield(struct sl_context *ctx)
{
	struct sl_task *task = task_self(ctx);

	give_way(task);
	return task_is_canceled(task) ? -ECANCELED : 0;
}
