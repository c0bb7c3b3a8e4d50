/* SPDX-License-Identifier: MIT */
/* See reload.h. */
#include "supervisor/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "supervisor/supervisor_room.h"

#define USEC_PER_NSEC 1000

static void show_under_way(struct supervisor *s, bool is_under_way)
{
	if (s->view.reloading)
		s->view.reloading(s->view.user, is_under_way);
}

static void tell(struct supervisor *s, enum log_event event, int level, const char *text)
{
	supervisor_show(s, event, level, NULL, text);
	control_reloaded(s->control, event == LOG_EVENT_RELOADED, text);
}

static void forget(struct reload *reload)
{
	graph_free(reload->next);
	reload->timer = sd_event_source_unref(reload->timer);
	*reload = (struct reload){ 0 };
}

/* --- may it? -------------------------------------------------------------------------------------- */

static int check_state(const struct supervisor *s, struct err *err)
{
	const struct graph *graph = s->plan->graph;

	if (s->reload.state != RELOAD_NONE)
		return err_set(err, -EBUSY, "a reload is under way already");
	if (s->is_stopping || s->is_failing)
		return err_set(err, -ECANCELED, "the pipeline is ending");
	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (graph->stages[i].role == SL_SOURCE && !(graph->stages[i].flags & SL_RESUMES))
			return err_set(err, -ENOTSUP,
				"the source `%s` cannot go on where it stood: stop the pipeline "
				"and start it again",
				graph->stages[i].name);
	return 0;
}

static bool is_same_option(
	const struct graph_stage *a, const struct graph_stage *b, const char *name)
{
	struct sl_value x = sl_find(a->options, name, strlen(name));
	struct sl_value y = sl_find(b->options, name, strlen(name));

	/* How long a key is remembered may change. */
	if (strcmp(name, "for") == 0)
		return !x.data == !y.data;
	return x.size == y.size && (x.size == 0 || memcmp(x.data, y.data, x.size) == 0);
}

/* The first of what says what a stage's state means that is another one; NULL: none. */
static const char *other_meaning(const struct graph_stage *a, const struct graph_stage *b)
{
	static const char *const names[] = { "by", "set", "key", "time", "tumbling", "sliding",
		"every", "for", NULL };

	for (const char *const *name = names; *name; name++)
		if (!is_same_option(a, b, *name))
			return *name;
	if (a->processes != b->processes)
		return "processes";
	for (uint32_t i = 0; i < a->partition_count; i++)
		if (a->partition_count != b->partition_count ||
			strcmp(a->partition[i], b->partition[i]) != 0)
			return "partition";
	return NULL;
}

/* What a stage knows now must be of use to the next one of its name. */
static int check_meaning(const struct graph *now, const struct graph *next, struct err *err)
{
	for (uint32_t i = 0; i < now->stage_count; i++) {
		const struct graph_stage *stage = &now->stages[i];
		int found = graph_find(next, stage->name);
		const char *what;

		if (stage->role != SL_SINK || !(stage->flags & SL_HAS_STATE) || found < 0 ||
			strcmp(stage->impl, next->stages[found].impl) != 0)
			continue;
		what = other_meaning(stage, &next->stages[found]);
		if (what)
			return err_set(err, -ENOTSUP,
				"`%s` of `%.*s` cannot change, for what the stage knows was made "
				"with it: give the stage another name, and it begins anew",
				what, (int)strcspn(stage->name, "~"), stage->name);
	}
	return 0;
}

static int read_again(struct supervisor *s, struct graph **ret_graph, struct err *err)
{
	const struct graph *now = s->plan->graph;
	struct plan next;
	int r = plan_make(
		now->file, s->plan->parameters, s->plan->state, s->plan->runtime, &next, err);

	if (r == -EINVAL)
		return err_set(
			err, r, "%s is wrong: `sluice check %s` says where", now->file, now->file);
	if (r < 0)
		return r;
	if (strcmp(next.graph->name, now->name) != 0)
		r = err_set(err, -EINVAL,
			"`name` is \"%s\" now and was \"%s\": that is another pipeline; stop this "
			"one and start that",
			next.graph->name, now->name);
	else if (graph_is_same(next.graph, now))
		r = err_set(err, -EALREADY, "nothing has changed");
	else
		r = check_meaning(now, next.graph, err);
	if (r < 0)
		graph_free(next.graph);
	else
		*ret_graph = next.graph;
	return r;
}

/* --- stores that the new graph has not ------------------------------------------------------------ */

static bool has_store(const struct graph *graph, const struct graph_store *wanted)
{
	struct graph_store store;

	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (graph_store(graph, i, &store) == 0 && store.name_size == wanted->name_size &&
			memcmp(store.name, wanted->name, store.name_size) == 0)
			return true;
	return false;
}

/* Is it the source that reads such a store? What is in it must leave it before. */
static bool empties(const struct supervisor *s, const struct child *child)
{
	const struct graph *graph = s->plan->graph;
	struct graph_store store;

	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (graph_store(graph, i, &store) == 0 && store.out == child->stage)
			return !has_store(s->reload.next, &store);
	return false;
}

/* Records in all of them. */
static uint64_t count_left(const struct supervisor *s)
{
	uint64_t count = 0;
	struct fill fill;

	for (uint32_t i = 0; i < s->plan->graph->stage_count; i++)
		if (supervisor_fill(s, i, &fill) && !has_store(s->reload.next, &fill.store))
			count += fill.records;
	return count;
}

bool reload_pauses(const struct supervisor *s, const struct child *child)
{
	return s->reload.state == RELOAD_PAUSING && child_stage(child)->role == SL_SOURCE &&
	       !(s->reload.is_emptying && empties(s, child));
}

static void pause_sources(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->child_count; i++) {
		struct child *child = &s->children[i];

		s->reload.is_emptying = s->reload.is_emptying || empties(s, child);
		child->has_paused = false;
	}
	for (uint32_t i = 0; i < s->child_count; i++)
		if (reload_pauses(s, &s->children[i]))
			child_say(&s->children[i], WORD_PAUSE, NULL);
}

/* --- the way -------------------------------------------------------------------------------------- */

static bool all_have_paused(const struct supervisor *s)
{
	for (uint32_t i = 0; i < s->child_count; i++) {
		const struct child *child = &s->children[i];

		if (reload_pauses(s, child) && !child->has_paused && child->state != CHILD_FINISHED)
			return false;
	}
	return true;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *user)
{
	struct supervisor *s = user;
	uint64_t left = s->reload.is_emptying && all_have_paused(s) ? count_left(s) : 0;
	char limit[32], text[320];

	(void)source;
	(void)usec;
	/* The processes are being killed; who waits for the reload is told at the end. */
	if (s->is_failing)
		return 0;
	(void)units_print_duration(s->plan->graph->drain_timeout_ns, limit, sizeof(limit));
	if (left > 0)
		(void)snprintf(text, sizeof(text),
			"not reloaded: %llu records are in a store that the new config has not, "
			"after %s (drain_timeout): give it its `when_full` or `intake` until it is "
			"empty; the pipeline goes on as it was",
			(unsigned long long)left, limit);
	else
		(void)snprintf(text, sizeof(text),
			"not reloaded: what was read is not settled after %s (drain_timeout); the "
			"pipeline goes on as it was",
			limit);
	forget(&s->reload);
	listeners_keep(&s->listeners, s->plan->graph);
	family_tell_sources(s, WORD_RESUME);
	show_under_way(s, false);
	tell(s, LOG_EVENT_NOT_RELOADED, LOG_LEVEL_WARNING, text);
	return 0;
}

int reload_begin(struct supervisor *s, struct err *err)
{
	int r = check_state(s, err);

	/* One that is under way is not touched by another. */
	if (r < 0)
		return r;
	s->reload.is_wanted = !s->is_ready;
	if (s->reload.is_wanted)
		return 0;
	r = read_again(s, &s->reload.next, err);
	if (r == 0)
		r = listeners_open(&s->listeners, s->reload.next, err);
	if (r == 0)
		r = sd_event_add_time_relative(s->event, &s->reload.timer, CLOCK_MONOTONIC,
			(uint64_t)s->plan->graph->drain_timeout_ns / USEC_PER_NSEC, 1000,
			on_timeout, s);
	if (r < 0) {
		forget(&s->reload);
		listeners_keep(&s->listeners, s->plan->graph);
		return r;
	}
	s->reload.state = RELOAD_PAUSING;
	show_under_way(s, true);
	supervisor_tell(s, LOG_EVENT_RELOADING, LOG_LEVEL_INFO, NULL,
		"reloading: what was read is being settled");
	pause_sources(s);
	return 0;
}

void reload_when_ready(struct supervisor *s)
{
	struct err err = { 0 };
	char text[sizeof(err.text) + 32];

	if (!s->reload.is_wanted || reload_begin(s, &err) == 0)
		return;
	(void)snprintf(text, sizeof(text), "not reloaded: %s", err.text);
	tell(s, LOG_EVENT_NOT_RELOADED, LOG_LEVEL_WARNING, text);
}

void reload_see(struct supervisor *s)
{
	if (s->reload.state != RELOAD_PAUSING || !all_have_paused(s))
		return;
	if (s->reload.is_emptying) {
		if (count_left(s) > 0)
			return;
		s->reload.is_emptying = false;
		for (uint32_t i = 0; i < s->child_count; i++)
			if (empties(s, &s->children[i]))
				child_say(&s->children[i], WORD_PAUSE, NULL);
		if (!all_have_paused(s))
			return;
	}
	s->reload.state = RELOAD_LEAVING;
	s->reload.timer = sd_event_source_unref(s->reload.timer);
	family_tell_sources(s, WORD_STOP);
}

void reload_tick(struct supervisor *s)
{
	if (s->reload.is_emptying)
		reload_see(s);
}

static bool has_come_to_its_end(const struct supervisor *s)
{
	for (uint32_t i = 0; i < s->child_count; i++)
		if (child_stage(&s->children[i])->role == SL_SOURCE &&
			s->children[i].how == WORD_HOW_STOP)
			return false;
	return true;
}

bool reload_swap(struct supervisor *s)
{
	struct graph *next = s->reload.next;
	struct err err = { 0 };
	int r;

	/* Who was told to stop in the meantime, or has read everything, needs no new processes. */
	if (s->reload.state != RELOAD_LEAVING || s->is_stopping || has_come_to_its_end(s))
		return false;
	s->reload.next = NULL;
	forget(&s->reload);
	points_stop(s);
	family_fini(s);
	graph_free(s->plan->graph);
	s->plan->graph = next;
	listeners_keep(&s->listeners, next);
	s->is_ready = false;
	r = family_make(s, &err);
	/* Also when not all of them are there: it must not show those that were. */
	if (control_resize(s->control) < 0 || r < 0) {
		supervisor_fail(s, "%s", err.text[0] ? err.text : "no memory");
		return true;
	}
	family_start(s);
	points_start(s);
	tell(s, LOG_EVENT_RELOADED, LOG_LEVEL_INFO, "reloaded");
	return true;
}

void reload_cancel(struct supervisor *s)
{
	if (s->reload.state == RELOAD_LEAVING ||
		(s->reload.state == RELOAD_NONE && !s->reload.is_wanted))
		return;
	forget(&s->reload);
	listeners_keep(&s->listeners, s->plan->graph);
	tell(s, LOG_EVENT_NOT_RELOADED, LOG_LEVEL_WARNING,
		"not reloaded: the pipeline is being stopped");
}

void reload_fini(struct supervisor *s)
{
	/* Also of one that failed half-way: libmicrohttpd cannot end while anybody waits. */
	control_reloaded(s->control, false, "not reloaded: the pipeline has ended");
	forget(&s->reload);
}
