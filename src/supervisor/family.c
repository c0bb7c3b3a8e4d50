/* SPDX-License-Identifier: MIT */
/*
 * The children: birth, words, death. What each event does to a child is policy.c's table; what it means to the others:
 *
 *   READY   -> PEER_UP to everybody downstream; to the newcomer: its upstream instances, and who has finished
 *   death   -> PEER_GONE to its neighbours, at once; then a successor after the backoff, or the end of it all
 *   EXIT    -> PEER_DONE to its neighbours
 */
#include "supervisor/supervisor_room.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "link/tally.h"
#include "supervisor/limits.h"
#include "supervisor/starved.h"
#include "supervisor/suspects.h"

#define USEC_PER_NSEC 1000
#define FULL_WAIT (1 * NSEC_PER_SEC)
#define FULL_QUIET (60 * NSEC_PER_SEC)

const struct graph_stage *child_stage(const struct child *child)
{
	return &child->supervisor->plan->graph->stages[child->stage];
}

/* --- neighbours --------------------------------------------------------------------------------- */

enum side { UPSTREAM = 1, DOWNSTREAM = 2 };

/* Where `other` stands from `child`: UPSTREAM, DOWNSTREAM, or 0. */
static unsigned side_of(const struct child *child, const struct child *other)
{
	const struct graph *graph = child->supervisor->plan->graph;
	unsigned side = 0;

	for (uint32_t i = 0; i < graph->link_count; i++) {
		if (graph->links[i].upstream == other->stage &&
			graph->links[i].downstream == child->stage)
			side |= UPSTREAM;
		if (graph->links[i].upstream == child->stage &&
			graph->links[i].downstream == other->stage)
			side |= DOWNSTREAM;
	}
	return side;
}

/* Tells those neighbours on `sides` of `about` that listen. */
static void tell_neighbours(const struct child *about, unsigned sides, enum word_type type)
{
	struct supervisor *s = about->supervisor;

	for (uint32_t i = 0; i < s->child_count; i++) {
		struct child *other = &s->children[i];

		if ((side_of(about, other) & sides) && other->was_ready)
			child_say(other, type, about);
	}
}

/* A newcomer hears of every neighbour that is up, and of those that have finished. */
static void tell_newcomer(struct child *child)
{
	struct supervisor *s = child->supervisor;

	for (uint32_t i = 0; i < s->child_count; i++) {
		struct child *other = &s->children[i];
		unsigned side = side_of(child, other);

		if (side && other->state == CHILD_FINISHED)
			child_say(child, WORD_PEER_DONE, other);
		else if ((side & UPSTREAM) &&
			 (other->state == CHILD_RUNNING || other->state == CHILD_LEAVING))
			child_say(child, WORD_PEER_UP, other);
	}
}

/* --- spawning ----------------------------------------------------------------------------------- */

static int on_reaped(sd_event_source *source, const siginfo_t *info, void *user);
static int on_words(sd_event_source *source, int fd, uint32_t events, void *user);
static int on_errors(sd_event_source *source, int fd, uint32_t events, void *user);

static void family_spawn(struct child *child)
{
	struct supervisor *s = child->supervisor;
	const struct child_fds fds = { s->graph_fd, s->shared_fd,
		listeners_find(&s->listeners, child_stage(child)) };
	struct err err = { 0 };
	int next = child_next(child->state, CHILD_SPAWN);
	int r;

	if (next < 0)
		return;
	child->data_max = limits_data(&s->groups, child_stage(child));
	if (group_make(&s->groups, child->name, child_stage(child), &child->group, &err) < 0) {
		supervisor_fail(s, "%s: %s", child->name, err.text);
		return;
	}
	if (child_spawn(child, s->plan, fds, &s->resume, s->term, &err) < 0) {
		supervisor_fail(s, "%s", err.text);
		return;
	}
	child->state = next;
	r = sd_event_add_child(
		s->event, &child->exit_source, child->pid, WEXITED, on_reaped, child);
	if (r >= 0)
		r = sd_event_add_io(
			s->event, &child->words_source, child->words, EPOLLIN, on_words, child);
	if (r >= 0)
		r = sd_event_add_io(
			s->event, &child->errors_source, child->errors, EPOLLIN, on_errors, child);
	if (r < 0)
		supervisor_fail(s, "cannot watch %s: %s", child->name, err_name(r));
}

static int on_backoff(sd_event_source *source, uint64_t usec, void *user)
{
	struct child *child = user;

	(void)source;
	(void)usec;
	child->timer = sd_event_source_unref(child->timer);
	family_spawn(child);
	return 0;
}

static void spawn_later(struct child *child, int64_t wait_ns)
{
	struct supervisor *s = child->supervisor;
	int r = sd_event_add_time_relative(s->event, &child->timer, CLOCK_MONOTONIC,
		(uint64_t)wait_ns / USEC_PER_NSEC, 1000, on_backoff, child);

	if (r < 0)
		supervisor_fail(s, "cannot set a timer: %s", err_name(r));
}

/* --- deaths ------------------------------------------------------------------------------------- */

static const char *describe_death(
	const struct child *child, const siginfo_t *info, char *text, size_t size)
{
	if (child->reason[0])
		(void)snprintf(text, size, "%s", child->reason);
	else if (info->si_code == CLD_EXITED)
		(void)snprintf(text, size, "exited with status %d without a word", info->si_status);
	else
		(void)snprintf(text, size, "killed by signal %d (%s)", info->si_status,
			strsignal(info->si_status));
	return text;
}

static bool is_full(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

/* The other end is not there now. */
static bool is_away(int error)
{
	return error == ENOTCONN || error == ECONNREFUSED || error == EHOSTUNREACH ||
	       error == ENETUNREACH;
}

/* A full disk, or a server that is away, is nobody's fault, and passes: its deaths are not counted. */
static void wait_until(
	struct child *child, enum log_event event, const char *why, const char *until)
{
	int64_t now = clock_now();

	child->state = child_next(child->state, CHILD_DEATH);
	child->restarts++;
	if (child->full_said_ns == 0 || now - child->full_said_ns > FULL_QUIET)
		supervisor_tell(child->supervisor, event, LOG_LEVEL_WARNING, child,
			"%s; it is tried again every second until %s", why, until);
	child->full_said_ns = now;
	spawn_later(child, FULL_WAIT);
}

/* Whom it is held against. Before anybody is told of the death, and is given again what the process had. */
static enum suspects_verdict blame(struct child *child, const siginfo_t *info, enum group_end end)
{
	struct supervisor *s = child->supervisor;
	enum suspects_verdict verdict = SUSPECTS_NOBODY;

	if (child->hung_at > 0 && child->hung_worker >= 0)
		verdict = suspects_blame(
			s->shared, child->stage, child->page, child->hung_worker, PAGE_CAUSE_HUNG);
	else if (end == GROUP_AT_LIMIT || starved_has_no_more(child))
		verdict = suspects_blame(
			s->shared, child->stage, child->page, -1, PAGE_CAUSE_NO_MEMORY);
	else if (child->hung_at == 0 && info->si_code != CLD_EXITED &&
		 suspects_is_fault(info->si_status))
		verdict = suspects_blame(
			s->shared, child->stage, child->page, -1, (uint32_t)info->si_status);
	suspects_forget_work(child->page);
	return verdict;
}

/* At once, and it costs the stage nothing. */
static void restart_for_record(struct child *child, const char *why, enum suspects_verdict verdict)
{
	child->state = child_next(child->state, CHILD_DEATH);
	child->restarts++;
	supervisor_tell(child->supervisor, LOG_EVENT_SUSPECT, LOG_LEVEL_WARNING, child,
		"%s; restarting: %s", why,
		verdict == SUSPECTS_NAMED
			? "the record that did it is known, and will be given up"
			: "what it worked on will be done a record at a time, to find out "
			  "whether one of them did it");
	spawn_later(child, 0);
}

/* One that was killed before it was ready has done nothing yet; one that says why it cannot start would say it again. */
static void child_died(
	struct child *child, const char *why, bool by_signal, enum suspects_verdict verdict)
{
	struct supervisor *s = child->supervisor;
	const struct graph_stage *stage = child_stage(child);
	char wait_text[32], within_text[32];
	int64_t wait_ns;

	if (s->is_ready && (stage->flags & SL_RESUMES) && is_full(child->error)) {
		wait_until(child, LOG_EVENT_DISK_FULL, why, "there is space");
		return;
	}
	if (s->is_ready && (stage->flags & SL_RESUMES) && is_away(child->error)) {
		wait_until(child, LOG_EVENT_AWAY, why, "it can be reached");
		return;
	}
	if (child->said_final || (!child->was_ready && !by_signal)) {
		child->state = child_next(child->state, CHILD_GIVE_UP);
		supervisor_fail(s, "%s: %s", child->name, why);
		return;
	}
	if (child->was_ready && !(stage->flags & SL_RESUMES)) {
		child->state = child_next(child->state, CHILD_GIVE_UP);
		if (child->reason[0])
			supervisor_fail(s, "%s: %s", child->name, why);
		else
			supervisor_fail(s,
				"%s: %s; a %s \"%s\" cannot take over where a dead one stood, so "
				"the pipeline stops",
				child->name, why, stage->role == SL_SOURCE ? "source" : "sink",
				stage->impl);
		return;
	}
	if (verdict != SUSPECTS_NOBODY &&
		policy_quarantine(&s->quarantines[child->stage], stage, clock_now())) {
		restart_for_record(child, why, verdict);
		return;
	}
	if (!policy_restart(&s->policies[child->stage], stage, clock_now(), &wait_ns)) {
		child->state = child_next(child->state, CHILD_GIVE_UP);
		supervisor_fail(s,
			"%s: %s; that is more than %u deaths of `%s` within %s (restart, "
			"restart_within): giving up",
			child->name, why, stage->restart_max, stage->name,
			units_print_duration(
				stage->restart_within_ns, within_text, sizeof(within_text)));
		return;
	}
	child->state = child_next(child->state, CHILD_DEATH);
	child->restarts++;
	supervisor_tell(s, child->hung_at > 0 ? LOG_EVENT_STALLED : LOG_EVENT_DIED,
		LOG_LEVEL_WARNING, child, "%s; restarting %s%s", why,
		wait_ns > 0 ? "in " : "at once",
		wait_ns == 0 ? "" : units_print_duration(wait_ns, wait_text, sizeof(wait_text)));
	spawn_later(child, wait_ns);
}

static void on_line(struct child *child, enum log_event event, int level, const char *text)
{
	supervisor_show(child->supervisor, event, level, child, text);
}

static void hear_words(struct child *child);

static int on_reaped(sd_event_source *source, const siginfo_t *info, void *user)
{
	struct child *child = user;
	struct supervisor *s = child->supervisor;
	enum suspects_verdict verdict;
	enum group_end end;
	bool is_clean;
	char why[1200];

	(void)source;
	/* What it still said counts. */
	hear_words(child);
	child_end_errors(child, on_line);
	end = starved_note(child, info);
	verdict = blame(child, info, end);
	is_clean = info->si_code == CLD_EXITED && info->si_status == 0 &&
		   child_next(child->state, CHILD_EXIT) >= 0;
	(void)describe_death(child, info, why, sizeof(why));
	child_release(child);
	group_remove(&s->groups, child->name, &child->group);
	if (is_clean) {
		child->state = child_next(child->state, CHILD_EXIT);
		tell_neighbours(child, UPSTREAM | DOWNSTREAM, WORD_PEER_DONE);
		reload_see(s);
	} else if (s->is_failing) {
		child->state = CHILD_FAILED;
	} else {
		if (child->was_ready)
			tell_neighbours(child, UPSTREAM | DOWNSTREAM, WORD_PEER_GONE);
		child_died(child, why, info->si_code != CLD_EXITED, verdict);
	}
	supervisor_check_end(s);
	return 0;
}

static int on_errors(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct child *child = user;

	(void)fd;
	(void)events;
	if (child_read_errors(child, on_line) == 0)
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

/* --- words -------------------------------------------------------------------------------------- */

static void child_is_ready(struct child *child)
{
	struct supervisor *s = child->supervisor;
	int next = child_next(child->state, CHILD_READY);

	if (next < 0)
		return;
	child->state = next;
	child->was_ready = true;
	child->has_paused = false;
	tell_newcomer(child);
	tell_neighbours(child, DOWNSTREAM, WORD_PEER_UP);
	if (s->is_stopping || s->reload.state == RELOAD_LEAVING)
		child_say(child, WORD_STOP, NULL);
	else if (reload_pauses(s, child))
		child_say(child, WORD_PAUSE, NULL);
	for (uint32_t i = 0; i < s->child_count && !s->is_ready; i++)
		if (s->children[i].state == CHILD_NEW || s->children[i].state == CHILD_STARTING)
			return;
	if (!s->is_ready && s->view.ready)
		s->view.ready(s->view.user);
	s->is_ready = true;
	reload_when_ready(s);
}

/* All that this source has settled, also what its predecessors had. */
static void keep_tally(struct child *child, const void *cells, size_t size)
{
	if (size != tally_size(child->supervisor->plan->graph) * sizeof(*child->tally))
		return;
	if (!child->tally)
		child->tally = malloc(size);
	if (!child->tally) {
		supervisor_fail(child->supervisor, "no memory for the counts of %s", child->name);
		return;
	}
	memcpy(child->tally, cells, size);
	(void)family_sum_tallies(child->supervisor);
}

/* Somebody upstream hears no PONG. What can be seen from here is said; the hang watch decides. */
static void look_at_silent(struct supervisor *s, const struct word *word)
{
	char path[64], stat[256] = "";
	const char *state;
	FILE *file;

	for (uint32_t i = 0; i < s->child_count; i++) {
		struct child *child = &s->children[i];

		if (child->stage != word->stage || child->instance != word->instance ||
			child->epoch != word->epoch || child->pid <= 0)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)child->pid);
		file = fopen(path, "re");
		if (file) {
			if (!fgets(stat, sizeof(stat), file))
				stat[0] = '\0';
			(void)fclose(file);
		}
		state = strrchr(stat, ')');
		supervisor_tell(s, LOG_EVENT_SILENT, LOG_LEVEL_WARNING, child,
			"pid %d answers no ping (process state %c)", (int)child->pid,
			state && state[1] ? state[2] : '?');
	}
}

static void hear_word(struct child *child, const struct word *word, size_t size)
{
	struct supervisor *s = child->supervisor;
	int next;

	switch (word->type) {
	case WORD_READY:
		child_is_ready(child);
		break;
	case WORD_FAILED:
		if (!child->reason[0])
			(void)snprintf(child->reason, sizeof(child->reason), "%.*s", (int)size,
				s->payload);
		child->said_final = word->how;
		child->error = (int)word->error;
		break;
	case WORD_TALLY:
		keep_tally(child, s->payload, size);
		control_hear_tally(
			s->control, (uint32_t)(child - s->children), true, s->payload, size);
		break;
	case WORD_TALLY_NOW:
		control_hear_tally(
			s->control, (uint32_t)(child - s->children), false, s->payload, size);
		break;
	case WORD_DONE:
		next = child_next(child->state, CHILD_DONE);
		if (next >= 0)
			child->state = next;
		child->how = word->how;
		break;
	case WORD_PAUSED:
		child->has_paused = true;
		reload_see(s);
		break;
	case WORD_SILENT:
		look_at_silent(s, word);
		break;
	default:
		break;
	}
}

static void hear_words(struct child *child)
{
	struct supervisor *s = child->supervisor;
	struct word word;
	size_t size;
	int fds[WORD_FDS_MAX];
	int r = 0;

	while (child->words >= 0 &&
		(r = word_receive(child->words, &word, s->payload, &size, fds)) > 0) {
		/* No word of a child has any. */
		for (int i = 0; i < WORD_FDS_MAX; i++)
			if (fds[i] >= 0)
				(void)close(fds[i]);
		hear_word(child, &word, size);
	}
	/* Closed: its exit will tell the rest. */
	if (r != -EAGAIN)
		(void)sd_event_source_set_enabled(child->words_source, SD_EVENT_OFF);
}

static int on_words(sd_event_source *source, int fd, uint32_t events, void *user)
{
	(void)source;
	(void)fd;
	(void)events;
	hear_words(user);
	return 0;
}

/* --- the family ----------------------------------------------------------------------------------- */

static int make_graph_fd(struct supervisor *s, struct err *err)
{
	struct sl_writer w;
	ssize_t written;
	int r = 0;

	sl_writer_init(&w);
	s->graph_fd = memfd_create("sluice-graph", MFD_CLOEXEC);
	r = s->graph_fd < 0 ? -errno : graph_encode(s->plan->graph, &w);
	if (r == 0) {
		written = write(s->graph_fd, w.data, w.size);
		r = written < 0 ? -errno : (size_t)written != w.size ? -EIO : 0;
	}
	sl_writer_fini(&w);
	if (r < 0)
		return err_set(err, r, "cannot hand on the graph: %s", err_name(r));
	s->shared_fd = page_shared_create();
	if (s->shared_fd >= 0)
		s->shared = page_shared_map(s->shared_fd, &r);
	else
		r = s->shared_fd;
	return r < 0 ? err_set(err, r, "cannot make the shared page: %s", err_name(r)) : 0;
}

static int make_children(struct supervisor *s, struct err *err)
{
	const struct graph *graph = s->plan->graph;
	uint32_t count = 0;

	for (uint32_t i = 0; i < graph->stage_count; i++)
		count += graph->stages[i].processes;
	s->children = calloc(count, sizeof(*s->children));
	s->policies = calloc(graph->stage_count, sizeof(*s->policies));
	s->quarantines = calloc(graph->stage_count, sizeof(*s->quarantines));
	s->tally = calloc(tally_size(graph), sizeof(*s->tally));
	s->seen = calloc(count, sizeof(*s->seen));
	s->marks = calloc(count, sizeof(*s->marks));
	if (!s->seen || !s->marks || !s->children || !s->policies || !s->quarantines || !s->tally)
		return err_set(err, -ENOMEM, "no memory for %u processes", count);
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		for (uint32_t n = 0; n < graph->stages[i].processes; n++) {
			int r = child_init(&s->children[s->child_count], s, i, n);

			if (r < 0) {
				child_fini(&s->children[s->child_count]);
				return err_set(err, r, "cannot prepare %s.%u: %s",
					graph->stages[i].name, n, err_name(r));
			}
			s->child_count++;
		}
	}
	return 0;
}

/* Deaths that were thought to be some record's fault and were not: they count as others do. */
void family_charge_unexplained(struct supervisor *s)
{
	char within[32];
	int64_t wait_ns;

	for (uint32_t i = 0; i < s->plan->graph->stage_count && !s->is_failing; i++) {
		const struct graph_stage *stage = &s->plan->graph->stages[i];
		uint32_t count = suspects_unexplained(s->shared, i);

		while (count-- > 0)
			if (!policy_restart(&s->policies[i], stage, clock_now(), &wait_ns))
				supervisor_fail(s,
					"`%s` was ended by signals, and no record that was "
					"suspected "
					"did it again: more than %u deaths within %s (restart, "
					"restart_within): giving up",
					stage->name, stage->restart_max,
					units_print_duration(
						stage->restart_within_ns, within, sizeof(within)));
	}
}

int family_make(struct supervisor *s, struct err *err)
{
	int r = make_graph_fd(s, err);

	s->term = resume_random();
	return r < 0 ? r : make_children(s, err);
}

void family_fini(struct supervisor *s)
{
	for (uint32_t i = 0; s->children && i < s->child_count; i++)
		child_fini(&s->children[i]);
	for (uint32_t i = 0; s->policies && s->quarantines && i < s->plan->graph->stage_count;
		i++) {
		policy_fini(&s->policies[i]);
		policy_fini(&s->quarantines[i]);
	}
	page_shared_unmap(s->shared);
	if (s->graph_fd >= 0)
		(void)close(s->graph_fd);
	if (s->shared_fd >= 0)
		(void)close(s->shared_fd);
	free(s->children);
	free(s->policies);
	free(s->quarantines);
	free(s->tally);
	free(s->seen);
	free(s->marks);
	s->seen = NULL;
	s->marks = NULL;
	s->shared = NULL;
	s->graph_fd = -1;
	s->shared_fd = -1;
	s->children = NULL;
	s->child_count = 0;
	s->policies = NULL;
	s->quarantines = NULL;
	s->tally = NULL;
}

void family_start(struct supervisor *s)
{
	char text[LOG_LINE_MAX];

	groups_enable(&s->groups, limits_want_cpu(s->plan->graph));
	if (limits_explain(&s->groups, s->plan->graph, text, sizeof(text)))
		supervisor_say(s, LOG_LEVEL_WARNING, NULL, "%s", text);
	/* Downstream first: by the time a source is ready, who it feeds is on the way. */
	for (uint32_t i = s->child_count; i > 0 && !s->is_failing; i--)
		family_spawn(&s->children[i - 1]);
}

void family_tell_sources(struct supervisor *s, enum word_type type)
{
	for (uint32_t i = 0; i < s->child_count; i++)
		if (child_stage(&s->children[i])->role == SL_SOURCE)
			child_say(&s->children[i], type, NULL);
}

bool family_sum_tallies(struct supervisor *s)
{
	uint32_t size = tally_size(s->plan->graph);
	bool is_whole = true;

	if (!s->tally)
		return false;
	memset(s->tally, 0, size * sizeof(*s->tally));
	for (uint32_t i = 0; i < s->child_count; i++) {
		const struct child *child = &s->children[i];

		if (child->tally)
			tally_add(s->tally, child->tally, size);
		else if (child_stage(child)->role == SL_SOURCE)
			is_whole = false;
	}
	return is_whole;
}
