/* SPDX-License-Identifier: MIT */
/*
 * Preloaded by test_sandbox.py: what someone would try who has taken over a stage of sluice's own. In the process that $INTRUDER_IN names ("vat.0", or "make" or
 * "restore" of --point) it tries, where that process next steps through a statement or syncs a file, each of: a socket, a program, a file that it may not
 * read, one that it may not write ($INTRUDER_OUT). What came of it goes to $INTRUDER_LOG, which is opened before there is a sandbox.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_bool is_armed;
static bool is_stage;
static int out = -1;

static void __attribute__((constructor)) arm(void)
{
	const char *where = getenv("INTRUDER_IN");
	char line[4096];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	const char *second, *third;

	(void)close(fd);
	if (!where || size <= 0)
		return;
	line[size] = '\0';
	second = memchr(line, '\0', (size_t)size);
	if (!second || second + 1 >= line + size)
		return;
	third = strchr(++second, '\0') + 1;
	is_stage = strcmp(second, "--instance") == 0;
	if (third >= line + size || strcmp(third, where) != 0)
		return;
	/* Above what the process will close. */
	fd = open(getenv("INTRUDER_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	out = fcntl(fd, F_DUPFD_CLOEXEC, 500);
	(void)close(fd);
	is_armed = out >= 0;
}

static void tell(const char *what, int r)
{
	(void)dprintf(out, "%s %s\n", what, r < 0 ? strerrorname_np(errno) : "ok");
	if (r > 0)
		(void)close(r);
}

static void intrude(void)
{
	char *argv[] = { "nothing", NULL };

	/* What the engine does before there is a stage is done by the first thread. */
	if ((is_stage && gettid() == getpid()) || !atomic_exchange(&is_armed, false))
		return;
	tell("socket", socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	tell("exec", execve("/nowhere", argv, NULL));
	tell("read", open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	tell("write", open(getenv("INTRUDER_OUT"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

int sqlite3_step(void *statement)
{
	int (*real)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "sqlite3_step");

	intrude();
	return real(statement);
}

int fsync(int fd)
{
	intrude();
	return (int)syscall(SYS_fsync, fd);
}
