/* SPDX-License-Identifier: MIT */
/*
 * Descriptors. A loop has an epoll of its own for them, which libuv watches: uv_poll_t allows one waiter per descriptor and makes
 * every descriptor non-blocking, also one that we share with the shell. Registrations are one-shot and stay when nobody waits
 * any more; the kernel forgets them when the descriptor is closed.
 */
#include <sluice/task.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "task/loop.h"

#define EVENTS_MAX 256

struct fd_waiter {
	struct sl_task *task;
	uint32_t events;
	struct fd_waiter *prev, *next;
};

/* A descriptor for which somebody waits. */
struct watch {
	int fd;
	struct fd_waiter *waiters;
	UT_hash_handle hh;
};

static uint32_t wanted(const struct watch *watch)
{
	uint32_t events = 0;
	const struct fd_waiter *waiter;

	DL_FOREACH(watch->waiters, waiter)
	{
		events |= waiter->events;
	}
	return events;
}

static int arm(struct loop *loop, const struct watch *watch)
{
	struct epoll_event event = { .events = wanted(watch) | EPOLLONESHOT, .data.fd = watch->fd };

	if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event) == 0)
		return 0;
	if (errno == ENOENT && epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event) == 0)
		return 0;
	return -errno;
}

static void drop_if_unused(struct loop *loop, struct watch *watch)
{
	if (watch->waiters)
		return;
	HASH_DEL(loop->watches, watch);
	free(watch);
}

static void wake_waiters(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct fd_waiter *waiter, *next;

	if (events & (EPOLLERR | EPOLLHUP))
		events = UINT32_MAX;
	DL_FOREACH_SAFE(watch->waiters, waiter, next)
	{
		/* One that is not parked has been woken by its deadline. */
		if ((waiter->events & events) && waiter->task->state == TASK_PARKED) {
			DL_DELETE(watch->waiters, waiter);
			waiter->task->has_wake = true;
			task_wake(waiter->task, 0);
		}
	}
	if (watch->waiters)
		(void)arm(loop, watch);
	drop_if_unused(loop, watch);
}

static void on_epoll(uv_poll_t *handle, int status, int events)
{
	struct loop *loop = (struct loop *)handle->loop->data;
	struct epoll_event ready[EVENTS_MAX];
	int count = epoll_wait(loop->epoll, ready, EVENTS_MAX, 0);

	(void)status;
	(void)events;
	for (int i = 0; i < count; i++) {
		struct watch *watch;

		if (ready[i].data.fd == loop->timer) {
			loop_timer_expired(loop);
			continue;
		}
		HASH_FIND_INT(loop->watches, &ready[i].data.fd, watch);
		if (watch)
			wake_waiters(loop, watch, ready[i].events);
	}
}

int watches_open(struct loop *loop)
{
	struct epoll_event timer = { .events = EPOLLIN, .data.fd = loop->timer };
	int r;

	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->timer, &timer) < 0)
		return -errno;
	r = uv_poll_init(&loop->uv, &loop->epoll_poll, loop->epoll);
	return r < 0 ? r : uv_poll_start(&loop->epoll_poll, UV_READABLE, on_epoll);
}

void watches_close(struct loop *loop)
{
	uv_close((uv_handle_t *)&loop->epoll_poll, NULL);
	(void)uv_run(&loop->uv, UV_RUN_NOWAIT);
	(void)close(loop->epoll);
}

static struct watch *get_watch(struct loop *loop, int fd)
{
	struct watch *watch;

	HASH_FIND_INT(loop->watches, &fd, watch);
	if (watch)
		return watch;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return NULL;
	watch->fd = fd;
	HASH_ADD_INT(loop->watches, fd, watch);
	if (!watch->hh.tbl) {
		free(watch);
		return NULL;
	}
	return watch;
}

/* 1: waited and ready; else as sl_wait_fd. */
static int wait_fd(struct sl_task *task, int fd, uint32_t events, int64_t deadline)
{
	struct loop *loop = task->loop;
	struct watch *watch = get_watch(loop, fd);
	struct fd_waiter waiter = { .task = task, .events = events };
	int r;

	if (!watch)
		return -ENOMEM;
	DL_APPEND(watch->waiters, &waiter);
	r = arm(loop, watch);
	task->has_wake = false;
	if (r == 0)
		r = task_park(task, deadline);
	/* Who woke us has taken us off the list, and perhaps freed the watch. */
	if (!task->has_wake) {
		DL_DELETE(watch->waiters, &waiter);
		drop_if_unused(loop, watch);
	}
	task->has_wake = false;
	/* Always ready. */
	return r == -EPERM ? 0 : r;
}

int sl_wait_fd(struct sl_context *ctx, int fd, short events, int64_t deadline)
{
	struct sl_task *task = task_self(ctx);
	struct pollfd now = { .fd = fd, .events = events };

	if (task_is_canceled(task))
		return -ECANCELED;
	if (poll(&now, 1, 0) > 0) {
		task_breathe(task);
		return now.revents & POLLNVAL ? -EBADF : 0;
	}
	return wait_fd(task, fd,
		(events & POLLIN ? EPOLLIN | EPOLLRDHUP : 0) | (events & POLLOUT ? EPOLLOUT : 0),
		deadline);
}

static bool would_block(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

ssize_t sl_read(struct sl_context *ctx, int fd, void *data, size_t size, int64_t deadline)
{
	struct sl_task *task = task_self(ctx);

	if (task_is_canceled(task))
		return -ECANCELED;
	for (;;) {
		ssize_t n = read(fd, data, size);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (!would_block(n)) {
			n = n < 0 ? -errno : n;
			task_breathe(task);
			return n;
		}
		r = wait_fd(task, fd, EPOLLIN, deadline);
		if (r < 0)
			return r;
	}
}

/* SIGPIPE is ignored in stage processes; elsewhere a socket must not raise it. */
static ssize_t write_some(int fd, const void *data, size_t size)
{
	ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

	return n < 0 && errno == ENOTSOCK ? write(fd, data, size) : n;
}

int sl_write(struct sl_context *ctx, int fd, const void *data, size_t size, int64_t deadline)
{
	struct sl_task *task = task_self(ctx);
	const char *at = data;

	if (task_is_canceled(task))
		return -ECANCELED;
	while (size > 0) {
		ssize_t n = write_some(fd, at, size);
		int r;

		if (n >= 0) {
			at += n;
			size -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (!would_block(n))
			return -errno;
		r = wait_fd(task, fd, EPOLLOUT, deadline);
		if (r < 0)
			return r;
	}
	task_breathe(task);
	return 0;
}

static int finish_connect(struct sl_task *task, int fd, int64_t deadline)
{
	socklen_t size = sizeof(int);
	int error = 0;
	int r = wait_fd(task, fd, EPOLLOUT, deadline);

	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

int sl_connect(
	struct sl_context *ctx, const struct sockaddr *address, uint32_t size, int64_t deadline)
{
	struct sl_task *task = task_self(ctx);
	int fd, r = 0;

	if (task_is_canceled(task))
		return -ECANCELED;
	fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, address, size) < 0)
		r = -errno;
	/* A Unix socket whose listener is busy says EAGAIN and cannot be waited for. */
	while (r == -EAGAIN && address->sa_family == AF_UNIX) {
		r = task_park(task, clock_now() + 10 * NSEC_PER_MSEC);
		if (r == -ETIMEDOUT && clock_now() < task_deadline(task, deadline))
			r = connect(fd, address, size) < 0 ? -errno : 0;
	}
	if (r == -EINPROGRESS)
		r = finish_connect(task, fd, deadline);
	if (r < 0)
		(void)close(fd);
	task_breathe(task);
	return r < 0 ? r : fd;
}

int sl_accept(struct sl_context *ctx, int listener, int64_t deadline)
{
	struct sl_task *task = task_self(ctx);

	if (task_is_canceled(task))
		return -ECANCELED;
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		int r;

		if (fd >= 0) {
			task_breathe(task);
			return fd;
		}
		/* A connection that went away before it was taken. */
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (!would_block(fd))
			return -errno;
		r = wait_fd(task, listener, EPOLLIN, deadline);
		if (r < 0)
			return r;
	}
}
