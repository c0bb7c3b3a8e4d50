/* SPDX-License-Identifier: MIT */
/*
 * The walls themselves, each in a child that tells by its exit status what it met: with a sanitizer, too, under which a stage process does without. A child
 * leaves by _exit, before a leak checker wants to trace it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/sandbox.h"

/* Of a child: the walls could be put up and held; they are not to be had here; what did not hold has a line number. */
enum { HELD, NOT_HERE = 254 };

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__ % 250 + 1;                                                 \
	} while (0)

static char root[] = "/tmp/slbox.XXXXXX";

static const char *at(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];

	(void)snprintf(path, PATH_MAX, "%s/%s", root, name);
	return path;
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static void put(const char *path)
{
	assert_int_equal(try_open(path, O_WRONLY | O_CREAT), 0);
}

static void run(int (*child)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NOT_HERE)
		skip();
	assert_int_equal(WEXITSTATUS(status), HELD);
}

/* --- files ---------------------------------------------------------------------------------------- */

static void tell_files(void *of, sl_files_fn *tell, void *user)
{
	(void)of;
	tell(user, at("mine/new"), SL_FILES_WRITE);
	tell(user, at("read/in.csv"), SL_FILES_READ);
	tell(user, at("names/link"), SL_FILES_READ);
	tell(user, at("names/dangling"), SL_FILES_WRITE);
	tell(user, at("read/later/below/file"), SL_FILES_READ);
	tell(user, "/slnowhere/below/file", SL_FILES_READ);
	tell(user, at("home/exact"), SL_FILES_READ | SL_FILES_EXACT);
	tell(user, at("home/missing"), SL_FILES_READ | SL_FILES_EXACT);
	/* Of a process that stands in the root. */
	tell(user, "slnowhere", SL_FILES_READ);
}

static const struct sandbox box = {
	.needs = SL_CONFINED | SL_NEEDS_FILES, .state = root, .files = tell_files
};

/* The state, a folder of its own, is what all have. */
static int limit(void)
{
	struct sandbox sandbox = box;
	struct err err = { "" };
	int r;

	sandbox.state = at("state");
	r = sandbox_limit_files(&sandbox, &err);
	if (r < 0 && r != -ENOSYS)
		(void)fprintf(stderr, "%d %s\n", r, err.text);
	return r;
}

static int files_child(void)
{
	int r = limit();

	if (r == -ENOSYS)
		return NOT_HERE;
	MUST(r == 0);
	MUST(try_open(at("state/x"), O_WRONLY | O_CREAT) == 0);
	MUST(try_open(at("mine/new"), O_WRONLY | O_CREAT) == 0);
	MUST(rename(at("mine/new"), at("mine/newer")) == 0 && unlink(at("mine/newer")) == 0);
	MUST(try_open(at("read/in.csv"), O_RDONLY) == 0);
	MUST(try_open(at("read/other"), O_RDONLY) == 0);
	MUST(try_open(at("read/in.csv"), O_WRONLY) == -EACCES);
	MUST(try_open(at("names/link"), O_RDONLY) == 0);
	MUST(try_open(at("far/second"), O_RDONLY) == 0);
	MUST(try_open(at("names/dangling"), O_WRONLY | O_CREAT) == 0);
	MUST(try_open(at("home/exact"), O_RDONLY) == 0);
	MUST(try_open(at("home/other"), O_RDONLY) == -EACCES);
	MUST(try_open(at("home/missing"), O_RDONLY) == -ENOENT);
	MUST(try_open(at("home"), O_RDONLY) == -EACCES);
	MUST(try_open(at("home/new"), O_WRONLY | O_CREAT) == -EACCES);
	MUST(try_open("/etc/passwd", O_RDONLY) == -EACCES);
	return HELD;
}

static void files(void **state)
{
	static const char *const folders[] = { "state", "mine", "read", "names", "far", "target",
		"home" };

	(void)state;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		assert_int_equal(mkdir(at(folders[i]), 0700), 0);
	put(at("read/in.csv"));
	put(at("read/other"));
	put(at("far/file"));
	put(at("far/second"));
	put(at("home/exact"));
	put(at("home/other"));
	assert_int_equal(symlink("../far/file", at("names/link")), 0);
	assert_int_equal(symlink(at("target/new"), at("names/dangling")), 0);
	run(files_child);
}

/* --- system calls --------------------------------------------------------------------------------- */

static int filter(unsigned needs)
{
	struct sandbox sandbox = box;
	struct err err;

	sandbox.needs = needs;
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return sandbox_filter_calls(&sandbox, &err);
}

static int try_socket(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static int calls_child(void)
{
	char *argv[] = { (char *)"nothing", NULL };
	int r = filter(SL_CONFINED);

	if (r == -ENOSYS)
		return NOT_HERE;
	MUST(r == 0);
	MUST(try_socket(AF_INET) == -EPERM && try_socket(AF_UNIX) == 0);
	MUST(execv("/nowhere", argv) < 0 && errno == EPERM);
	MUST(syscall(SYS_clone, 0, NULL, NULL, NULL, NULL) < 0 && errno == EPERM);
	MUST(syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
	MUST(syscall(SYS_swapoff, "/nowhere") < 0 && errno == EPERM);
	MUST(syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == ENOSYS);
	MUST(syscall(1000) < 0 && errno == ENOSYS);
	return HELD;
}

static void calls(void **state)
{
	(void)state;
	run(calls_child);
}

static int network_child(void)
{
	int r = filter(SL_CONFINED | SL_NEEDS_NETWORK);

	if (r == -ENOSYS)
		return NOT_HERE;
	MUST(r == 0);
	MUST(try_socket(AF_INET) != -EPERM && try_socket(AF_INET) != -ENOSYS);
	MUST(syscall(SYS_clone, 0, NULL, NULL, NULL, NULL) < 0 && errno == EPERM);
	return HELD;
}

static void network(void **state)
{
	(void)state;
	run(network_child);
}

static int make_root(void **state)
{
	(void)state;
	return mkdtemp(root) && chdir("/") == 0 ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[64];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),
		cmocka_unit_test(calls),
		cmocka_unit_test(network),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
