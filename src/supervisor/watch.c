/* SPDX-License-Identifier: MIT */
/* See watch.h. */
#include "supervisor/watch.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/units.h"
#include "supervisor/supervisor_room.h"

#define BEAT_FRESH                                                                                 \
	NSEC_PER_SEC /* a process whose pump turned within this time is not stopped as a whole */

/* --- what is to be seen ------------------------------------------------------------------------- */

static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * UINT64_C(0x9e3779b97f4a7c15) + value;
}

void watch_note(struct watch_mark *mark, const struct supervisor_child *child, int64_t now)
{
	const struct page *page = child->page;
	uint64_t data = mix(mix(page_get(page->records_in), page_get(page->records_out)),
		mix(page_get(page->batches_in), page_get(page->progress_done)));
	uint64_t moved;

	data = mix(data, mix(page_get(page->position), page_get(page->settled)));
	for (int i = 0; i < PAGE_WORKERS_MAX; i++)
		data = mix(data, page_get(page->workers[i].calls));
	moved = mix(data, mix((uint64_t)child->pid, child->state));
	if (moved == mark->moved && mark->since_ns > 0)
		return;
	/* Another process is a new chance, not a move. */
	if (data != mark->data)
		mark->ended = 0;
	mark->data = data;
	mark->moved = moved;
	mark->since_ns = now;
}

static bool works(const struct graph_stage *stage, const struct page *page)
{
	for (uint32_t i = 0; i < stage->threads && i < PAGE_WORKERS_MAX; i++)
		if (page_get(page->workers[i].state) != PAGE_IDLE ||
			page_get(page->workers[i].tasks) > 0)
			return true;
	return false;
}

static bool is_overdue(const struct graph_stage *stage, const struct watch_mark *mark, int64_t now)
{
	return stage->stall_timeout_ns > 0 && now - mark->since_ns > stage->stall_timeout_ns;
}

/*
 * Nothing came, nothing is left, and that for as long as whoever waits for it has waited. One whose pump does not turn is not idle:
 * what it has, only it would know.
 */
static bool is_idle(const struct watch *watch, uint32_t i, int64_t since_ns)
{
	const struct supervisor_child *child = &watch->children[i];
	const struct page *page = child->page;

	return child->state == CHILD_RUNNING && watch->marks[i].since_ns <= since_ns &&
	       watch->now - page_get(page->pump_beat_ns) < BEAT_FRESH &&
	       page_get(page->blocked) == PAGE_NO_INPUT && page_get(page->queued) == 0 &&
	       !works(&watch->graph->stages[child->stage], page);
}

/* Those below it, all of them, near or far. */
static void mark_below(const struct graph *graph, uint32_t stage, bool is_far, bool *below)
{
	/* Stages stand behind all that they take from. */
	for (uint32_t s = stage; s < graph->stage_count; s++) {
		if (s != stage && !(is_far && below[s]))
			continue;
		for (uint32_t i = 0; i < graph->link_count; i++)
			if (graph->links[i].upstream == s)
				below[graph->links[i].downstream] = true;
	}
}

/* It waits for credit or room, and everybody who could give it waits for input. */
static bool waits_for_nobody(const struct watch *watch, uint32_t i, bool is_far)
{
	bool below[PAGE_STAGES_MAX] = { false };
	bool has_any = false;

	if (watch->graph->stage_count > PAGE_STAGES_MAX)
		return false;
	mark_below(watch->graph, watch->children[i].stage, is_far, below);
	for (uint32_t k = 0; k < watch->count; k++) {
		const struct supervisor_child *other = &watch->children[k];

		if (!below[other->stage] || other->state == CHILD_FINISHED)
			continue;
		if (!is_idle(watch, k, watch->marks[i].since_ns + NSEC_PER_SEC))
			return false;
		has_any = true;
	}
	return has_any;
}

static bool stands(const struct watch *watch, uint32_t i)
{
	const struct graph_stage *stage = &watch->graph->stages[watch->children[i].stage];
	const struct page *page = watch->children[i].page;

	if (works(stage, page))
		return false;
	switch (page_get(page->blocked)) {
	case PAGE_FREE:
		return stage->role != SL_SOURCE && stage->rate_ns == 0 &&
		       page_get(page->queued) > 0;
	case PAGE_NO_CREDIT:
		return waits_for_nobody(watch, i, false);
	case PAGE_NO_ROOM:
		/* A source may also wait for room on the disk, for its cuts. */
		return page_get(page->held_bytes) >= stage->retain / 2 &&
		       waits_for_nobody(watch, i, true);
	default:
		return false;
	}
}

enum watch_kind watch_judge(const struct watch *watch, uint32_t i)
{
	const struct graph_stage *stage = &watch->graph->stages[watch->children[i].stage];

	if (!is_overdue(stage, &watch->marks[i], watch->now))
		return WATCH_WELL;
	switch (watch->children[i].state) {
	case CHILD_STARTING:
	case CHILD_LEAVING:
		return WATCH_LATE;
	case CHILD_RUNNING:
		return stands(watch, i) ? WATCH_STANDING : WATCH_WELL;
	default:
		return WATCH_WELL;
	}
}

/* --- what is done about it ---------------------------------------------------------------------- */

static void end_child(struct child *child, const char *what, int worker)
{
	char limit[32];

	(void)snprintf(child->reason, sizeof(child->reason), "%s %s (stall_timeout): killed", what,
		units_print_duration(child_stage(child)->stall_timeout_ns, limit, sizeof(limit)));
	child_abort(child, worker, clock_now());
}

/* A worker that stays in one call, or a pump that does not turn. */
static void watch_hung(struct child *child, int64_t now)
{
	const struct graph_stage *stage = child_stage(child);
	int64_t beat = page_get(child->page->pump_beat_ns);

	if (beat > 0 && now - beat > stage->stall_timeout_ns) {
		end_child(child, "the process has stood still for", -1);
		return;
	}
	for (uint32_t i = 0; i < stage->threads && i < PAGE_WORKERS_MAX; i++) {
		uint64_t calls = page_get(child->page->workers[i].calls);

		if (page_get(child->page->workers[i].state) != PAGE_BUSY ||
			calls != child->calls[i]) {
			child->calls[i] = calls;
			child->calls_since[i] = now;
		} else if (now - child->calls_since[i] > stage->stall_timeout_ns) {
			end_child(child, "hung: one call into the stage has lasted",
				now - beat < BEAT_FRESH ? (int)i : -1);
			return;
		}
	}
}

/* What starting a stage again did not help. */
static void watch_give_up(struct supervisor *s, const struct child *child, const char *what)
{
	char text[256];

	s->is_stuck = true;
	(void)snprintf(text, sizeof(text), "%s: %s", child->name, what);
	if (!s->view.stuck || !s->view.stuck(s->view.user, text))
		supervisor_fail(s, "%s", text);
}

static void end_standing(struct supervisor *s, struct child *child, enum watch_kind kind)
{
	struct watch_mark *mark = &s->marks[child - s->children];

	if (mark->ended >= WATCH_ENDED_MAX) {
		watch_give_up(s, child,
			"it does not go on, and starting it again has not helped: the pipeline "
			"stands");
		return;
	}
	mark->ended++;
	if (kind == WATCH_STANDING)
		end_child(child, "there is work for it, and it has done nothing for", -1);
	else if (child->state == CHILD_LEAVING)
		end_child(child, "it was done, and has not ended for", -1);
	else
		end_child(child, "it was not ready after", -1);
}

static bool can_be_late(const struct supervisor *s, const struct child *child)
{
	/* At the beginning whoever started us has a limit of its own. */
	return child->state != CHILD_STARTING || s->is_ready;
}

static void watch_one(struct supervisor *s, const struct watch *watch, uint32_t i)
{
	struct child *child = &s->children[i];
	enum watch_kind kind;

	if (child->pid > 0 && child->hung_at > 0 && child_abort_again(child, watch->now))
		watch_give_up(s, child, "it was killed, and does not end");
	if (child->pid <= 0 || child->reason[0] || child_stage(child)->stall_timeout_ns == 0)
		return;
	if (child->state == CHILD_RUNNING)
		watch_hung(child, watch->now);
	/* The end of a stop or a reload has a limit of its own: drain_timeout. */
	if (child->reason[0] || s->is_stopping || s->reload.state != RELOAD_NONE)
		return;
	kind = watch_judge(watch, i);
	if (kind != WATCH_WELL && can_be_late(s, child))
		end_standing(s, child, kind);
}

void watch_tick(struct supervisor *s, int64_t now)
{
	const struct watch watch = {
		.graph = s->plan->graph,
		.children = s->seen,
		.marks = s->marks,
		.count = s->child_count,
		.now = now,
	};

	for (uint32_t i = 0; i < s->child_count; i++) {
		s->seen[i] = supervisor_child(s, i);
		watch_note(&s->marks[i], &s->seen[i], now);
	}
	for (uint32_t i = 0; i < s->child_count && !s->is_failing && !s->is_stuck; i++)
		watch_one(s, &watch, i);
}
