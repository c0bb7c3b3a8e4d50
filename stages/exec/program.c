/* SPDX-License-Identifier: MIT */
/* See program.h. */
#include "program.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- before it runs ------------------------------------------------------------------------------ */

/* 0; -EACCES: a file, but not to be run; -ENOENT. */
static int probe(const char *folder, size_t folder_size, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%.*s%s%s", (int)folder_size, folder,
		    folder_size > 0 ? "/" : "", name) >= (int)sizeof(path))
		return -ENOENT;
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return -ENOENT;
	return access(path, X_OK) < 0 ? -EACCES : 0;
}

static int probe_path(const char *name)
{
	const char *path = getenv("PATH");
	int found = -ENOENT;

	for (path = path ? path : "/usr/bin:/bin"; found != 0;) {
		size_t size = strcspn(path, ":");
		int r = probe(path, size, name);

		found = r == -ENOENT ? found : r;
		if (path[size] == '\0')
			break;
		path += size + 1;
	}
	return found;
}

static int check_command(struct sl_context *ctx, const struct program_options *o)
{
	const char *name = o->command.count > 0 ? o->command.items[0] : "";
	bool is_path = strchr(name, '/') != NULL;
	const char *folder = o->folder && name[0] != '/' ? o->folder : "";
	int r;

	if (*name == '\0')
		return sl_error(ctx, -EINVAL, "`command` names no program");
	r = is_path ? probe(folder, strlen(folder), name) : probe_path(name);
	if (r == -EACCES)
		return sl_error(
			ctx, r, "%s is not executable: chmod +x, or change `command`", name);
	if (r < 0 && !is_path && strchr(name, ' '))
		return sl_error(ctx, r,
			"there is no program \"%s\" on PATH: write the arguments apart, "
			"command = [ \"PROGRAM\", \"ARGUMENT\" ];",
			name);
	if (r < 0 && !is_path)
		return sl_error(ctx, r,
			"there is no program %s on PATH: install it, or write its whole path into "
			"`command`",
			name);
	return r < 0 ? sl_error(ctx, r, "%s: there is no such file: check `command`", name) : 0;
}

int program_check(struct sl_context *ctx, const struct program_options *o)
{
	struct stat st;

	if (o->folder && (stat(o->folder, &st) < 0 || !S_ISDIR(st.st_mode)))
		return sl_error(
			ctx, -ENOTDIR, "%s: there is no such folder: check `folder`", o->folder);
	for (uint32_t i = 0; i < o->environment.count; i++)
		if (strcspn(o->environment.items[i], "=") == 0 ||
			!strchr(o->environment.items[i], '='))
			return sl_error(ctx, -EINVAL,
				"`environment` holds \"%.60s\": write \"NAME=value\"",
				o->environment.items[i]);
	return check_command(ctx, o);
}

static const char **list_of(const struct sl_strings *strings)
{
	const char **list = calloc(strings->count + 1, sizeof(*list));

	for (uint32_t i = 0; list && i < strings->count; i++)
		list[i] = strings->items[i];
	return list;
}

int program_plan_init(struct program_plan *plan, const struct program_options *o)
{
	const char *slash = strrchr(o->command.items[0], '/');

	*plan = (struct program_plan){
		.argv = list_of(&o->command),
		.environment = list_of(&o->environment),
		.folder = o->folder,
		.name = slash ? slash + 1 : o->command.items[0],
		.grace = o->grace,
	};
	if (plan->argv && plan->environment)
		return 0;
	program_plan_fini(plan);
	return -ENOMEM;
}

void program_plan_fini(struct program_plan *plan)
{
	free(plan->argv);
	free(plan->environment);
	*plan = (struct program_plan){ 0 };
}

static bool parse_range(const char *text, unsigned long *ret_first, unsigned long *ret_last)
{
	char *end;

	*ret_first = *ret_last = strtoul(text, &end, 10);
	if (end > text && *end == '-') {
		text = end + 1;
		*ret_last = strtoul(text, &end, 10);
	}
	return end > text && *end == '\0' && *ret_first <= *ret_last && *ret_last <= 255;
}

int program_statuses(struct sl_context *ctx, const char *option, const struct sl_strings *from,
	uint8_t meaning, uint8_t table[256])
{
	for (uint32_t i = 0; i < from->count; i++) {
		unsigned long first, last;

		if (!parse_range(from->items[i], &first, &last))
			return sl_error(ctx, -EINVAL,
				"`%s` holds \"%.20s\": write exit statuses, \"1\" or \"2-255\"",
				option, from->items[i]);
		memset(table + first, meaning, last - first + 1);
	}
	return 0;
}

/* --- while it runs --------------------------------------------------------------------------------- */

static int watch(struct program *p, int operation, int fd, uint32_t events, uint32_t what)
{
	struct epoll_event event = { .events = events, .data.u32 = what };

	if (fd < 0)
		return 0;
	return epoll_ctl(p->poll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

/* A forked process may hold a copy of the descriptor for a moment, so closing alone would not do. */
static void close_pipe(struct program *p, int *fd)
{
	if (*fd < 0)
		return;
	(void)watch(p, EPOLL_CTL_DEL, *fd, 0, 0);
	(void)close(*fd);
	*fd = -1;
}

void program_close_in(struct program *p)
{
	p->wants_in = false;
	close_pipe(p, &p->child.in);
}

void program_close_out(struct program *p)
{
	close_pipe(p, &p->child.out);
}

#define WATCH_ERR 8 /* beside PROGRAM_*: seen to in here */

static int watch_all(struct program *p)
{
	int r = watch(p, EPOLL_CTL_ADD, p->child.out, EPOLLIN, PROGRAM_OUT);

	/* Without EPOLLOUT: a pipe with room would always be ready. EPOLLERR comes nevertheless. */
	if (r == 0)
		r = watch(p, EPOLL_CTL_ADD, p->child.in, 0, PROGRAM_IN);
	if (r == 0)
		r = watch(p, EPOLL_CTL_ADD, p->child.err, EPOLLIN, WATCH_ERR);
	if (r == 0)
		r = watch(p, EPOLL_CTL_ADD, p->child.pidfd, EPOLLIN, PROGRAM_ENDED);
	return r;
}

int program_start(struct sl_context *ctx, struct program *p, const struct program_plan *plan,
	const char *const *argv, unsigned pipes)
{
	struct sl_program spawn = {
		.argv = argv ? argv : plan->argv,
		.environment = plan->environment,
		.folder = plan->folder,
		.pipes = pipes | SL_PIPE_ERR,
	};
	int r;

	*p = (struct program){ .plan = plan, .poll_fd = epoll_create1(EPOLL_CLOEXEC) };
	if (p->poll_fd < 0)
		return -errno;
	r = sl_spawn(ctx, &spawn, &p->child);
	if (r < 0) {
		(void)close(p->poll_fd);
		return r;
	}
	r = watch_all(p);
	if (r < 0)
		(void)program_end(ctx, p, 0);
	return r;
}

/* A line of its standard error, or as much of it as we keep, is whole. */
static void log_line(struct sl_context *ctx, struct program *p)
{
	size_t size = p->line_size;

	while (size > 0 && (p->line[size - 1] == '\r' || p->line[size - 1] == ' '))
		size--;
	p->line[size] = '\0';
	p->line_size = 0;
	if (size == 0)
		return;
	(void)snprintf(p->last, sizeof(p->last), "%.*s", (int)sizeof(p->last) - 1, p->line);
	sl_log(ctx, SL_LOG_WARNING, "%s: %s", p->plan->name, p->line);
}

static void take_error_text(struct sl_context *ctx, struct program *p, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] == '\n')
			log_line(ctx, p);
		else if (p->line_size < PROGRAM_LINE_MAX)
			p->line[p->line_size++] = text[i];
}

/* One read: a program that complains without end must not keep us from its answers. */
static bool read_errors(struct sl_context *ctx, struct program *p)
{
	char text[4096];
	ssize_t n;

	if (p->child.err < 0)
		return false;
	n = read(p->child.err, text, sizeof(text));
	if (n > 0)
		take_error_text(ctx, p, text, (size_t)n);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return n > 0;
	log_line(ctx, p);
	close_pipe(p, &p->child.err);
	return false;
}

static int collect(struct sl_context *ctx, struct program *p)
{
	struct epoll_event events[4];
	int count = epoll_wait(p->poll_fd, events, 4, 0);
	int ready = 0;

	for (int i = 0; i < count; i++)
		ready |= (int)events[i].data.u32;
	if (ready & PROGRAM_ENDED) {
		p->has_ended = true;
		(void)watch(p, EPOLL_CTL_DEL, p->child.pidfd, 0, 0);
	}
	if (ready & WATCH_ERR)
		(void)read_errors(ctx, p);
	/* It reads no more. Nobody wants to write now, so nobody would see it, and it would be ready for ever. */
	if ((ready & PROGRAM_IN) && !p->wants_in)
		program_close_in(p);
	return ready;
}

int program_wait(struct sl_context *ctx, struct program *p, int events, int64_t deadline)
{
	for (;;) {
		int ready, r;

		if (p->has_ended && (events & PROGRAM_ENDED))
			return PROGRAM_ENDED | (collect(ctx, p) & events);
		r = sl_wait_fd(ctx, p->poll_fd, POLLIN, deadline);
		if (r < 0)
			return r;
		ready = collect(ctx, p) & events;
		if (ready)
			return ready;
	}
}

static void want_in(struct program *p, bool wants)
{
	if (p->wants_in == wants)
		return;
	p->wants_in = wants;
	(void)watch(p, EPOLL_CTL_MOD, p->child.in, wants ? EPOLLOUT : 0, PROGRAM_IN);
}

int program_send(struct program *p, const char *data, size_t size, size_t *sent)
{
	while (*sent < size && p->child.in >= 0) {
		ssize_t n = write(p->child.in, data + *sent, size - *sent);

		if (n >= 0) {
			*sent += (size_t)n;
		} else if (errno == EAGAIN) {
			want_in(p, true);
			return -EAGAIN;
		} else if (errno != EINTR) {
			program_close_in(p);
		}
	}
	if (p->child.in < 0)
		return -EPIPE;
	want_in(p, false);
	return 0;
}

void program_signal(struct program *p, int signal)
{
	/* It may have ended just now. */
	(void)pidfd_send_signal(p->child.pidfd, signal, NULL, 0);
}

#define LAST_READS 64 /* a pipe's worth: what it left behind may write on without end */

/* --- its end ---------------------------------------------------------------------------------------- */

static void discard(struct program *p)
{
	char text[4096];
	ssize_t n = read(p->child.out, text, sizeof(text));

	if (n > 0)
		p->discarded += (uint64_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		program_close_out(p);
}

int program_end(struct sl_context *ctx, struct program *p, int64_t grace)
{
	int64_t deadline = sl_now() + grace;
	int64_t left;
	int r = 0;

	program_close_in(p);
	/* While it ends it may still speak, and must not be held up by a full pipe. */
	while (r >= 0 && !p->has_ended) {
		r = program_wait(ctx, p, PROGRAM_OUT | PROGRAM_ENDED, deadline);
		if (r > 0 && (r & PROGRAM_OUT))
			discard(p);
	}
	if (r == -ETIMEDOUT && grace > 0)
		sl_log(ctx, SL_LOG_WARNING, "%s: does not end by itself: it is ended now",
			p->plan->name);
	for (int i = 0; i < LAST_READS && read_errors(ctx, p); i++)
		;
	log_line(ctx, p);
	(void)close(p->poll_fd);
	left = deadline - sl_now();
	return sl_child_end(ctx, &p->child, left > 0 ? left : 0);
}

void program_obituary(const struct program *p, int status, char *text, size_t size)
{
	const char *between = p->last[0] ? ": " : "";

	if (status >= 0 && WIFEXITED(status))
		(void)snprintf(text, size, "%s ended with exit status %d%s%s", p->plan->name,
			WEXITSTATUS(status), between, p->last);
	else if (status >= 0 && WIFSIGNALED(status))
		(void)snprintf(text, size, "%s was ended by SIG%s%s%s", p->plan->name,
			sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?",
			between, p->last);
	else
		(void)snprintf(text, size, "%s has ended%s%s", p->plan->name, between, p->last);
}
