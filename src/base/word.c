/* SPDX-License-Identifier: MIT */
/* See word.h. */
#include "base/word.h"

#include <assert.h>
#include <stdalign.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int word_send(int socket, const struct word *word, const void *payload, size_t size, const int *fds,
	size_t fd_count)
{
	struct iovec parts[2] = {
		{ .iov_base = (void *)word, .iov_len = sizeof(*word) },
		{ .iov_base = (void *)payload, .iov_len = size },
	};
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * WORD_FDS_MAX)] = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = size > 0 ? 2 : 1 };

	assert(size <= WORD_PAYLOAD_MAX && fd_count <= WORD_FDS_MAX);
	if (fd_count > 0) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);

		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(head), fds, sizeof(int) * fd_count);
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void take_fds(struct msghdr *message, int ret_fds[WORD_FDS_MAX])
{
	for (int i = 0; i < WORD_FDS_MAX; i++)
		ret_fds[i] = -1;
	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head;
		head = CMSG_NXTHDR(message, head)) {
		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(ret_fds, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
	}
}

int word_receive(int socket, struct word *ret_word, char *payload, size_t *ret_size,
	int ret_fds[WORD_FDS_MAX])
{
	struct iovec parts[2] = {
		{ .iov_base = ret_word, .iov_len = sizeof(*ret_word) },
		{ .iov_base = payload, .iov_len = WORD_PAYLOAD_MAX },
	};
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * WORD_FDS_MAX)];
	struct msghdr message = {
		.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	/* The other end has gone with words unread. That is told once, and before what it said last. */
	if (size < 0 && errno == ECONNRESET)
		size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (size < 0)
		return -errno;
	if (size == 0)
		return 0;
	if ((size_t)size < sizeof(*ret_word))
		return -EBADMSG;
	take_fds(&message, ret_fds);
	*ret_size = (size_t)size - sizeof(*ret_word);
	return 1;
}
