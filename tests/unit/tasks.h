/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the coroutine room share. An assertion that fails inside a task or a thread still ends the program with
 * its message and a status that is not 0.
 */
#ifndef UNIT_TASKS_H
#define UNIT_TASKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "task/task.h"

#define MS SL_MILLISECOND
#define LONG (20 * SL_SECOND) /* never reached by a test that passes */

/* A wait that is never ended fails the test instead of holding everybody up. */
static __attribute__((constructor)) void end_at_last(void)
{
	(void)alarm(120);
}

static inline int64_t in(int64_t ns)
{
	return sl_now() + ns;
}

/* Nothing is left on this thread's loop; then the loop ends too. */
static inline void end_clean(void)
{
	const struct loop *loop = loop_of_thread();

	if (loop) {
		assert_int_equal(loop->counts.tasks, 0);
		assert_int_equal(loop->stacks.used, 0);
		assert_null(loop->watches);
		assert_null(timers_first(&loop->timers));
	}
	loop_end();
}

/* fn as the only member of a group of the plain thread. */
static inline void in_a_task(sl_member_fn *fn, void *arg)
{
	struct sl_context ctx = { 0 };
	struct sl_group group;

	sl_group_open(&ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, fn, arg), 0);
	assert_int_equal(sl_group_close(&group), 0);
}

/* fn, which asserts by itself and returns 0, from the plain thread and from inside a task. */
static inline void both(sl_member_fn *fn, void *arg)
{
	struct sl_context ctx = { 0 };

	assert_int_equal(fn(&ctx, arg), 0);
	end_clean();
	in_a_task(fn, arg);
	end_clean();
}

static inline int count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	(void)closedir(folder);
	return count;
}

/* sl_spawn needs them, and Valgrind 3.19 does not know them. */
static inline bool has_pidfds(void)
{
	int fd = pidfd_open(getpid(), 0);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static inline void skip_without_pidfds(void)
{
	if (has_pidfds())
		return;
	print_message("skipped: no pidfd_open(2) here\n");
	skip();
}

/* Lets the other tasks of this thread go on until `*flag`; a test that hangs here fails instead. */
static inline void yield_until(struct sl_context *ctx, const int *flag, int value)
{
	int64_t late = in(LONG);

	while (*flag < value) {
		assert_int_equal(sl_yield(ctx), 0);
		assert_true(sl_now() < late);
	}
}

/* In a child process fn() ends by `number`, and what it says on stderr contains `text`. */
static inline void dies_saying(void (*fn)(void), int number, const char *text)
{
	char said[4096] = "";
	size_t size = 0;
	int ends[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
		(void)dup2(ends[1], STDERR_FILENO);
		(void)close(ends[0]);
		(void)close(ends[1]);
		fn();
		_exit(0);
	}
	(void)close(ends[1]);
	while (size < sizeof(said) - 1 &&
		(n = read(ends[0], said + size, sizeof(said) - 1 - size)) > 0)
		size += (size_t)n;
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != number || !strstr(said, text))
		fail_msg("expected signal %d and \"%s\", found status %#x and \"%s\"", number, text,
			(unsigned)status, said);
}

#endif
