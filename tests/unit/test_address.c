/* SPDX-License-Identifier: MIT */
/* Addresses to listen at: what is one, what is said of what is none, and sockets really opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"

static struct address parse(const char *text)
{
	struct address address = { 0 };
	struct err err = { 0 };

	if (address_parse(text, &address, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return address;
}

static void parses(void **state)
{
	struct address a = parse("tcp://127.0.0.1:5514");
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a.socket;
	struct address b = parse("udp://[::1]:514");
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&b.socket;

	(void)state;
	assert_int_equal(a.type, SOCK_STREAM);
	assert_int_equal(v4->sin_family, AF_INET);
	assert_int_equal(ntohs(v4->sin_port), 5514);
	assert_int_equal(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);
	assert_int_equal(b.type, SOCK_DGRAM);
	assert_int_equal(v6->sin6_family, AF_INET6);
	assert_int_equal(ntohs(v6->sin6_port), 514);
	assert_true(IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr));
	assert_int_equal(parse("tcp://*:1").socket.ss_family, AF_INET6);
	assert_int_equal(parse("tcp://localhost:65535").socket.ss_family, AF_INET);
	assert_string_equal(parse("unix:///run/x.sock").path, "/run/x.sock");
	assert_int_equal(parse("unixgram:///run/x.sock").type, SOCK_DGRAM);
	assert_string_equal(parse("fd:syslog").given, "syslog");
}

static void refuses(void **state)
{
	/* clang-format off */
	static const struct { const char *text, *says; } cases[] = {
		{ "", "write tcp://127.0.0.1:5514" },
		{ "127.0.0.1:5514", "write tcp://127.0.0.1:5514" },
		{ "tcp:127.0.0.1:5514", "write tcp://127.0.0.1:5514" },
		{ "http://127.0.0.1:5514", "write tcp://127.0.0.1:5514" },
		{ "tcp://", "without a port" },
		{ "tcp://127.0.0.1", "without a port" },
		{ "tcp://127.0.0.1:", "without a port" },
		{ "tcp://127.0.0.1:0", "without a port" },
		{ "tcp://127.0.0.1:65536", "without a port" },
		{ "tcp://127.0.0.1:99999999999999999999", "without a port" },
		{ "tcp://127.0.0.1:-1", "without a port" },
		{ "tcp://127.0.0.1:5514/", "without a port" },
		{ "tcp://:5514", "no address of a machine in numbers" },
		{ "tcp://example.org:5514", "write tcp://127.0.0.1:5514, tcp://[::1]:5514, or tcp://*:5514" },
		{ "tcp://::1:5514", "tcp://[::1]:5514" },
		{ "tcp://[::1:5514", "no address of a machine" },
		{ "tcp://]:5514", "no address of a machine" },
		{ "udp://[]:5514", "no address of a machine" },
		{ "udp://1.2.3:5514", "no address of a machine" },
		{ "udp://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1", "no address of a machine" },
		{ "unix://x.sock", "from the root" },
		{ "unix://", "from the root" },
		{ "unix:///", "from the root" },
		{ "fd:", "FileDescriptorName=" },
		{ "fd:a:b", "FileDescriptorName=" },
	};
	/* clang-format on */
	struct address address;
	char path[200] = "unix:///";
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(address_parse(cases[i].text, &address, &err), -EINVAL);
		assert_non_null(strstr(err.text, "`address`"));
		if (!strstr(err.text, cases[i].says))
			fail_msg("%s: %s", cases[i].text, err.text);
	}
	memset(path + strlen(path), 'x', 120);
	assert_int_equal(address_parse(path, &address, &err), -EINVAL);
	assert_non_null(strstr(err.text, "107 are the most"));
}

/* --- sockets -------------------------------------------------------------------------------------- */

static int open_at(const char *text, struct err *err)
{
	struct address address = parse(text);

	return address_listen(&address, text, err);
}

static void listens_once(void **state)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(name);
	char text[40];
	struct err err = { 0 };
	int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	(void)state;
	assert_int_equal(bind(taken, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(taken, 1), 0);
	assert_int_equal(getsockname(taken, (struct sockaddr *)&name, &size), 0);
	(void)snprintf(text, sizeof(text), "tcp://127.0.0.1:%u", ntohs(name.sin_port));
	assert_int_equal(open_at(text, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, text));
	assert_non_null(strstr(err.text, "ss -lntup"));
	close(taken);
	fd = open_at(text, &err);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	assert_int_equal(open_at("tcp://192.0.2.1:5514", &err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err.text, "ip address"));
}

/* "*" is IPv4, too. */
static void listens_everywhere(void **state)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(name);
	char text[40];
	struct err err = { 0 };
	int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, client;

	(void)state;
	assert_int_equal(bind(probe, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(getsockname(probe, (struct sockaddr *)&name, &size), 0);
	close(probe);
	(void)snprintf(text, sizeof(text), "tcp://*:%u", ntohs(name.sin_port));
	fd = open_at(text, &err);
	if (fd == -EAFNOSUPPORT)
		skip();
	assert_true(fd >= 0);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&name, sizeof(name)), 0);
	close(client);
	close(fd);
}

static void paths(void **state)
{
	char folder[] = "/tmp/sladdrXXXXXX", text[100], file[100];
	struct err err = { 0 };
	int first, second;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(text, sizeof(text), "unixgram://%s/x.sock", folder);
	first = open_at(text, &err);
	assert_true(first >= 0);
	assert_int_equal(open_at(text, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another program listens there"));
	/* Left over: nobody has it any more. */
	close(first);
	second = open_at(text, &err);
	assert_true(second >= 0);
	close(second);
	(void)snprintf(file, sizeof(file), "%s/x.sock", folder);
	assert_int_equal(unlink(file), 0);
	/* What is no socket stays. */
	assert_true((first = creat(file, 0600)) >= 0);
	close(first);
	assert_int_equal(open_at(text, &err), -EEXIST);
	assert_int_equal(unlink(file), 0);
	(void)snprintf(text, sizeof(text), "unix://%s/none/x.sock", folder);
	assert_int_equal(open_at(text, &err), -ENOENT);
	assert_non_null(strstr(err.text, "no such folder"));
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses),
		cmocka_unit_test(refuses),
		cmocka_unit_test(listens_once),
		cmocka_unit_test(listens_everywhere),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
