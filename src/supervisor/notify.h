/* SPDX-License-Identifier: MIT */
/*
 * What systemd is told, over $NOTIFY_SOCKET; nothing where there is none. Every call is a callback of struct supervisor_view, or is
 * made from one:
 *
 *   READY=1                          all stages are ready, or are again
 *   STATUS=                          every two seconds: records a second, and the bottleneck
 *   RELOADING=1, MONOTONIC_USEC=     a reload is under way
 *   STOPPING=1                       it drains
 *   EXTEND_TIMEOUT_USEC=             as long as it drains, for a stop or a reload: `drain_timeout` is the limit; and as long as the disk is at work
 *   WATCHDOG=1                       at half the interval, while the data move, or stand for a reason that has a name: watch.h
 *   WATCHDOG=trigger                 when nothing here helps
 */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

#include "supervisor/supervisor.h"

/* Counters of one stage, all its instances together. */
struct notify_sample {
	uint64_t in, out;
	int64_t free_ns, all_ns; /* of its instances' time: not held up by others; in all */
};

struct notify {
	int64_t watchdog_ns; /* half the interval; 0: nobody watches */
	int64_t fed_ns;
	int64_t status_ns; /* when the status was told */
	bool is_reloading, is_stopping;
	struct notify_sample *before; /* one per stage */
	uint32_t stage_count;
};

void notify_init(struct notify *notify);
void notify_fini(struct notify *notify);
void notify_ready(struct notify *notify);
void notify_reloading(struct notify *notify, bool is_under_way);
void notify_stopping(struct notify *notify);
/* False: nobody watches. */
bool notify_stuck(struct notify *notify, const char *reason);
void notify_tick(struct notify *notify, const struct supervisor *supervisor);

/*
 * One line from two samples of each stage, `seconds` apart: what the sources read, what the sinks take, which stage the others wait
 * for. No I/O.
 */
const char *notify_describe(const struct graph *graph, const struct notify_sample *before,
	const struct notify_sample *now, double seconds, char *text, size_t size);

#endif
