/* SPDX-License-Identifier: MIT */
/*
 * How a pipeline does, in words and numbers: as JSON for `sluice status`, as Prometheus' text for a monitor. Made from one
 * struct, which control.c fills from the supervisor and a test by hand. No I/O, no clock. doc/control.md explains each field
 * to users; a field that is there stays.
 */
#ifndef SUPERVISOR_STATUS_H
#define SUPERVISOR_STATUS_H

#include <jansson.h>

#include "supervisor/fill.h"
#include "supervisor/rates.h"
#include "supervisor/supervisor.h"

/* Everything is borrowed. */
struct status {
	const struct graph *graph;
	struct supervisor_now now;
	pid_t pid;                               /* of the supervisor */
	int64_t started_at;                      /* CLOCK_REALTIME, ns */
	int64_t at_ns;                           /* monotonic: now */
	const struct supervisor_child *children; /* in the order of the stages */
	const struct rates *rates;               /* one per child */
	const struct group_use *uses;            /* one per child */
	uint32_t child_count;
};

extern const char *const status_states[];  /* by enum supervisor_state; ends with NULL */
extern const char *const status_blocked[]; /* by enum page_blocked; ends with NULL */

/* The object of GET /v1/status; NULL: no memory. */
json_t *status_json(const struct status *status);
/* The text of GET /v1/metrics, to be freed; NULL: no memory. */
char *status_metrics(const struct status *status, size_t *ret_size);

/* --- what both show ----------------------------------------------------------------------------- */

/* What holds it up; PAGE_FREE when it does not run. */
enum page_blocked status_blocked_by(const struct supervisor_child *child);
/* Batches that may wait before an instance of that stage: its credit with all its upstream instances. */
uint64_t status_queue(const struct graph *graph, uint32_t stage);
/* Bytes that an instance of that stage may hold unsettled. */
uint64_t status_retain(const struct graph *graph, uint32_t stage);
/* What it has not read yet, in the unit of its progress; -1: it does not know. */
/* How long the oldest record that is not settled has been on its way, in seconds; 0: all are settled. */
double status_age(const struct status *status, const struct supervisor_child *child);
int64_t status_lag(const struct supervisor_child *child);
/* How full the store is that begins with that stage; false: none does. */
bool status_fill(const struct status *status, uint32_t stage, struct fill *ret);
/* Of one of its processes. */
bool status_fill_one(
	const struct status *status, uint32_t stage, uint32_t instance, struct fill *ret);
/* "bytes" or "records" */
const char *status_unit(const struct supervisor_child *child);
/* Seconds, to the millisecond. */
double status_seconds(int64_t ns);
/* Text of any origin as a JSON string: what is no UTF-8 becomes `?`. NULL becomes null. */
json_t *status_text(const char *text);

#endif
