/* SPDX-License-Identifier: MIT */
/* See child.h. */
#include "supervisor/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "supervisor/supervisor_room.h"

int child_init(
	struct child *child, struct supervisor *supervisor, uint32_t stage, uint32_t instance)
{
	int r;

	*child = (struct child){
		.supervisor = supervisor,
		.stage = stage,
		.instance = instance,
		.words = -1,
		.errors = -1,
		.page_fd = -1,
	};
	group_init(&child->group);
	(void)snprintf(child->name, sizeof(child->name), "%s.%u",
		supervisor_graph(supervisor)->stages[stage].name, instance);
	r = page_create();
	if (r < 0)
		return r;
	child->page_fd = r;
	child->page = page_map(child->page_fd, &r);
	return child->page ? 0 : r;
}

void child_release(struct child *child)
{
	child->exit_source = sd_event_source_unref(child->exit_source);
	child->words_source = sd_event_source_unref(child->words_source);
	child->errors_source = sd_event_source_unref(child->errors_source);
	if (child->words >= 0)
		(void)close(child->words);
	if (child->errors >= 0)
		(void)close(child->errors);
	child->words = -1;
	child->errors = -1;
	child->pid = 0;
	child->line_size = 0;
}

void child_fini(struct child *child)
{
	child_release(child);
	child->timer = sd_event_source_unref(child->timer);
	group_remove(&child->supervisor->groups, child->name, &child->group);
	page_unmap(child->page);
	free(child->tally);
	if (child->page_fd >= 0)
		(void)close(child->page_fd);
}

/* --- spawning ----------------------------------------------------------------------------------- */

struct ends {
	int words;  /* the child's */
	int errors; /* the write end */
};

static void keep_or_null(bool keep, int fd)
{
	int null;

	if (keep)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0 && null != fd)
		(void)dup2(null, fd);
}

static __attribute__((noreturn)) void refuse(int errors, const char *text)
{
	(void)!write(errors, text, strlen(text));
	_exit(127);
}

/* Nothing of the stage may run before its limits hold. */
static void set_limits(const struct child *child, int errors)
{
	struct rlimit data;

	if (child->group.enter >= 0 && write(child->group.enter, "0", 1) < 0)
		refuse(errors, "<3>cannot enter its cgroup\n");
	if (child->data_max == 0)
		return;
	if (getrlimit(RLIMIT_DATA, &data) < 0)
		refuse(errors, "<3>cannot ask for its limit RLIMIT_DATA\n");
	if (data.rlim_max > child->data_max)
		data.rlim_max = child->data_max;
	data.rlim_cur = data.rlim_max;
	if (setrlimit(RLIMIT_DATA, &data) < 0)
		refuse(errors, "<3>cannot set its limit RLIMIT_DATA (memory_max)\n");
}

/* In the child, between fork and exec: async-signal-safe calls only. */
static void become(const struct child *child, enum sl_role role, struct ends ends, pid_t parent)
{
	char name[96];
	char *argv[] = { "sluice-stage", "--instance", name, NULL };
	sigset_t none;

	/* Nobody may outlive the supervisor, not even if it dies before this line. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(127);
	set_limits(child, ends.errors);
	(void)strncpy(name, child->name, sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	keep_or_null(role == SL_SOURCE, STDIN_FILENO);
	keep_or_null(role == SL_SINK, STDOUT_FILENO);
	/* The words may stand at the very number that stderr's end goes to, or the other way round. */
	int words = fcntl(ends.words, F_DUPFD, 10);

	if (dup2(ends.errors, STDERR_FILENO) < 0 || dup2(words, WORD_CHILD_FD) < 0)
		_exit(127);
	(void)close_range(WORD_CHILD_FD + 1, ~0U, 0);
	(void)execv(plan_stage_program(), argv);
	_exit(127);
}

static int make_ends(struct child *child, struct ends *ret, struct err *err)
{
	int words[2], errors[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, words) < 0)
		return err_set(err, -errno, "cannot make a socket pair for %s: %s", child->name,
			err_name(errno));
	if (pipe2(errors, O_CLOEXEC) < 0) {
		int error = errno;

		(void)close(words[0]);
		(void)close(words[1]);
		return err_set(
			err, -error, "cannot make a pipe for %s: %s", child->name, err_name(error));
	}
	(void)fcntl(errors[0], F_SETFL, O_NONBLOCK);
	child->words = words[0];
	child->errors = errors[0];
	*ret = (struct ends){ .words = words[1], .errors = errors[1] };
	return 0;
}

/* It was not told, and will not know. */
static void kill_untold(struct child *child, const char *what, int error)
{
	if (error == -EPIPE || error == -ECONNRESET || child->pid <= 0)
		return;
	if (!child->reason[0])
		(void)snprintf(child->reason, sizeof(child->reason), "%s: %s: killed", what,
			err_name(error));
	(void)kill(child->pid, SIGKILL);
}

int child_spawn(struct child *child, const struct plan *plan, struct child_fds given,
	const struct resume *resume, uint64_t term, struct err *err)
{
	char folders[2 * PATH_MAX];
	struct word start = {
		.type = WORD_START,
		.stage = child->stage,
		.instance = child->instance,
		.epoch = child->epoch + 1,
		.how = resume->accept_mixed,
		.run = resume->run,
		.series = resume->series,
		.term = term,
	};
	int fds[WORD_FDS_MAX] = { given.graph, child->page_fd, given.shared, given.listener };
	pid_t parent = getpid();
	struct ends ends = { -1, -1 };
	int r = make_ends(child, &ends, err);

	if (r < 0)
		return r;
	child->epoch++;
	child->reason[0] = '\0';
	child->said_final = false;
	child->error = 0;
	child->was_ready = false;
	child->hung_at = 0;
	child->killed_at = 0;
	page_set(child->page->pump_beat_ns, 0);
	(void)plan_stage_program(); /* resolved before the fork */
	child->pid = fork();
	if (child->pid == 0)
		become(child, plan->graph->stages[child->stage].role, ends, parent);
	r = child->pid < 0 ? -errno : 0;
	(void)close(ends.words);
	(void)close(ends.errors);
	if (r < 0) {
		child_release(child);
		return err_set(err, r, "cannot fork for %s: %s", child->name, err_name(r));
	}
	(void)snprintf(folders, sizeof(folders), "%s%c%s", plan->runtime, '\0', plan->state);
	r = word_send(child->words, &start, folders,
		strlen(plan->runtime) + 1 + strlen(plan->state), fds,
		given.listener >= 0 ? WORD_FDS_MAX : WORD_FDS_MAX - 1);
	if (r < 0)
		kill_untold(child, "cannot be told what to run", r);
	return 0;
}

/* --- ending a hung one -------------------------------------------------------------------------- */

#define ABORT_PATIENCE (1 * NSEC_PER_SEC)
#define CORE_PATIENCE (30 * NSEC_PER_SEC)
#define KILL_PATIENCE (15 * NSEC_PER_SEC)

void child_abort(struct child *child, int worker, int64_t now)
{
	child->hung_at = now;
	child->hung_worker = worker;
	(void)kill(child->pid, SIGABRT);
}

static bool is_dumping(pid_t pid)
{
	char path[64], line[256];
	bool is_so = false;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && !is_so && fgets(line, sizeof(line), file))
		is_so = strcmp(line, "CoreDumping:\t1\n") == 0;
	if (file)
		(void)fclose(file);
	return is_so;
}

bool child_abort_again(struct child *child, int64_t now)
{
	int64_t waited = now - child->hung_at;

	if (waited <= ABORT_PATIENCE || (waited <= CORE_PATIENCE && is_dumping(child->pid)))
		return false;
	(void)kill(child->pid, SIGKILL);
	if (child->killed_at == 0)
		child->killed_at = now;
	return now - child->killed_at > KILL_PATIENCE;
}

void child_say(struct child *child, enum word_type type, const struct child *about)
{
	struct word word = { .type = type };
	int r;

	if (about) {
		word.stage = about->stage;
		word.instance = about->instance;
		word.epoch = about->epoch;
		word.how = about->how;
	}
	if (child->words < 0)
		return;
	r = word_send(child->words, &word, NULL, 0, NULL, 0);
	if (r < 0)
		kill_untold(child, "does not read what it is told", r);
}

#define READS_AT_ONCE 16
#define READS_AT_END 256

/* --- stderr ------------------------------------------------------------------------------------- */

/* "<4>" or "<4.10>" */
static char *read_head(char *text, int *ret_level, enum log_event *ret_event)
{
	unsigned event = 0;
	int size = 0;

	if (text[0] != '<' || text[1] < '0' || text[1] > '7')
		return text;
	if (text[2] == '>')
		size = 3;
	else if (sscanf(text + 2, ".%2u>%n", &event, &size) == 1 && size > 0 && event < LOG_EVENTS)
		size += 2;
	else
		return text;
	*ret_level = text[1] - '0';
	*ret_event = (enum log_event)event;
	return text + size;
}

static void give_line(struct child *child, child_line_fn *line, char *text)
{
	enum log_event event = LOG_EVENT_NONE;
	int level = LOG_LEVEL_WARNING;

	text = read_head(text, &level, &event);
	line(child, event, level, text);
}

static void split_lines(struct child *child, child_line_fn *line)
{
	char *begin = child->line;
	char *end;

	while ((end = memchr(begin, '\n', child->line_size - (size_t)(begin - child->line)))) {
		*end = '\0';
		give_line(child, line, begin);
		begin = end + 1;
	}
	child->line_size -= (size_t)(begin - child->line);
	memmove(child->line, begin, child->line_size);
	if (child->line_size == sizeof(child->line) - 1) {
		child->line[child->line_size] = '\0';
		give_line(child, line, child->line);
		child->line_size = 0;
	}
}

/* Above 0: something came; 0: the end; negative errno. */
static ssize_t read_some(struct child *child, child_line_fn *line)
{
	ssize_t size = read(child->errors, child->line + child->line_size,
		sizeof(child->line) - 1 - child->line_size);

	if (size < 0)
		return errno == EINTR ? 1 : -errno;
	child->line_size += (size_t)size;
	split_lines(child, line);
	return size;
}

int child_read_errors(struct child *child, child_line_fn *line)
{
	ssize_t size = 1;

	for (int i = 0; i < READS_AT_ONCE && size > 0; i++)
		size = read_some(child, line);
	return size > 0 || size == -EAGAIN;
}

void child_end_errors(struct child *child, child_line_fn *line)
{
	/* A program of its own may have the pipe, too, and write for ever. */
	for (int i = 0; i < READS_AT_END && read_some(child, line) > 0; i++)
		;
	if (child->line_size == 0)
		return;
	child->line[child->line_size] = '\0';
	child->line_size = 0;
	give_line(child, line, child->line);
}
