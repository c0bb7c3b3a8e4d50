/* SPDX-License-Identifier: MIT */
/*
 * Other programs: sl_spawn, sl_child_wait, sl_child_end. The end of one is a pidfd that becomes readable, so it is waited for
 * like any descriptor. A child leads a process group of its own: the terminal's Ctrl-C is not for it, and its end takes its
 * own children along.
 */
#include <sluice/task.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "task/loop.h"

extern char **environ;

/* What the child is given: its ends, and where it says why it could not become the program. */
struct ends {
	int in, out, err;
	int failure;
};

/* In the child, which shares our memory until it has become the program: nothing but system calls. */
static _Noreturn void become(const struct sl_program *program, char *const *environment,
	const struct ends *ends, pid_t parent)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	sigset_t none;
	int error;

	for (int number = 1; number < NSIG; number++)
		(void)sigaction(number, &plain, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent && dup2(ends->in, STDIN_FILENO) >= 0 &&
		dup2(ends->out, STDOUT_FILENO) >= 0 &&
		(ends->err < 0 || dup2(ends->err, STDERR_FILENO) >= 0) &&
		(!program->folder || chdir(program->folder) == 0))
		(void)execvpe(program->argv[0], (char *const *)program->argv, environment);
	error = errno ? errno : ESRCH;
	(void)!write(ends->failure, &error, sizeof(error));
	_exit(127);
}

/* vfork: a copy of our page tables would cost milliseconds where there are many stacks. The pid, or negative errno. */
static pid_t vfork_program(
	const struct sl_program *program, char *const *environment, const struct ends *ends)
{
	pid_t parent = getpid();
	sigset_t all, before;
	pid_t pid;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): all signals are blocked, and become() makes system calls only */
	if (pid == 0)
		become(program, environment, ends, parent); /* NOLINT(clang-analyzer-unix.Vfork) */
	pid = pid < 0 ? -errno : pid;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid;
}

static size_t count_words(const char *const *words)
{
	size_t count = 0;

	while (words && words[count])
		count++;
	return count;
}

static bool is_overridden(const char *ours, const char *const *added)
{
	size_t name = strcspn(ours, "=");

	for (; added && *added; added++)
		if (strncmp(ours, *added, name + 1) == 0)
			return true;
	return false;
}

/* Ours and what is added; the list is the caller's, the words are borrowed. */
static char **make_environment(const char *const *added)
{
	size_t count = 0;
	char **list = calloc(
		count_words((const char *const *)environ) + count_words(added) + 1, sizeof(char *));

	for (char **word = environ; list && word && *word; word++)
		if (!is_overridden(*word, added))
			list[count++] = *word;
	for (; list && added && *added; added++)
		list[count++] = (char *)*added;
	return list;
}

static int make_pipe(int *ret_ours, int *ret_theirs, bool we_read)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*ret_ours = ends[we_read ? 0 : 1];
	*ret_theirs = ends[we_read ? 1 : 0];
	if (fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static int open_null(int *ret_fd)
{
	*ret_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

static int make_ends(unsigned pipes, struct sl_child *child, struct ends *ends)
{
	int r = pipes & SL_PIPE_IN ? make_pipe(&child->in, &ends->in, false) : open_null(&ends->in);

	if (r == 0)
		r = pipes & SL_PIPE_OUT ? make_pipe(&child->out, &ends->out, true)
					: open_null(&ends->out);
	if (r == 0 && (pipes & SL_PIPE_ERR))
		r = make_pipe(&child->err, &ends->err, true);
	return r;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void close_pipes(struct sl_child *child)
{
	close_fd(&child->in);
	close_fd(&child->out);
	close_fd(&child->err);
}

/* 0 once it has become the program: then its end of the pipe is closed without a word. */
static int run_program(const struct sl_program *program, const struct ends *ends, int failure,
	struct sl_child *child)
{
	_cleanup_free_ char **environment = make_environment(program->environment);
	int error = 0;

	child->pid = environment ? vfork_program(program, environment, ends) : -ENOMEM;
	(void)close(ends->failure);
	if (child->pid < 0)
		return child->pid;
	if (read(failure, &error, sizeof(error)) < 0)
		error = errno;
	if (error == 0)
		child->pidfd = pidfd_open(child->pid, 0);
	if (error == 0 && child->pidfd < 0)
		error = errno;
	if (error == 0)
		return 0;
	(void)kill(child->pid, SIGKILL);
	(void)waitpid(child->pid, NULL, 0);
	return -error;
}

static int spawn(const struct sl_program *program, struct sl_child *child, struct ends *ends)
{
	int failure[2];
	int r = make_ends(program->pipes, child, ends);

	if (r < 0)
		return r;
	if (pipe2(failure, O_CLOEXEC) < 0)
		return -errno;
	ends->failure = failure[1];
	r = run_program(program, ends, failure[0], child);
	(void)close(failure[0]);
	return r;
}

int sl_spawn(struct sl_context *ctx, const struct sl_program *program, struct sl_child *ret_child)
{
	struct sl_child child = { .pid = -1, .pidfd = -1, .in = -1, .out = -1, .err = -1 };
	struct ends ends = { .in = -1, .out = -1, .err = -1 };
	int r;

	if (task_is_canceled(task_self(ctx)))
		return -ECANCELED;
	r = spawn(program, &child, &ends);
	close_fd(&ends.in);
	close_fd(&ends.out);
	close_fd(&ends.err);
	if (r < 0) {
		close_pipes(&child);
		return r;
	}
	*ret_child = child;
	return 0;
}

/* As waitpid(2) would give it. */
static int status_of(const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		return W_EXITCODE(info->si_status, 0);
	return W_EXITCODE(0, info->si_status) | (info->si_code == CLD_DUMPED ? WCOREFLAG : 0);
}

int sl_child_wait(struct sl_context *ctx, struct sl_child *child, int64_t deadline, int *ret_status)
{
	siginfo_t info = { 0 };
	int r = sl_wait_fd(ctx, child->pidfd, POLLIN, deadline);

	if (r < 0)
		return r;
	/* It stays to be asked again, and is reaped by sl_child_end. */
	if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOWAIT) < 0)
		return -errno;
	*ret_status = status_of(&info);
	return 0;
}

/* The child and what it has started. */
static void signal_group(const struct sl_child *child, int number)
{
	if (kill(-child->pid, number) < 0)
		(void)kill(child->pid, number);
}

int sl_child_end(struct sl_context *ctx, struct sl_child *child, int64_t grace)
{
	struct sl_scope shield;
	int status = 0;
	int r;

	sl_scope_open(ctx, &shield, SL_NEVER, SL_SHIELD);
	close_pipes(child);
	r = sl_child_wait(ctx, child, clock_now() + grace, &status);
	if (r == -ETIMEDOUT) {
		signal_group(child, SIGTERM);
		r = sl_child_wait(ctx, child, clock_now() + grace, &status);
	}
	signal_group(child, SIGKILL);
	if (r < 0)
		(void)sl_child_wait(ctx, child, SL_NEVER, &status);
	(void)waitpid(child->pid, NULL, 0);
	close_fd(&child->pidfd);
	(void)sl_scope_close(ctx, &shield);
	return status;
}
