/* SPDX-License-Identifier: MIT */
/*
 * Groups: tasks that end before the scope in which they were started. A member that ends is `ended` on its own stack; with
 * SL_COLLECT the group keeps it, and with it its result, until it is read or the group closed.
 */
#include <sluice/task.h>

#include <errno.h>
#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "task/loop.h"

static struct sl_task *opener_of(struct sl_group *group)
{
	return task_self(group->opener);
}

static void set_innermost(struct sl_task *task, struct sl_group *group)
{
	task->groups = group;
	task->opened_file = group ? group->file : NULL;
	task->opened_line = group ? group->line : 0;
}

void sl_group_open_at(
	struct sl_context *ctx, struct sl_group *group, unsigned flags, const char *file, int line)
{
	struct sl_task *task = task_self(ctx);

	*group = (struct sl_group){
		.opener = ctx,
		.outer = task->groups,
		.flags = flags,
		.deadline = task_deadline(task, SL_NEVER),
		.file = file,
		.line = line,
	};
	group->ended_tail = &group->ended;
	set_innermost(task, group);
}

static void cancel_members(struct sl_group *group)
{
	struct sl_task *member;

	group->is_canceled = true;
	DL_FOREACH(group->members, member)
	{
		task_cancel(member);
	}
}

void sl_group_cancel(struct sl_group *group)
{
	(void)opener_of(group);
	cancel_members(group);
}

/* On the stack of the member that has ended. */
static void on_member_end(struct sl_task *task)
{
	struct sl_group *group = task->group;

	DL_DELETE(group->members, task);
	group->running--;
	task->is_kept = group->flags & SL_COLLECT;
	if (task->is_kept) {
		task->next = NULL;
		*group->ended_tail = task;
		group->ended_tail = &task->next;
		group->unread++;
	} else if (task->result < 0 && group->failure == 0) {
		group->failure = task->result;
		cancel_members(group);
	}
	/* Not parked: something else was first, and it looks at the group when it runs. */
	if (group->waiting && group->waiting->state == TASK_PARKED)
		task_wake(group->waiting, 0);
}

int sl_group_start(struct sl_group *group, sl_member_fn *fn, void *arg)
{
	struct sl_task *opener = opener_of(group);
	struct sl_task *task;

	if (group->is_canceled || task_is_canceled(opener))
		return -ECANCELED;
	task = task_start(opener->loop, fn, arg, group->opener->user, on_member_end);
	if (!task)
		return -ENOMEM;
	task->group = group;
	task->inherited = group->deadline;
	DL_APPEND(group->members, task);
	group->running++;
	return 0;
}

/* Until a member has ended; it must not be called when none runs. */
static int wait_for_member(struct sl_group *group, struct sl_task *opener, int64_t deadline)
{
	int r;

	group->waiting = opener;
	r = task_park(opener, deadline);
	group->waiting = NULL;
	return r;
}

static struct sl_task *take_ended(struct sl_group *group)
{
	struct sl_task *task = group->ended;

	group->ended = task->next;
	if (!group->ended)
		group->ended_tail = &group->ended;
	group->unread--;
	return task;
}

/* 1 and the next that has ended, for task_free; else as sl_group_next. */
static int next_ended(struct sl_group *group, int64_t deadline, struct sl_task **ret_task)
{
	struct sl_task *opener = opener_of(group);
	int r = 0;

	while (!group->ended && group->running > 0 && r == 0)
		r = wait_for_member(group, opener, deadline);
	if (!group->ended)
		return r;
	*ret_task = take_ended(group);
	return 1;
}

int sl_group_next(struct sl_group *group, int64_t deadline, void **ret_arg, int *ret_result)
{
	struct sl_task *task;
	int r;

	if (!(group->flags & SL_COLLECT))
		task_misuse(opener_of(group)->loop,
			"sl_group_next needs SL_COLLECT in the sl_group_open at %s:%d", group->file,
			group->line);
	r = next_ended(group, deadline, &task);
	if (r <= 0)
		return r;
	if (ret_arg)
		*ret_arg = task->arg;
	if (ret_result)
		*ret_result = task->result;
	task_free(task);
	return 1;
}

int sl_group_close(struct sl_group *group)
{
	struct sl_task *opener = opener_of(group);
	bool was_canceled = false;

	if (opener->groups != group)
		task_misuse(opener->loop,
			"groups must be closed in the opposite order in which they were opened, "
			"the one of %s:%d is not the last",
			group->file, group->line);
	while (group->running > 0) {
		if (!was_canceled && task_is_canceled(opener)) {
			was_canceled = true;
			cancel_members(group);
		}
		group->waiting = opener;
		if (was_canceled)
			(void)task_park_shielded(opener);
		else
			(void)task_park_until_canceled(opener);
		group->waiting = NULL;
	}
	while (group->ended)
		task_free(take_ended(group));
	set_innermost(opener, group->outer);
	return was_canceled || task_is_canceled(opener) ? -ECANCELED : group->failure;
}

/* --- gather ------------------------------------------------------------------------------------- */

struct gather {
	struct sl_group group;
	sl_member_fn *fn;
	char *args;
	size_t arg_size;
	int *results;
};

/* arg_size may be 0, so the arg does not tell which one it is. */
static int start_one(struct gather *gather, uint32_t i)
{
	char *arg = gather->arg_size ? gather->args + i * gather->arg_size : gather->args;
	int r = sl_group_start(&gather->group, gather->fn, arg);

	if (r == 0)
		gather->group.members->prev->index = i;
	return r;
}

static int collect(struct gather *gather, uint32_t *failures)
{
	struct sl_task *task;
	int r = next_ended(&gather->group, SL_NEVER, &task);

	if (r <= 0)
		return r;
	gather->results[task->index] = task->result;
	*failures += task->result < 0;
	task_free(task);
	return 1;
}

/* What ended before everything was cancelled keeps its result. */
static void collect_rest(struct gather *gather, uint32_t *failures)
{
	sl_group_cancel(&gather->group);
	while (gather->group.unread > 0 && collect(gather, failures) > 0)
		;
}

int sl_gather(struct sl_context *ctx, sl_member_fn *fn, void *args, size_t arg_size, uint32_t count,
	uint32_t limit, int *ret_results)
{
	struct gather gather = {
		.fn = fn, .args = args, .arg_size = arg_size, .results = ret_results
	};
	uint32_t failures = 0;
	int r = 1;
	int closed;

	for (uint32_t i = 0; i < count; i++)
		ret_results[i] = -ECANCELED;
	sl_group_open(ctx, &gather.group, SL_COLLECT);
	for (uint32_t i = 0; i < count && r >= 0; i++) {
		while (r >= 0 && limit > 0 && gather.group.running >= limit)
			r = collect(&gather, &failures);
		if (r >= 0)
			r = start_one(&gather, i);
	}
	r = r < 0 ? r : 1;
	while (r > 0)
		r = collect(&gather, &failures);
	if (r < 0)
		collect_rest(&gather, &failures);
	closed = sl_group_close(&gather.group);
	if (r == 0)
		r = closed;
	return r < 0 ? r : (int)failures;
}
