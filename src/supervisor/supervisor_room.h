/* SPDX-License-Identifier: MIT */
/*
 * What the files of the supervisor share: supervisor.c (the loop, the end, the answers), family.c (the children: birth, words, death) and
 * reload.c (another family in place of this one). One thread.
 */
#ifndef SUPERVISOR_SUPERVISOR_ROOM_H
#define SUPERVISOR_SUPERVISOR_ROOM_H

#include <systemd/sd-event.h>

#include "supervisor/child.h"
#include "supervisor/control.h"
#include "supervisor/groups.h"
#include "supervisor/listeners.h"
#include "supervisor/points.h"
#include "supervisor/reload.h"
#include "supervisor/watch.h"

struct supervisor {
	struct plan *plan;
	struct supervisor_view view;
	sd_event *event;
	sd_event_source *tick;
	sd_event_source *drain_timer;
	struct control *control; /* NULL: nobody can ask */
	int graph_fd;
	int shared_fd; /* page_shared */
	struct listeners listeners;
	struct groups groups;
	struct resume resume;
	uint64_t term; /* see base/word.h */
	struct page_shared *shared;
	struct child *children;
	uint32_t child_count;
	struct supervisor_child *seen; /* one per child, for watch.c */
	struct watch_mark *marks;
	struct policy *policies;    /* one per stage */
	struct policy *quarantines; /* one per stage */
	uint64_t *tally;
	int64_t started_ns;
	int64_t ended_ns;
	bool has_counts; /* at the end: `tally` is whole */
	struct reload reload;
	struct points points;
	bool is_apart;    /* of no run: nothing is kept */
	bool is_ready;    /* all were, once */
	bool is_stopping; /* drain */
	bool is_failing;
	int64_t failing_ns;
	bool is_stuck; /* see watch.h */
	char reason[1200];
	_Alignas(uint64_t) char payload[WORD_PAYLOAD_MAX];
};

/* --- supervisor.c ------------------------------------------------------------------------------- */

/* A line for people, about `child` or, NULL, the pipeline. */
void supervisor_say(struct supervisor *s, int level, const struct child *child, const char *format,
	...) __attribute__((format(printf, 4, 5)));
/* The same, of an event that has a name. */
void supervisor_tell(struct supervisor *s, enum log_event event, int level,
	const struct child *child, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same, of text that is there. */
void supervisor_show(struct supervisor *s, enum log_event event, int level,
	const struct child *child, const char *text);
/* The pipeline ends at once, for this reason; the first counts. */
void supervisor_fail(struct supervisor *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A child has ended: was that the last? */
void supervisor_check_end(struct supervisor *s);

/* --- family.c ----------------------------------------------------------------------------------- */

const struct graph_stage *child_stage(const struct child *child);
/* The children of the plan's graph, none running, and what is counted for each. 0, or negative errno with `err`. */
int family_make(struct supervisor *s, struct err *err);
/* No child may run. */
void family_fini(struct supervisor *s);
/* Starts them all. */
void family_start(struct supervisor *s);
/* Says a word to every source that listens. */
void family_tell_sources(struct supervisor *s, enum word_type type);
/* Deaths that were thought to be some record's fault and were not count as others do. */
void family_charge_unexplained(struct supervisor *s);
/* What the sources have settled together, in s->tally; false: one has not said it. */
bool family_sum_tallies(struct supervisor *s);

#endif
