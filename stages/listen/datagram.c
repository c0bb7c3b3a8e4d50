/* SPDX-License-Identifier: MIT */
/* Datagrams: each is a message of syslog, or some lines. See listen.h. */
#include "listen.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_MAX (64u << 10)
#define QUIET (10 * SL_SECOND)

static void set_buffer(struct listener *l)
{
	int size = (int)l->options->socket_buffer, is = 0;
	socklen_t is_size = sizeof(is);

	if (size == 0)
		return;
	/* Who may go beyond the system's bound does. */
	if (setsockopt(l->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	(void)getsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &is, &is_size);
	/* The kernel says twice of what it took. */
	if (is / 2 < size)
		sl_log(l->ctx, SL_LOG_WARNING,
			"%s: `socket_buffer` is %d bytes and not %d: raise net.core.rmem_max "
			"(sysctl)",
			l->options->address, is / 2, size);
}

int datagram_open(struct listener *l)
{
	struct epoll_event event = { .events = EPOLLIN };
	int on = 1;

	l->single.fd = l->fd;
	(void)setsockopt(l->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	set_buffer(l);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->fd, &event) < 0)
		return sl_error(l->ctx, -errno, "%s: cannot wait for datagrams: %s",
			l->options->address, strerrordesc_np(errno));
	return 0;
}

static void name_peer(struct listener *l, struct msghdr *message)
{
	const struct sockaddr *address = message->msg_name;
	struct ucred process = { 0 };

	if (message->msg_namelen > sizeof(address->sa_family) && address->sa_family != AF_UNIX) {
		peer_print(address, message->msg_namelen, l->single.peer);
		return;
	}
	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head))
		if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_CREDENTIALS)
			(void)memcpy(&process, CMSG_DATA(head), sizeof(process));
	peer_print_process(&process, l->single.peer);
}

/* 1: a datagram was read; 0: there is none; negative errno. */
static int read_one(struct listener *l)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
	struct frames *frames = &l->single.frames;
	struct sockaddr_storage address;
	size_t room = l->options->line_max < DATAGRAM_MAX ? DATAGRAM_MAX : l->options->line_max + 1;
	struct iovec part = { .iov_base = frames_room(frames, room), .iov_len = room };
	struct msghdr message = { .msg_name = &address,
		.msg_namelen = sizeof(address),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	ssize_t size;

	if (!part.iov_base)
		return -ENOMEM;
	do
		size = recvmsg(l->fd, &message, MSG_DONTWAIT);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		/* What an earlier datagram of ours met is nobody's business here: we send none. */
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == ECONNREFUSED ? 0
											: -errno;
	name_peer(l, &message);
	frames->is_at_end = false;
	frames_added(frames, (size_t)size);
	frames_end(frames);
	if (message.msg_flags & MSG_TRUNC) {
		message_refuse(l, l->single.peer, "the datagram is longer than `line_max`",
			frames->data, frames->size);
		frames->begin = frames->size;
	}
	return 1;
}

int datagram_give(struct listener *l)
{
	int r = listen_give(l, &l->single);

	while (r > 0 && listen_has_room(l)) {
		r = read_one(l);
		if (r > 0)
			r = listen_give(l, &l->single);
	}
	return r < 0 ? r : 0;
}

void datagram_count_drops(struct listener *l)
{
	uint32_t memory[SK_MEMINFO_VARS] = { 0 }, lost;
	socklen_t size = sizeof(memory);

	if (sl_process(l->ctx) > 0 ||
		getsockopt(l->fd, SOL_SOCKET, SO_MEMINFO, memory, &size) < 0 ||
		size <= SK_MEMINFO_DROPS * sizeof(*memory))
		return;
	/* Less than before: it is another socket. */
	if (memory[SK_MEMINFO_DROPS] < l->drops)
		l->drops = 0;
	lost = memory[SK_MEMINFO_DROPS] - l->drops;
	if (lost == 0)
		return;
	l->drops = memory[SK_MEMINFO_DROPS];
	l->position += lost;
	sl_drop(l->ctx, lost);
	if (l->said_drops_at != 0 && sl_now() - l->said_drops_at < QUIET)
		return;
	l->said_drops_at = sl_now();
	sl_log_about(l->ctx, SL_ABOUT_DROPPED, SL_LOG_WARNING,
		"%s: the kernel dropped %u datagrams so far, since they came faster than they were "
		"read: see what holds up the stages behind, or set a larger `socket_buffer`",
		l->options->address, l->drops);
}

void datagram_close(struct listener *l)
{
	frames_fini(&l->single.frames);
	if (l->epoll >= 0)
		(void)close(l->epoll);
}
