/* SPDX-License-Identifier: MIT */
/*
 * Semaphore, lock, event, channel. All have a guard, held for some instructions and never over a wait, and a line of
 * waiters. Who gives *grants*: it takes the first waiter out of the line, under the guard, and wakes it wherever it runs. A waiter
 * whose deadline has passed looks, under the guard, whether it was granted meanwhile: then it has what it waited for.
 */
#include <sluice/task.h>

#include <errno.h>
#include <stdlib.h>

#include "task/loop.h"

struct sl_waiter {
	struct sl_task *task;
	struct sl_waiter *prev, *next;
	bool is_granted;
	int result;
	void *item; /* channel: what is sent, or was received */
};

static void join_line(struct sl_waiters *line, struct sl_waiter *waiter)
{
	waiter->prev = line->last;
	waiter->next = NULL;
	if (line->last)
		line->last->next = waiter;
	else
		line->first = waiter;
	line->last = waiter;
}

static void leave_line(struct sl_waiters *line, struct sl_waiter *waiter)
{
	if (waiter->prev)
		waiter->prev->next = waiter->next;
	else
		line->first = waiter->next;
	if (waiter->next)
		waiter->next->prev = waiter->prev;
	else
		line->last = waiter->prev;
}

/* Under the guard. The waiter is gone as soon as the guard is given up. */
static void grant(struct sl_waiters *line, struct sl_waiter *waiter, int result)
{
	leave_line(line, waiter);
	waiter->result = result;
	waiter->is_granted = true;
	task_wake_from_afar(waiter->task);
}

/* Called with the guard held, gives it up. The waiter's result once granted, else why not. */
static int wait_in_line(pthread_mutex_t *guard, struct sl_waiters *line, struct sl_waiter *waiter,
	struct sl_task *task, int64_t deadline)
{
	int r;

	waiter->task = task;
	waiter->is_granted = false;
	join_line(line, waiter);
	(void)pthread_mutex_unlock(guard);
	r = task_park(task, deadline);
	if (r == 0)
		return waiter->result;
	(void)pthread_mutex_lock(guard);
	if (!waiter->is_granted) {
		leave_line(line, waiter);
		(void)pthread_mutex_unlock(guard);
		return r;
	}
	(void)pthread_mutex_unlock(guard);
	task_park_for_wake(task);
	return waiter->result;
}

/* --- semaphore ---------------------------------------------------------------------------------- */

void sl_sem_init(struct sl_sem *sem, uint64_t value)
{
	*sem = (struct sl_sem){ .value = value };
	(void)pthread_mutex_init(&sem->guard, NULL);
}

int sl_sem_take(struct sl_context *ctx, struct sl_sem *sem, int64_t deadline)
{
	struct sl_task *task = task_self(ctx);
	struct sl_waiter waiter = { 0 };

	if (task_is_canceled(task))
		return -ECANCELED;
	(void)pthread_mutex_lock(&sem->guard);
	if (sem->value == 0)
		return wait_in_line(&sem->guard, &sem->waiters, &waiter, task, deadline);
	sem->value--;
	(void)pthread_mutex_unlock(&sem->guard);
	task_breathe(task);
	return 0;
}

void sl_sem_give(struct sl_sem *sem)
{
	(void)pthread_mutex_lock(&sem->guard);
	if (sem->waiters.first)
		grant(&sem->waiters, sem->waiters.first, 0);
	else
		sem->value++;
	(void)pthread_mutex_unlock(&sem->guard);
}

/* --- lock --------------------------------------------------------------------------------------- */

void sl_lock_init(struct sl_lock *lock)
{
	*lock = (struct sl_lock){ 0 };
	(void)pthread_mutex_init(&lock->guard, NULL);
}

int sl_lock_take(struct sl_context *ctx, struct sl_lock *lock, int64_t deadline)
{
	struct sl_task *task = task_self(ctx);
	struct sl_waiter waiter = { 0 };
	int r = 0;

	if (task_is_canceled(task))
		return -ECANCELED;
	(void)pthread_mutex_lock(&lock->guard);
	if (lock->owner == task) {
		(void)pthread_mutex_unlock(&lock->guard);
		task_misuse(task->loop, "a task takes a lock that it has already");
	}
	if (lock->owner) {
		r = wait_in_line(&lock->guard, &lock->waiters, &waiter, task, deadline);
	} else {
		lock->owner = task;
		(void)pthread_mutex_unlock(&lock->guard);
		task_breathe(task);
	}
	task->locks += r == 0;
	return r;
}

void sl_lock_give(struct sl_context *ctx, struct sl_lock *lock)
{
	struct sl_task *task = task_self(ctx);

	(void)pthread_mutex_lock(&lock->guard);
	if (lock->owner != task) {
		(void)pthread_mutex_unlock(&lock->guard);
		task_misuse(task->loop, "a task gives back a lock that it has not taken");
	}
	lock->owner = lock->waiters.first ? lock->waiters.first->task : NULL;
	if (lock->owner)
		grant(&lock->waiters, lock->waiters.first, 0);
	(void)pthread_mutex_unlock(&lock->guard);
	task->locks--;
}

/* --- event -------------------------------------------------------------------------------------- */

void sl_event_init(struct sl_event *event)
{
	*event = (struct sl_event){ 0 };
	(void)pthread_mutex_init(&event->guard, NULL);
}

void sl_event_set(struct sl_event *event)
{
	(void)pthread_mutex_lock(&event->guard);
	event->is_set = true;
	while (event->waiters.first)
		grant(&event->waiters, event->waiters.first, 0);
	(void)pthread_mutex_unlock(&event->guard);
}

void sl_event_clear(struct sl_event *event)
{
	(void)pthread_mutex_lock(&event->guard);
	event->is_set = false;
	(void)pthread_mutex_unlock(&event->guard);
}

int sl_event_wait(struct sl_context *ctx, struct sl_event *event, int64_t deadline)
{
	struct sl_task *task = task_self(ctx);
	struct sl_waiter waiter = { 0 };

	if (task_is_canceled(task))
		return -ECANCELED;
	(void)pthread_mutex_lock(&event->guard);
	if (!event->is_set)
		return wait_in_line(&event->guard, &event->waiters, &waiter, task, deadline);
	(void)pthread_mutex_unlock(&event->guard);
	task_breathe(task);
	return 0;
}

/* --- channel ------------------------------------------------------------------------------------ */

struct sl_channel {
	pthread_mutex_t guard;
	bool is_closed;
	struct sl_waiters senders, receivers;
	uint32_t capacity, count, first;
	void *items[];
};

struct sl_channel *sl_channel_new(uint32_t capacity)
{
	struct sl_channel *channel;

	if (capacity == 0)
		capacity = 1;
	channel = calloc(1, sizeof(*channel) + (size_t)capacity * sizeof(void *));
	if (!channel)
		return NULL;
	channel->capacity = capacity;
	(void)pthread_mutex_init(&channel->guard, NULL);
	return channel;
}

void sl_channel_free(struct sl_channel *channel)
{
	if (!channel)
		return;
	(void)pthread_mutex_destroy(&channel->guard);
	free(channel);
}

static void put_item(struct sl_channel *channel, void *item)
{
	channel->items[(channel->first + channel->count++) % channel->capacity] = item;
}

static void *take_item(struct sl_channel *channel)
{
	void *item = channel->items[channel->first];

	channel->first = (channel->first + 1) % channel->capacity;
	channel->count--;
	return item;
}

int sl_channel_send(
	struct sl_context *ctx, struct sl_channel *channel, void *item, int64_t deadline)
{
	struct sl_task *task = task_self(ctx);
	struct sl_waiter waiter = { .item = item };
	int r = 0;

	if (task_is_canceled(task))
		return -ECANCELED;
	(void)pthread_mutex_lock(&channel->guard);
	if (channel->is_closed) {
		r = -EPIPE;
	} else if (channel->receivers.first) {
		channel->receivers.first->item = item;
		grant(&channel->receivers, channel->receivers.first, 0);
	} else if (channel->count < channel->capacity) {
		put_item(channel, item);
	} else {
		return wait_in_line(&channel->guard, &channel->senders, &waiter, task, deadline);
	}
	(void)pthread_mutex_unlock(&channel->guard);
	task_breathe(task);
	return r;
}

int sl_channel_receive(
	struct sl_context *ctx, struct sl_channel *channel, int64_t deadline, void **ret_item)
{
	struct sl_task *task = task_self(ctx);
	struct sl_waiter waiter = { 0 };
	int r = 0;

	if (task_is_canceled(task))
		return -ECANCELED;
	(void)pthread_mutex_lock(&channel->guard);
	if (channel->count > 0) {
		*ret_item = take_item(channel);
		if (channel->senders.first) {
			put_item(channel, channel->senders.first->item);
			grant(&channel->senders, channel->senders.first, 0);
		}
	} else if (channel->is_closed) {
		r = -EPIPE;
	} else {
		r = wait_in_line(&channel->guard, &channel->receivers, &waiter, task, deadline);
		if (r == 0)
			*ret_item = waiter.item;
		return r;
	}
	(void)pthread_mutex_unlock(&channel->guard);
	task_breathe(task);
	return r;
}

void sl_channel_close(struct sl_channel *channel)
{
	(void)pthread_mutex_lock(&channel->guard);
	channel->is_closed = true;
	while (channel->receivers.first)
		grant(&channel->receivers, channel->receivers.first, -EPIPE);
	while (channel->senders.first)
		grant(&channel->senders, channel->senders.first, -EPIPE);
	(void)pthread_mutex_unlock(&channel->guard);
}
