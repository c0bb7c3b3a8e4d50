/* SPDX-License-Identifier: MIT */
/*
 * Conservation: the two laws, and the counts of a pipeline that still runs. Those are gathered: what finished sources have
 * left behind, and what each running one answers to WORD_ASK_TALLY. A source tells the sum of its settled batches, so the
 * laws hold for each answer, and for any sum of answers. No I/O; the asking is control.c's.
 */
#ifndef SUPERVISOR_AUDIT_H
#define SUPERVISOR_AUDIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/graph.h"

enum audit_child {
	AUDIT_SILENT,   /* has nothing to tell, or was not asked */
	AUDIT_ASKED,    /* its answer has not come */
	AUDIT_ANSWERED, /* counted */
	AUDIT_FINISHED, /* its final tally came: in the base of the next audit */
};

struct audit {
	const struct graph *graph; /* borrowed */
	uint64_t *sum;             /* tally_size cells */
	enum audit_child *children;
	uint32_t child_count;
	uint32_t awaited; /* children that are ASKED */
	bool is_running;
};

/* 0 or -ENOMEM. */
int audit_init(struct audit *audit, const struct graph *graph, uint32_t child_count);
void audit_fini(struct audit *audit);

/* Begins with `base`, the tally of the sources that have finished. */
void audit_begin(struct audit *audit, const uint64_t *base);
/* Child i was asked. Not for one that has finished: audit_has_finished. */
void audit_await(struct audit *audit, uint32_t i);
bool audit_has_finished(const struct audit *audit, uint32_t i);
/* A tally of child i; `is_final`: its last. Counted once in each audit. What is no tally is left out. */
void audit_hear(struct audit *audit, uint32_t i, bool is_final, const void *payload, size_t size);
/*
 * What there is, as an object; `missing` (borrowed) are the names of those that did not answer. NULL: no memory. The audit is over.
 */
json_t *audit_end(struct audit *audit, json_t *missing);

/* The first of the two laws that does not hold, into `text`. False: both do. */
bool audit_find_leak(const struct graph *graph, const uint64_t *tally, char *text, size_t size);

#endif
