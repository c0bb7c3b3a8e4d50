/* SPDX-License-Identifier: MIT */
/*
 * Connections. Each is in `all`, who was silent longest in front; those with something to give are in `waiting`, too, and take turns. A
 * connection at its end is closed when all that came over it is given.
 *
 * TCP has no word for "it is safe", so its end is one: a connection that the other side has ended stays in `ending` until all that came over it is settled, and
 * is ended then. Whatever else ends it, the death of the process too, resets it.
 */
#include "listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utlist.h>

#define READ_SIZE (64u << 10)
#define EVENTS_MAX 64 /* connections read in one turn: what they gave is in memory */
#define ACCEPT_AGAIN SL_SECOND
#define QUIET (60 * SL_SECOND)
#define KEEPALIVE_SECONDS 60
#define LOOK_EVERY (50 * SL_MILLISECOND)

/* True at most once in a while. */
static bool may_say(int64_t *said_at)
{
	int64_t now = sl_now();

	if (*said_at != 0 && now - *said_at < QUIET)
		return false;
	*said_at = now;
	return true;
}

/* --- the socket ----------------------------------------------------------------------------------- */

static int watch(struct listener *l)
{
	/* Of several processes one is woken. */
	struct epoll_event event = { .events = EPOLLIN | (l->is_shared ? EPOLLEXCLUSIVE : 0u) };

	if (l->is_watched)
		return 0;
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->fd, &event) < 0)
		return -errno;
	l->is_watched = true;
	l->watch_at = 0;
	return 0;
}

/* Who connects waits in the kernel's queue. `until`: 0: until a connection ends. */
static void unwatch(struct listener *l, int64_t until)
{
	if (l->is_watched)
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->fd, NULL);
	l->is_watched = false;
	l->watch_at = until;
}

int stream_open(struct listener *l)
{
	int r;

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	r = l->epoll < 0 ? -errno : watch(l);
	return r < 0 ? sl_error(l->ctx, r, "%s: cannot wait for connections: %s",
			       l->options->address, strerrordesc_np(-r))
		     : 0;
}

/* --- the life of a connection ----------------------------------------------------------------------- */

static void name_peer(struct connection *c)
{
	struct sockaddr_storage address = { 0 };
	struct ucred process = { 0 };
	socklen_t size = sizeof(address);

	if (getpeername(c->fd, (struct sockaddr *)&address, &size) == 0 &&
		address.ss_family != AF_UNIX) {
		peer_print((struct sockaddr *)&address, size, c->peer);
		c->is_tcp = true;
		return;
	}
	size = sizeof(process);
	(void)getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &process, &size);
	peer_print_process(&process, c->peer);
}

/* So that one that vanished without a word is found out. */
static void keep_alive(int fd)
{
	int on = 1, seconds = KEEPALIVE_SECONDS;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
}

static void set_reset(const struct connection *c, bool is_on)
{
	struct linger linger = { .l_onoff = is_on };

	if (c->is_tcp)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static int begin(struct listener *l, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

	if (!c || epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		int r = c ? -errno : -ENOMEM;

		free(c);
		(void)close(fd);
		return r;
	}
	c->fd = fd;
	c->heard = sl_now();
	name_peer(c);
	set_reset(c, true);
	keep_alive(fd);
	if (l->options->socket_buffer > 0) {
		int size = (int)l->options->socket_buffer;

		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	}
	DL_APPEND(l->all, c);
	l->count++;
	return 0;
}

static void leave(struct listener *l, struct connection *c)
{
	if (c->is_waiting)
		DL_DELETE2(l->waiting, c, wait_prev, wait_next);
	DL_DELETE(l->all, c);
	l->count--;
	/* There is room for one who waited. */
	if (!l->is_watched && l->watch_at == 0)
		(void)watch(l);
}

static void dispose(struct connection *c)
{
	(void)close(c->fd);
	frames_fini(&c->frames);
	free(c);
}

static void end(struct listener *l, struct connection *c)
{
	leave(l, c);
	dispose(c);
}

static void end_ending(struct listener *l, struct connection *c, bool is_settled)
{
	DL_DELETE(l->ending, c);
	l->ending_count--;
	if (is_settled)
		set_reset(c, false);
	dispose(c);
}

/* All of it is given: it ends when that is settled. */
static void end_well(struct listener *l, struct connection *c)
{
	if (!c->is_tcp || c->is_broken) {
		end(l, c);
		return;
	}
	leave(l, c);
	(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	frames_fini(&c->frames);
	c->frames = (struct frames){ 0 };
	c->settle_at = l->position;
	DL_APPEND(l->ending, c);
	l->ending_count++;
	if (l->ending_count > ENDING_MAX)
		end_ending(l, l->ending, false);
}

/* Whether or not anybody waits for it. */
static void end_settled(struct listener *l)
{
	struct sl_place place = { 0 };

	l->settled_at = sl_now() + LOOK_EVERY;
	(void)sl_checkpoint(l->ctx, l->origin, &place);
	while (l->ending && l->ending->settle_at <= place.position)
		end_ending(l, l->ending, true);
}

static void has_something(struct listener *l, struct connection *c)
{
	if (c->is_waiting)
		return;
	c->is_waiting = true;
	DL_APPEND2(l->waiting, c, wait_prev, wait_next);
}

/* --- reading -------------------------------------------------------------------------------------- */

static void say_full(struct listener *l)
{
	unwatch(l, 0);
	if (may_say(&l->said_full_at))
		sl_log_about(l->ctx, SL_ABOUT_LIMIT, SL_LOG_WARNING,
			"%s: `max_connections`, %lld, are open: others wait until one ends",
			l->options->address, (long long)l->options->max_connections);
}

static void cannot_accept(struct listener *l, int error)
{
	/* EINVAL: it has been shut down, since the pipeline ends. */
	unwatch(l, error == -EINVAL ? SL_NEVER : sl_now() + ACCEPT_AGAIN);
	if (error != -EINVAL && may_say(&l->said_trouble_at))
		sl_log(l->ctx, SL_LOG_WARNING,
			"%s: cannot accept a connection: %s: it is tried again every second",
			l->options->address, strerrordesc_np(-error));
}

static bool is_theirs(int error)
{
	return error == EINTR || error == ECONNABORTED || error == EPROTO || error == ENETDOWN ||
	       error == EHOSTDOWN || error == EHOSTUNREACH || error == ENETUNREACH ||
	       error == ENOPROTOOPT || error == EPERM;
}

static void accept_some(struct listener *l)
{
	for (int i = 0; i < EVENTS_MAX; i++) {
		int fd, r;

		if (l->count >= l->options->max_connections) {
			say_full(l);
			return;
		}
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && is_theirs(errno))
			continue;
		if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		r = fd < 0 ? -errno : begin(l, fd);
		if (r < 0) {
			cannot_accept(l, r);
			return;
		}
	}
}

/* The buffer of one that has given all is that of the next who reads. */
static void take_spare(struct listener *l, struct connection *c)
{
	if (c->frames.data || !l->spare)
		return;
	c->frames = (struct frames){ .data = l->spare,
		.capacity = READ_SIZE,
		.skip = c->frames.skip,
		.skips_line = c->frames.skips_line };
	l->spare = NULL;
}

static int read_one(struct listener *l, struct connection *c)
{
	ssize_t size;
	char *room;

	take_spare(l, c);
	room = frames_room(&c->frames, READ_SIZE);
	if (!room)
		return -ENOMEM;
	do
		size = recv(c->fd, room, READ_SIZE, 0);
	while (size < 0 && errno == EINTR);
	if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		frames_shrink(&c->frames);
		return 0;
	}
	/* One that was broken off has said what it has said. */
	if (size > 0) {
		frames_added(&c->frames, (size_t)size);
	} else {
		frames_end(&c->frames);
		c->is_ended = true;
		c->is_broken = size < 0;
	}
	c->heard = sl_now();
	DL_DELETE(l->all, c);
	DL_APPEND(l->all, c);
	has_something(l, c);
	return 1;
}

int stream_read(struct listener *l)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(l->epoll, events, EVENTS_MAX, 0);
	int r = 0;

	for (int i = 0; i < count && r >= 0; i++) {
		if (events[i].data.ptr)
			r = read_one(l, events[i].data.ptr);
		else
			accept_some(l);
	}
	return r < 0 ? r : 0;
}

/* --- giving --------------------------------------------------------------------------------------- */

static void stop_waiting(struct listener *l, struct connection *c)
{
	DL_DELETE2(l->waiting, c, wait_prev, wait_next);
	c->is_waiting = false;
	if (c->frames.has_trouble) {
		end(l, c);
		return;
	}
	if (c->is_ended) {
		end_well(l, c);
		return;
	}
	if (!l->spare && c->frames.begin == c->frames.size && c->frames.capacity == READ_SIZE) {
		l->spare = c->frames.data;
		c->frames.data = NULL;
		c->frames.begin = c->frames.size = c->frames.capacity = c->frames.scanned = 0;
		return;
	}
	frames_shrink(&c->frames);
}

int stream_give(struct listener *l)
{
	int r = 1;

	while (l->waiting && r > 0) {
		struct connection *c = l->waiting;

		r = listen_give(l, c);
		if (r > 0)
			stop_waiting(l, c);
	}
	/* The cut is full: the others first, next time. */
	if (r == 0 && l->waiting && l->waiting->wait_next) {
		struct connection *c = l->waiting;

		DL_DELETE2(l->waiting, c, wait_prev, wait_next);
		DL_APPEND2(l->waiting, c, wait_prev, wait_next);
	}
	return r < 0 ? r : 0;
}

/* --- time ----------------------------------------------------------------------------------------- */

int64_t stream_due(const struct listener *l)
{
	int64_t due = l->watch_at > 0 ? l->watch_at : SL_NEVER;

	if (l->options->idle_timeout > 0 && l->all &&
		l->all->heard + l->options->idle_timeout < due)
		due = l->all->heard + l->options->idle_timeout;
	if (l->ending && l->settled_at < due)
		due = l->settled_at;
	return due;
}

/* It was silent for too long, unless it has just said something: as long as nobody downstream has room nobody listens to it. */
static void end_idle(struct listener *l, struct connection *c)
{
	if (read_one(l, c) != 0)
		return;
	sl_log(l->ctx, SL_LOG_INFO, "%s: closed, since nothing came for `idle_timeout`", c->peer);
	frames_end(&c->frames);
	c->is_ended = true;
	c->heard = sl_now();
	DL_DELETE(l->all, c);
	DL_APPEND(l->all, c);
	has_something(l, c);
}

void stream_tick(struct listener *l)
{
	int64_t now = sl_now();

	if (l->watch_at > 0 && l->watch_at <= now) {
		l->watch_at = 0;
		(void)watch(l);
	}
	if (l->ending && l->settled_at <= now)
		end_settled(l);
	for (int i = 0; i < EVENTS_MAX && l->options->idle_timeout > 0 && l->all; i++) {
		if (l->all->heard + l->options->idle_timeout > now)
			return;
		end_idle(l, l->all);
	}
}

void stream_close(struct listener *l)
{
	int64_t count = l->count, parts = 0;

	unwatch(l, SL_NEVER);
	while (l->all) {
		parts += frames_has_part(&l->all->frames);
		end(l, l->all);
	}
	while (l->ending)
		end_ending(l, l->ending, false);
	if (count > 0 && l->ctx)
		sl_log(l->ctx, SL_LOG_INFO,
			"%s: %lld connections closed, %lld of them in the middle of a message",
			l->options->address, (long long)count, (long long)parts);
	if (l->epoll >= 0)
		(void)close(l->epoll);
	free(l->spare);
}
