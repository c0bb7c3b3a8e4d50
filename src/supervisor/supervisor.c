/* SPDX-License-Identifier: MIT */
/* See supervisor.h. The end: every child has finished, or `is_failing` is set and every process is reaped. */
#include "supervisor/supervisor_room.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/units.h"
#include "link/tally.h"
#include "supervisor/audit.h"
#include "supervisor/starved.h"
#include "supervisor/suspects.h"
#include "supervisor/watch.h"

#define TICK_USEC 200000
#define USEC_PER_NSEC 1000
#define DYING_PATIENCE NSEC_PER_SEC

void supervisor_show(struct supervisor *s, enum log_event event, int level,
	const struct child *child, const char *text)
{
	char shown[LOG_LINE_MAX];
	const struct log_line line = {
		.level = level,
		.event = event,
		.stage = child ? child_stage(child)->name : NULL,
		.instance = child ? child->instance : 0,
		.text = shown,
	};

	(void)snprintf(shown, sizeof(shown), "%s", text);
	(void)secret_hide(shown);
	s->view.line(s->view.user, &line);
}

static void vtell(struct supervisor *s, enum log_event event, int level, const struct child *child,
	const char *format, va_list args)
{
	char text[1400];

	(void)vsnprintf(text, sizeof(text), format, args);
	supervisor_show(s, event, level, child, text);
}

void supervisor_say(
	struct supervisor *s, int level, const struct child *child, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vtell(s, LOG_EVENT_NONE, level, child, format, args);
	va_end(args);
}

void supervisor_tell(struct supervisor *s, enum log_event event, int level,
	const struct child *child, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vtell(s, event, level, child, format, args);
	va_end(args);
}

/* --- the end ------------------------------------------------------------------------------------ */

void supervisor_check_end(struct supervisor *s)
{
	bool all_finished = true;

	for (uint32_t i = 0; i < s->child_count; i++) {
		const struct child *child = &s->children[i];

		if (child->pid > 0)
			return;
		all_finished = all_finished && child->state == CHILD_FINISHED;
	}
	if (!all_finished && !s->is_failing)
		return;
	if (!s->is_failing && reload_swap(s))
		return;
	s->ended_ns = clock_now();
	(void)sd_event_exit(s->event, 0);
}

static void kill_all(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->child_count; i++) {
		struct child *child = &s->children[i];

		child->timer = sd_event_source_unref(child->timer);
		if (child->pid > 0)
			(void)kill(child->pid, SIGKILL);
	}
	supervisor_check_end(s);
}

void supervisor_fail(struct supervisor *s, const char *format, ...)
{
	va_list args;

	if (s->is_failing)
		return;
	s->is_failing = true;
	s->failing_ns = clock_now();
	va_start(args, format);
	(void)vsnprintf(s->reason, sizeof(s->reason), format, args);
	(void)secret_hide(s->reason);
	va_end(args);
	kill_all(s);
}

/* --- time and signals --------------------------------------------------------------------------- */

/*
 * The pidfd of a process that is traced is readable as soon as it is dead, but only its tracer may wait for it yet; sd-event looks once. So look
 * again: the tracer is a person's strace, or the leak check of a sanitizer.
 */
static void watch_exit(const struct child *child)
{
	siginfo_t info = { 0 };

	if (child->pid <= 0 || !child->exit_source ||
		waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
		info.si_pid != child->pid)
		return;
	(void)sd_event_source_set_enabled(child->exit_source, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(child->exit_source, SD_EVENT_ONESHOT);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *user)
{
	struct supervisor *s = user;

	watch_tick(s, clock_now());
	starved_tick(s, clock_now());
	for (uint32_t i = 0; i < s->child_count; i++)
		watch_exit(&s->children[i]);
	control_tick(s->control);
	family_charge_unexplained(s);
	reload_tick(s);
	if (s->view.tick)
		s->view.tick(s->view.user, s);
	(void)sd_event_source_set_time(source, usec + TICK_USEC);
	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
	struct supervisor *s = user;

	(void)source;
	if (s->is_stopping)
		supervisor_stop(
			s, info->ssi_signo == SIGINT ? "a second Ctrl-C" : "a second SIGTERM");
	else
		supervisor_drain(s);
	return 0;
}

static int on_drain_timeout(sd_event_source *source, uint64_t usec, void *user)
{
	struct supervisor *s = user;
	char limit[32];

	(void)source;
	(void)usec;
	supervisor_fail(s,
		"not all that was read is settled after %s (drain_timeout): stopped; the next "
		"start "
		"goes on from there",
		units_print_duration(s->plan->graph->drain_timeout_ns, limit, sizeof(limit)));
	return 0;
}

/* SIGHUP: the config is read again. */
static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
	struct supervisor *s = user;
	struct err err = { 0 };

	(void)source;
	(void)info;
	if (reload_begin(s, &err) < 0)
		supervisor_tell(s, LOG_EVENT_NOT_RELOADED, LOG_LEVEL_WARNING, NULL,
			"not reloaded: %s", err.text);
	return 0;
}

int supervisor_reload(struct supervisor *supervisor, struct err *err)
{
	return reload_begin(supervisor, err);
}

void supervisor_drain(struct supervisor *s)
{
	if (s->is_stopping || s->is_failing)
		return;
	s->is_stopping = true;
	reload_cancel(s);
	if (s->view.stopping)
		s->view.stopping(s->view.user);
	family_tell_sources(s, WORD_STOP);
	listeners_refuse(&s->listeners);
	if (sd_event_add_time_relative(s->event, &s->drain_timer, CLOCK_MONOTONIC,
		    (uint64_t)s->plan->graph->drain_timeout_ns / USEC_PER_NSEC, 1000,
		    on_drain_timeout, s) < 0)
		supervisor_say(s, LOG_LEVEL_WARNING, NULL, "no timer for drain_timeout");
}

void supervisor_stop(struct supervisor *s, const char *by)
{
	s->is_stopping = true;
	supervisor_fail(
		s, "stopped at once by %s: the next start goes on with what was not settled", by);
}

/* --- beginning ---------------------------------------------------------------------------------- */

static int make_event(struct supervisor *s, struct err *err)
{
	sigset_t blocked;
	int r;

	(void)sigemptyset(&blocked);
	(void)sigaddset(&blocked, SIGINT);
	(void)sigaddset(&blocked, SIGTERM);
	(void)sigaddset(&blocked, SIGHUP);
	(void)sigaddset(&blocked, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &blocked, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	r = sd_event_new(&s->event);
	if (r >= 0)
		r = sd_event_add_signal(s->event, NULL, SIGINT, on_signal, s);
	if (r >= 0)
		r = sd_event_add_signal(s->event, NULL, SIGTERM, on_signal, s);
	if (r >= 0)
		r = sd_event_add_signal(s->event, NULL, SIGHUP, on_hangup, s);
	if (r >= 0)
		r = sd_event_add_time_relative(
			s->event, &s->tick, CLOCK_MONOTONIC, TICK_USEC, 10000, on_tick, s);
	return r < 0 ? err_set(err, r, "cannot make an event loop: %s", err_name(r)) : 0;
}

/* Which run it is; says so where it is not a new one. */
static int begin_run(struct supervisor *s, struct supervisor_start start, struct err *err)
{
	char note[200];
	int r;

	s->resume.accept_mixed = start.accept_mixed;
	r = resume_begin(s->plan, start.mode, &s->resume, note, sizeof(note), err);
	if (r == 0 && note[0])
		supervisor_tell(s, LOG_EVENT_RESUMED, LOG_LEVEL_INFO, NULL, "%s", note);
	if (r == 0 && s->resume.boot_is_unknown)
		supervisor_say(s, LOG_LEVEL_WARNING, NULL,
			"after a power cut it will not be known that there was one, as "
			"/proc/sys/kernel/random/boot_id cannot be read: write "
			"Environment=SLUICE_BOOT_ID=%%b into the unit, or ProcSubset=all");
	return r;
}

/* After the machine went down in the middle of it. */
static int go_back(struct supervisor *s, struct err *err)
{
	int r;

	supervisor_tell(s, LOG_EVENT_WENT_BACK, LOG_LEVEL_WARNING, NULL,
		"the machine was started anew in the middle of the run: goes on from the last "
		"state that is known to be on the disk (sync_interval)");
	r = points_restore(s, err);
	return r == 0 ? resume_went_back(s->plan, &s->resume, err) : r;
}

static bool was_stopped(const struct supervisor *s)
{
	for (uint32_t i = 0; i < s->child_count; i++)
		if (s->children[i].how == WORD_HOW_STOP)
			return true;
	return false;
}

static int end_run(struct supervisor *s, struct err *err)
{
	int r;

	points_stop(s);
	if (s->is_failing || s->is_apart)
		return 0;
	/* What says that the run has ended must not outlive what it has written. */
	r = points_make(s, err);
	if (r < 0) {
		supervisor_tell(s, LOG_EVENT_NOT_SAFE, LOG_LEVEL_WARNING, NULL,
			"the end of the run could not be made safe from a power cut, so the next "
			"start goes on with it: %s",
			err->text);
		return 0;
	}
	return resume_end(s->plan, &s->resume, was_stopped(s), err);
}

/* A pipeline whose data move must not end because nobody can ask how it does. */
static void open_control(struct supervisor *s)
{
	struct err err = { 0 };

	if (control_open(s, s->plan, s->event, &s->control, &err) < 0)
		supervisor_tell(s, LOG_EVENT_NO_CONTROL, LOG_LEVEL_WARNING, NULL,
			"no control socket, so `sluice status` cannot ask: %s", err.text);
}

static void close_control(struct supervisor *s)
{
	struct supervisor_result result;

	supervisor_result(s, &result);
	control_close(s->control, &result);
	s->control = NULL;
}

/* The processes of a supervisor that was killed die after it, and have its sockets until then. */
static int open_sockets(struct supervisor *s, struct err *err)
{
	const struct timespec pause = { .tv_nsec = 20 * NSEC_PER_MSEC };
	int64_t until = clock_now() + DYING_PATIENCE;
	int r;

	listeners_take(&s->listeners);
	while ((r = listeners_open(&s->listeners, s->plan->graph, err)) == -EADDRINUSE &&
		clock_now() < until)
		(void)nanosleep(&pause, NULL);
	return r;
}

static void say_unused_sockets(struct supervisor *s)
{
	const char *name;

	for (uint32_t at = 0; (name = listeners_unused(&s->listeners, s->plan->graph, &at));)
		supervisor_say(s, LOG_LEVEL_WARNING, NULL,
			"systemd opened the socket \"%s\", and no stage takes it: write "
			"address = \"fd:%s\";",
			name, name);
}

int supervisor_run(struct plan *plan, struct supervisor_start start,
	const struct supervisor_view *view, struct supervisor **ret_supervisor, struct err *err)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "no memory");
	s->plan = plan;
	s->view = *view;
	s->graph_fd = -1;
	s->shared_fd = -1;
	s->groups.root = -1;
	s->is_apart = start.mode == RESUME_APART;
	s->started_ns = clock_now();
	r = open_sockets(s, err);
	if (r == 0)
		groups_open(&s->groups);
	if (r == 0)
		r = begin_run(s, start, err);
	if (r == 0)
		r = family_make(s, err);
	if (r == 0 && s->resume.must_go_back)
		r = go_back(s, err);
	if (r == 0)
		r = make_event(s, err);
	if (r < 0) {
		supervisor_free(s);
		return r;
	}
	say_unused_sockets(s);
	family_start(s);
	points_start(s);
	open_control(s);
	r = sd_event_loop(s->event);
	if (s->view.tick)
		s->view.tick(s->view.user, s);
	if (r < 0)
		(void)err_set(err, r, "the event loop failed: %s", err_name(r));
	else
		r = end_run(s, err);
	s->has_counts = family_sum_tallies(s);
	if (r < 0) {
		supervisor_free(s);
		return r;
	}
	reload_fini(s);
	close_control(s);
	*ret_supervisor = s;
	return 0;
}

void supervisor_free(struct supervisor *supervisor)
{
	if (!supervisor)
		return;
	points_stop(supervisor);
	family_fini(supervisor);
	groups_close(&supervisor->groups);
	reload_fini(supervisor);
	listeners_close(&supervisor->listeners);
	control_close(supervisor->control, NULL);
	supervisor->drain_timer = sd_event_source_unref(supervisor->drain_timer);
	supervisor->tick = sd_event_source_unref(supervisor->tick);
	supervisor->event = sd_event_unref(supervisor->event);
	free(supervisor);
}

/* --- results ------------------------------------------------------------------------------------ */

static void count_given_up(const struct graph *graph, struct supervisor_result *result)
{
	for (uint32_t i = 0; i < graph->stage_count && result->has_counts; i++) {
		uint64_t dead = result->tally[tally_dead(graph, i)];

		result->given_up += dead;
		if (graph->stages[i].on_error == GRAPH_ON_ERROR_DEAD_LETTER)
			result->letters += dead;
	}
}

void supervisor_result(const struct supervisor *supervisor, struct supervisor_result *ret)
{
	const struct graph *graph = supervisor->plan->graph;

	*ret = (struct supervisor_result){
		.is_stopped = supervisor->is_stopping,
		.has_counts = supervisor->has_counts,
		.tally = supervisor->tally,
		.elapsed_ns = supervisor->ended_ns - supervisor->started_ns,
	};
	count_given_up(graph, ret);
	if (supervisor->is_failing) {
		ret->end = SUPERVISOR_FAILED;
		memcpy(ret->reason, supervisor->reason, sizeof(ret->reason));
	} else if (!ret->has_counts) {
		ret->end = SUPERVISOR_FAILED;
		(void)snprintf(ret->reason, sizeof(ret->reason),
			"a source gave no account of what it read");
	} else if (audit_find_leak(graph, supervisor->tally, ret->reason, sizeof(ret->reason))) {
		ret->end = SUPERVISOR_FAILED;
	} else {
		ret->end = ret->given_up > 0 ? SUPERVISOR_DEAD : SUPERVISOR_SETTLED;
	}
}

struct supervisor_now supervisor_now(const struct supervisor *supervisor)
{
	return (struct supervisor_now){
		.state = supervisor->is_failing    ? SUPERVISOR_FAILING
			 : supervisor->is_stopping ? SUPERVISOR_STOPPING
			 : supervisor->is_ready    ? SUPERVISOR_RUNNING
						   : SUPERVISOR_STARTING,
		.run = supervisor->resume.run,
		.started_ns = supervisor->started_ns,
		.reason = supervisor->reason,
		.tally = supervisor->tally,
	};
}

#define ENDING_MAX (60 * NSEC_PER_SEC)

bool supervisor_is_moving(const struct supervisor *supervisor)
{
	return !supervisor->is_stuck &&
	       !(supervisor->is_failing && clock_now() - supervisor->failing_ns > ENDING_MAX);
}

bool supervisor_is_on_disk(const struct supervisor *supervisor)
{
	return supervisor->points.pid > 0;
}

bool supervisor_ask_tally(struct supervisor *supervisor, uint32_t i)
{
	struct child *child = &supervisor->children[i];

	if (child_stage(child)->role != SL_SOURCE || child->state != CHILD_RUNNING ||
		child->words < 0)
		return false;
	child_say(child, WORD_ASK_TALLY, NULL);
	return true;
}

const struct graph *supervisor_graph(const struct supervisor *supervisor)
{
	return supervisor->plan->graph;
}

const struct plan *supervisor_plan(const struct supervisor *supervisor)
{
	return supervisor->plan;
}

uint32_t supervisor_child_count(const struct supervisor *supervisor)
{
	return supervisor->child_count;
}

static const struct page *find_page(
	const struct supervisor *supervisor, uint32_t stage, uint32_t instance)
{
	for (uint32_t i = 0; i < supervisor->child_count; i++)
		if (supervisor->children[i].stage == stage &&
			supervisor->children[i].instance == instance)
			return supervisor->children[i].page;
	return NULL;
}

bool supervisor_fill(const struct supervisor *supervisor, uint32_t in, struct fill *ret)
{
	const struct graph *graph = supervisor->plan->graph;
	int out = graph_find_out(graph, in);

	struct fill all = { .records = 0 }, one;

	for (uint32_t i = 0; out >= 0 && i < graph->stages[in].processes; i++) {
		if (!fill_of(graph, in, find_page(supervisor, in, i),
			    find_page(supervisor, (uint32_t)out, i), &one))
			return false;
		if (i == 0)
			all = one;
		else
			fill_add(&all, &one);
	}
	if (out >= 0)
		*ret = all;
	return out >= 0;
}

struct supervisor_child supervisor_child(const struct supervisor *supervisor, uint32_t i)
{
	const struct child *child = &supervisor->children[i];

	return (struct supervisor_child){
		.stage = child->stage,
		.instance = child->instance,
		.state = child->state,
		.pid = child->pid,
		.restarts = child->restarts,
		.page = child->page,
	};
}

struct group_use supervisor_use(const struct supervisor *supervisor, uint32_t i)
{
	return group_use(&supervisor->children[i].group);
}
