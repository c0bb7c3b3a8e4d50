/* SPDX-License-Identifier: MIT */
/* See points.h. */
#include "supervisor/points.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/supervisor_room.h"

#define USEC_PER_NSEC 1000
#define GRAPH_FD 3
#define TICK_MSEC 200
#define REST_FACTOR 19 /* so much longer than it took */

static bool are_wanted(const struct supervisor *s)
{
	const struct graph *graph = s->plan->graph;

	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (graph->stages[i].role == SL_SOURCE && (graph->stages[i].flags & SL_RESUMES))
			return graph->sync_interval_ns > 0 && !s->is_apart;
	return false;
}

/* Grows while records move. */
static uint64_t sum_moved(const struct supervisor *s)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->child_count; i++) {
		const struct page *page = s->children[i].page;

		sum += page_get(page->records_in) + page_get(page->records_out) +
		       page_get(page->records_dead) + page_get(page->settled);
	}
	return sum;
}

/* --- the process ---------------------------------------------------------------------------------- */

struct order {
	const char *action;
	const char *state;
	char run[20];
	char series[20];
	int graph;
	int errors;
	pid_t parent;
};

/* In the child, between fork and exec: async-signal-safe calls only. */
static void become(const struct order *order)
{
	const char *argv[] = { "sluice-stage", "--point", order->action, "--state", order->state,
		"--run", order->run, "--series", order->series, "--graph-fd", "3", NULL };
	sigset_t none;
	int graph = fcntl(order->graph, F_DUPFD, 10);

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != order->parent)
		_exit(127);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(order->errors, STDERR_FILENO) < 0 || dup2(graph, GRAPH_FD) < 0)
		_exit(127);
	(void)close_range(GRAPH_FD + 1, ~0U, 0);
	(void)execv(plan_stage_program(), (char *const *)(void *)argv);
	_exit(127);
}

static int spawn(struct supervisor *s, const char *action, struct err *err)
{
	struct order order = {
		.action = action,
		.state = s->plan->state,
		.graph = s->graph_fd,
		.errors = memfd_create("sluice-point", MFD_CLOEXEC),
		.parent = getpid(),
	};
	int r;

	if (order.errors < 0)
		return err_set(err, -errno, "cannot make a file: %s", err_name(errno));
	(void)snprintf(order.run, sizeof(order.run), "%016" PRIx64, s->resume.run);
	(void)snprintf(order.series, sizeof(order.series), "%016" PRIx64, s->resume.series);
	(void)plan_stage_program(); /* resolved before the fork */
	s->points.pid = fork();
	if (s->points.pid == 0)
		become(&order);
	r = s->points.pid < 0 ? -errno : 0;
	if (r < 0) {
		(void)close(order.errors);
		s->points.pid = 0;
		return err_set(err, r, "cannot fork: %s", err_name(r));
	}
	s->points.errors = order.errors;
	s->points.begun_ns = clock_now();
	return 0;
}

/* What it said is why. */
static int take_outcome(struct supervisor *s, bool is_good, struct err *err)
{
	char text[800];
	ssize_t size = is_good ? 0 : pread(s->points.errors, text, sizeof(text) - 1, 0);

	(void)close(s->points.errors);
	s->points.pid = 0;
	s->points.child = sd_event_source_unref(s->points.child);
	if (is_good)
		return 0;
	text[size > 0 ? size : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return err_set(err, -EIO, "%s", text[0] ? text : "its process died");
}

/* Much may have to be written: whoever watches this process sees that it lives. */
static void wait_for_end(struct supervisor *s)
{
	struct pollfd process = { .fd = pidfd_open(s->points.pid, 0), .events = POLLIN };

	while (process.fd >= 0 && poll(&process, 1, TICK_MSEC) <= 0)
		if (s->view.tick)
			s->view.tick(s->view.user, s);
	if (process.fd >= 0)
		(void)close(process.fd);
}

static int run_now(struct supervisor *s, const char *action, struct err *err)
{
	int status = 0;
	int r = spawn(s, action, err);

	if (r < 0)
		return r;
	wait_for_end(s);
	while (waitpid(s->points.pid, &status, 0) < 0 && errno == EINTR)
		;
	return take_outcome(s, WIFEXITED(status) && WEXITSTATUS(status) == 0, err);
}

int points_make(struct supervisor *s, struct err *err)
{
	return are_wanted(s) ? run_now(s, "make", err) : 0;
}

int points_restore(struct supervisor *s, struct err *err)
{
	return run_now(s, "restore", err);
}

/* --- now and then --------------------------------------------------------------------------------- */

static void say_outcome(struct supervisor *s, int r, const struct err *err)
{
	if (r < 0 && !s->points.has_failed)
		supervisor_tell(s, LOG_EVENT_NOT_SAFE, LOG_LEVEL_WARNING, NULL,
			"what is written is not safe from a power cut: %s; it is tried again",
			err->text);
	if (r == 0 && s->points.has_failed)
		supervisor_tell(s, LOG_EVENT_SAFE, LOG_LEVEL_WARNING, NULL,
			"what is written is safe from a power cut again");
	s->points.has_failed = r < 0;
}

static void set_timer(struct supervisor *s, int64_t took_ns)
{
	int64_t wait = s->plan->graph->sync_interval_ns;

	if (took_ns > wait / REST_FACTOR)
		wait = took_ns * REST_FACTOR;
	(void)sd_event_source_set_time_relative(s->points.timer, (uint64_t)wait / USEC_PER_NSEC);
	(void)sd_event_source_set_enabled(s->points.timer, SD_EVENT_ONESHOT);
}

static int on_exit_of_point(sd_event_source *source, const siginfo_t *info, void *user)
{
	struct supervisor *s = user;
	struct err err = { 0 };
	bool is_good = info->si_code == CLD_EXITED && info->si_status == 0;
	int64_t took = clock_now() - s->points.begun_ns;

	(void)source;
	say_outcome(s, take_outcome(s, is_good, &err), &err);
	set_timer(s, took);
	return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *user)
{
	struct supervisor *s = user;
	uint64_t moved = sum_moved(s);
	struct err err = { 0 };
	int r;

	(void)source;
	(void)usec;
	if (moved == s->points.moved && !s->points.has_failed) {
		set_timer(s, 0);
		return 0;
	}
	s->points.moved = moved;
	r = spawn(s, "make", &err);
	if (r == 0) {
		r = sd_event_add_child(
			s->event, &s->points.child, s->points.pid, WEXITED, on_exit_of_point, s);
		if (r < 0)
			(void)err_set(&err, r, "cannot watch its process: %s", err_name(r));
	}
	if (r < 0) {
		points_stop(s);
		say_outcome(s, r, &err);
		points_start(s);
	}
	return 0;
}

void points_start(struct supervisor *s)
{
	if (!are_wanted(s) || s->points.timer)
		return;
	if (sd_event_add_time_relative(s->event, &s->points.timer, CLOCK_MONOTONIC,
		    (uint64_t)s->plan->graph->sync_interval_ns / USEC_PER_NSEC, 10000, on_time,
		    s) < 0)
		supervisor_say(s, LOG_LEVEL_WARNING, NULL, "no timer for sync_interval");
}

void points_stop(struct supervisor *s)
{
	struct err err;

	s->points.timer = sd_event_source_unref(s->points.timer);
	if (s->points.pid == 0)
		return;
	(void)kill(s->points.pid, SIGKILL);
	s->points.child = sd_event_source_unref(s->points.child);
	while (waitpid(s->points.pid, NULL, 0) < 0 && errno == EINTR)
		;
	(void)take_outcome(s, false, &err);
}
