/* SPDX-License-Identifier: MIT */
/*
 * Do the data move? Asked five times a second of the counters that each process writes. A process is well when it has moved, has
 * nothing to do, works (its worker is in a call, its tasks wait), or waits for a neighbour that is not idle itself. One that is not,
 * for its `stall_timeout`, is ended and started again, alone:
 *
 *   hung      a worker stays in one call, or the pump does not turn
 *   standing  there is work, and hands, and room, and nothing is done; or it waits for those who wait for it
 *   late      started again, and not ready; or done, and not gone
 *
 * What that does not help, because it stands again and again or cannot even be killed, is no stage's matter any more. watch_judge is
 * without I/O; the rest acts on the children. The supervisor's thread.
 */
#ifndef SUPERVISOR_WATCH_H
#define SUPERVISOR_WATCH_H

#include <stdint.h>

#include "supervisor/supervisor.h"

/* Of one instance. All 0: never looked at. */
struct watch_mark {
	uint64_t data;  /* of what changes when it moves */
	uint64_t moved; /* the same, and which process it is */
	int64_t since_ns;
	uint32_t ended; /* times that it was ended for standing, and has not moved since */
};

/* Stands so often, and it helps nothing to start that stage again. */
#define WATCH_ENDED_MAX 3

void watch_note(struct watch_mark *mark, const struct supervisor_child *child, int64_t now);

enum watch_kind { WATCH_WELL, WATCH_STANDING, WATCH_LATE };

/* What is seen at a time; everything is borrowed. */
struct watch {
	const struct graph *graph;
	const struct supervisor_child *children;
	const struct watch_mark *marks; /* as of now */
	uint32_t count;
	int64_t now;
};

/* What is wrong with child i. */
enum watch_kind watch_judge(const struct watch *watch, uint32_t i);

/* Looks at all children, and ends those that must be. */
void watch_tick(struct supervisor *s, int64_t now);

#endif
