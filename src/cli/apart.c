/* SPDX-License-Identifier: MIT */
/* See apart.h. */
#include "cli/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "supervisor/supervisor.h"

#define PATIENCE (2 * NSEC_PER_SEC) /* for what is in work when the time is over */

/* --- the folder ----------------------------------------------------------------------------------- */

void apart_name(const char *command, char folder[APART_FOLDER_SIZE])
{
	const char *base = getenv("TMPDIR");

	(void)snprintf(folder, APART_FOLDER_SIZE, "%.200s/sluice-%s-XXXXXX", base ? base : "/tmp",
		command);
}

int apart_make(char *folder, struct err *err)
{
	return mkdtemp(folder) ? 0
			       : err_set(err, -errno, "cannot make the folder %s: %s", folder,
					 err_name(errno));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

void apart_remove(const char *folder)
{
	(void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int apart_write(
	const char *folder, const char *name, const char *data, size_t size, struct err *err)
{
	char path[APART_FOLDER_SIZE + 64];
	FILE *file;
	bool is_whole;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "we");
	if (!file)
		return err_set(err, -errno, "cannot make %s: %s", path, err_name(errno));
	is_whole = fwrite(data, 1, size, file) == size;
	if (fclose(file) != 0 || !is_whole)
		return err_set(err, -EIO, "cannot write %s", path);
	return 0;
}

/* --- the run -------------------------------------------------------------------------------------- */

struct watcher {
	FILE *lines;
	int64_t until_ns;
	int64_t over_ns; /* since when the time is over; 0: it is not */
	bool was_cut;    /* stopped at once, by us */
};

static void on_line(void *user, const struct log_line *line)
{
	const struct watcher *watcher = user;
	char whose[128];

	if (line->level <= LOG_LEVEL_WARNING)
		(void)fprintf(watcher->lines, "sluice: %s%s%s\n",
			log_whose(line, whose, sizeof(whose)),
			line->level <= LOG_LEVEL_ERROR ? "error: " : "", line->text);
}

/* The first signal drains, the second one stops at once. */
static void on_tick(void *user, const struct supervisor *supervisor)
{
	struct watcher *watcher = user;
	int64_t now = clock_now();

	(void)supervisor;
	if (watcher->over_ns == 0 && now >= watcher->until_ns) {
		watcher->over_ns = now;
		(void)kill(getpid(), SIGTERM);
	} else if (watcher->over_ns > 0 && !watcher->was_cut && now - watcher->over_ns > PATIENCE) {
		watcher->was_cut = true;
		(void)kill(getpid(), SIGTERM);
	}
}

static void judge_end(
	const struct watcher *watcher, const struct supervisor *supervisor, struct apart_end *ret)
{
	struct supervisor_result result;

	supervisor_result(supervisor, &result);
	*ret = (struct apart_end){
		.has_failed = result.end == SUPERVISOR_FAILED && !watcher->was_cut,
		.is_over = watcher->over_ns > 0 && result.is_stopped,
		.is_stopped = watcher->over_ns == 0 && result.is_stopped,
	};
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s", result.reason);
}

int apart_run(struct graph *graph, const char *folder, int64_t limit_ns, FILE *lines,
	struct apart_end *ret, struct err *err)
{
	struct plan plan = { .graph = graph, .state_lock = -1, .runtime_lock = -1 };
	struct watcher watcher = { .lines = lines, .until_ns = clock_now() + limit_ns };
	struct supervisor_view view = { .line = on_line, .tick = on_tick, .user = &watcher };
	struct supervisor *supervisor;
	int r;

	(void)snprintf(plan.state, sizeof(plan.state), "%s", folder);
	(void)snprintf(plan.runtime, sizeof(plan.runtime), "%s", folder);
	r = plan_lock(&plan, err);
	if (r == 0)
		r = supervisor_run(&plan, (struct supervisor_start){ .mode = RESUME_APART }, &view,
			&supervisor, err);
	if (r == 0) {
		judge_end(&watcher, supervisor, ret);
		supervisor_free(supervisor);
	}
	if (plan.state_lock >= 0)
		(void)close(plan.state_lock);
	return r;
}

/* --- sluice-stage --------------------------------------------------------------------------------- */

static void exec_stage(const char *const *words, const char *path)
{
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : STDOUT_FILENO;

	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
		_exit(127);
	(void)execv(plan_stage_program(), (char *const *)words);
	(void)dprintf(STDERR_FILENO, "cannot run %s: %s\n", plan_stage_program(), err_name(errno));
	_exit(127);
}

int apart_ask(const char *const *words, const char *path)
{
	pid_t pid;
	int status;

	(void)fflush(stdout);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		exec_stage(words, path);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}
