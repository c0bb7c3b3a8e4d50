/* SPDX-License-Identifier: MIT */
/* See address.h. */
#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

#define HOST_MAX 64
#define GIVEN_MAX 255 /* systemd's own bound */

/* clang-format off */
static const struct { const char *prefix; int type; bool is_unix; } schemes[] = {
	{ "tcp://",      SOCK_STREAM, false },
	{ "udp://",      SOCK_DGRAM,  false },
	{ "unix://",     SOCK_STREAM, true },
	{ "unixgram://", SOCK_DGRAM,  true },
};
/* clang-format on */

static int parse_given(const char *name, struct address *address, struct err *err)
{
	size_t size = strlen(name);

	if (size == 0 || size > GIVEN_MAX || strchr(name, ':'))
		return err_set(err, -EINVAL,
			"`address` is \"fd:%.60s\": behind fd: write the FileDescriptorName= of "
			"the .socket unit",
			name);
	address->given = name;
	return 0;
}

static int parse_unix(const char *path, struct address *address, struct err *err)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&address->socket;

	if (path[0] != '/' || path[1] == '\0')
		return err_set(err, -EINVAL,
			"`address` has the path \"%.100s\": write it from the root, unix:///run/%s",
			path, "shop.sock");
	if (strlen(path) >= sizeof(un->sun_path))
		return err_set(err, -EINVAL,
			"`address` has a path of %zu bytes, and %zu are the most for a socket: "
			"write a shorter one",
			strlen(path), sizeof(un->sun_path) - 1);
	un->sun_family = AF_UNIX;
	(void)memcpy(un->sun_path, path, strlen(path) + 1);
	address->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
	address->path = path;
	return 0;
}

/* "127.0.0.1", "::1", "*" or "localhost", without brackets. */
static int parse_host(const char *host, uint16_t port, struct address *address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address->socket;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->socket;

	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		address->size = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, strcmp(host, "*") == 0 ? "::" : host, &v6->sin6_addr) != 1)
		return -EINVAL;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	address->size = sizeof(*v6);
	return 0;
}

/* "HOST:PORT", or "[HOST]:PORT". */
static int parse_inet(
	const char *text, const char *prefix, struct address *address, struct err *err)
{
	const char *colon = strrchr(text, ':');
	char host[HOST_MAX];
	char *end = NULL;
	long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtol(colon + 1, &end, 10) : 0;
	bool has_brackets = text[0] == '[' && colon && colon[-1] == ']';
	int size = colon ? (int)(colon - text) - 2 * has_brackets : -1;

	if (port < 1 || port > UINT16_MAX || *end)
		return err_set(err, -EINVAL,
			"`address` is \"%s%.60s\", without a port between 1 and 65535: write "
			"%s127.0.0.1:5514",
			prefix, text, prefix);
	if (size < 1 || size >= HOST_MAX || (!has_brackets && memchr(text, ':', (size_t)size)))
		size = 0;
	(void)snprintf(host, sizeof(host), "%.*s", size, text + has_brackets);
	if (size > 0 && parse_host(host, (uint16_t)port, address) == 0)
		return 0;
	return err_set(err, -EINVAL,
		"`address` is \"%s%.60s\", whose first part is no address of a machine in numbers: "
		"write %s127.0.0.1:%ld, %s[::1]:%ld, or %s*:%ld for every address of this one",
		prefix, text, prefix, port, prefix, port, prefix, port);
}

int address_parse(const char *text, struct address *ret_address, struct err *err)
{
	struct address address = { 0 };
	int r = -ENOENT;

	if (strncmp(text, "fd:", 3) == 0)
		r = parse_given(text + 3, &address, err);
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && r == -ENOENT; i++) {
		size_t size = strlen(schemes[i].prefix);

		if (strncmp(text, schemes[i].prefix, size) != 0)
			continue;
		address.type = schemes[i].type;
		r = schemes[i].is_unix ? parse_unix(text + size, &address, err)
				       : parse_inet(text + size, schemes[i].prefix, &address, err);
	}
	if (r == -ENOENT)
		return err_set(err, -EINVAL,
			"`address` is \"%.60s\": write tcp://127.0.0.1:5514, udp://127.0.0.1:5514, "
			"unix:///run/shop.sock, unixgram:///run/shop.sock, or fd:NAME for a socket "
			"that systemd opens",
			text);
	if (r == 0)
		*ret_address = address;
	return r;
}

/* --- listening ------------------------------------------------------------------------------------ */

static const char *advice(const struct address *address, int error)
{
	switch (error) {
	case -EADDRINUSE:
		return address->path ? "another program listens there: end it, or write another "
				       "path"
				     : "another program has that port (`ss -lntup` says which): "
				       "end it, or write another port";
	case -EADDRNOTAVAIL:
		return "this machine has no such address (`ip address` shows those it has): write "
		       "one of those, or \"*\" for all";
	case -EACCES:
	case -EPERM:
		return address->path ? "write a path in a folder where this user may write, say "
				       "below /run/user"
				     : "ports below 1024 want AmbientCapabilities="
				       "CAP_NET_BIND_SERVICE in the unit, or a socket from systemd "
				       "(address = \"fd:NAME\"), or write a higher one";
	case -ENOENT:
		return "there is no such folder: make it, or write another path";
	case -EEXIST:
		return "there is a file that is no socket: move it away, or write another path";
	case -EAFNOSUPPORT:
		return "this machine has no IPv6: write an address as 0.0.0.0";
	default:
		return "see to that, or write another address";
	}
}

/* Of a process that has gone, perhaps of ours: in the way, but nobody's. 0, or why it must stay. */
static int remove_left_over(const struct address *address)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(address->path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, address->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address->socket, address->size) == 0 ||
		errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(address->path) < 0 && errno != ENOENT ? -errno : 0;
}

/*
 * "*" means IPv4 as well, whatever the system's default is. Who sent a datagram of this machine is known of those that were sent after
 * it was asked for.
 */
static int set_options(const struct address *address, int fd)
{
	int on = 1, off = 0;

	if (address->path && address->type == SOCK_DGRAM)
		return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ? -errno : 0;
	if (address->path)
		return 0;
	if (address->type == SOCK_STREAM &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (address->socket.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
		return -errno;
	return 0;
}

static int open_socket(const struct address *address)
{
	_cleanup_close_ int fd = -1;
	int r = address->path ? remove_left_over(address) : 0;

	if (r < 0)
		return r;
	fd = socket(address->socket.ss_family, address->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = set_options(address, fd);
	if (r == 0 && bind(fd, (const struct sockaddr *)&address->socket, address->size) < 0)
		r = -errno;
	if (r == 0 && address->type == SOCK_STREAM && listen(fd, SOMAXCONN) < 0)
		r = -errno;
	return r < 0 ? r : take_fd(fd);
}

int address_listen(const struct address *address, const char *text, struct err *err)
{
	int fd = open_socket(address);

	return fd >= 0 ? fd
		       : err_set(err, fd, "cannot listen at %s: %s: %s", text, err_name(fd),
				 advice(address, fd));
}
