/* SPDX-License-Identifier: MIT */
/*
 * Points: every `sync_interval`, while records move, a process of sluice-stage brings what the stages have written to the disk
 * (state/point.h), beside them. It may take a twentieth of the time: after one that took long the next comes later. One at a time; one that
 * fails is said, and tried again. A pipeline in which no source resumes has none.
 */
#ifndef SUPERVISOR_POINTS_H
#define SUPERVISOR_POINTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/err.h"

struct supervisor;

struct points {
	sd_event_source *timer;
	sd_event_source *child;
	pid_t pid;  /* 0: none */
	int errors; /* what it says */
	int64_t begun_ns;
	uint64_t moved; /* what points_moved said when it began */
	bool has_failed;
};

/* Begins to make them. */
void points_start(struct supervisor *s);
/* None is under way any more. */
void points_stop(struct supervisor *s);
/* Makes one, or goes back to the last one; waits for it. No stage runs. 0, also where there are none; negative errno. */
int points_make(struct supervisor *s, struct err *err);
int points_restore(struct supervisor *s, struct err *err);

#endif
