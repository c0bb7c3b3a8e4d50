/* SPDX-License-Identifier: MIT */
/* See timers.h. */
#include "task/timers.h"

#include <errno.h>
#include <stdlib.h>

#include <utlist.h>

#include "task/task.h"

void timers_fini(struct timers *timers)
{
	free(timers->heap);
	*timers = (struct timers){ 0 };
}

static void place(struct timers *timers, size_t i, struct sl_task *task)
{
	timers->heap[i] = task;
	task->timer_index = i;
}

static void rise(struct timers *timers, size_t i, struct sl_task *task)
{
	while (i > 1 && timers->heap[i / 2]->due > task->due) {
		place(timers, i, timers->heap[i / 2]);
		i /= 2;
	}
	place(timers, i, task);
}

static void sink(struct timers *timers, size_t i, struct sl_task *task)
{
	for (;;) {
		size_t child = 2 * i;

		if (child < timers->count &&
			timers->heap[child + 1]->due < timers->heap[child]->due)
			child++;
		if (child > timers->count || timers->heap[child]->due >= task->due)
			break;
		place(timers, i, timers->heap[child]);
		i = child;
	}
	place(timers, i, task);
}

static int add_to_heap(struct timers *timers, struct sl_task *task)
{
	if (timers->count + 2 > timers->capacity) {
		size_t capacity = timers->capacity ? 2 * timers->capacity : 16;
		void *heap = reallocarray(timers->heap, capacity, sizeof(struct sl_task *));

		if (!heap)
			return -ENOMEM;
		timers->heap = heap;
		timers->capacity = capacity;
	}
	rise(timers, ++timers->count, task);
	return 0;
}

int timers_add(struct timers *timers, struct sl_task *task, int64_t due)
{
	task->due = due;
	/* utlist: the first one's `prev` is the last. */
	if (timers->row && timers->row->timer_prev->due > due)
		return add_to_heap(timers, task);
	DL_APPEND2(timers->row, task, timer_prev, timer_next);
	task->timer_index = TIMER_IN_ROW;
	return 0;
}

void timers_remove(struct timers *timers, struct sl_task *task)
{
	size_t i = task->timer_index;
	struct sl_task *last;

	if (i == 0)
		return;
	task->timer_index = 0;
	if (i == TIMER_IN_ROW) {
		DL_DELETE2(timers->row, task, timer_prev, timer_next);
		return;
	}
	last = timers->heap[timers->count--];
	if (last == task)
		return;
	if (i > 1 && timers->heap[i / 2]->due > last->due)
		rise(timers, i, last);
	else
		sink(timers, i, last);
}

struct sl_task *timers_first(const struct timers *timers)
{
	struct sl_task *first = timers->count > 0 ? timers->heap[1] : NULL;

	return first && !(timers->row && timers->row->due < first->due) ? first : timers->row;
}
