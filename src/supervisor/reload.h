/* SPDX-License-Identifier: MIT */
/*
 * Reload: the config file is read again, and the pipeline goes on as it says now, in the same run.
 *
 *   asked -> check -> PAUSE to the sources -> all that was read is settled -> STOP: every process leaves -> the new graph's processes
 *
 * A store (config/graph.h) that the new graph has not is read until it is empty: its source is told to pause when the others have.
 *
 * Until everything is settled nothing has changed: a wrong file, or what does not settle within drain_timeout, leaves the pipeline as it was. What
 * is settled is never worked on again, so no identity has two meanings.
 */
#ifndef SUPERVISOR_RELOAD_H
#define SUPERVISOR_RELOAD_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "config/graph.h"

struct supervisor;
struct child;

enum reload_state { RELOAD_NONE, RELOAD_PAUSING, RELOAD_LEAVING };

struct reload {
	enum reload_state state;
	bool is_wanted;   /* asked for before all were ready */
	bool is_emptying; /* stores that `next` has not are read on */
	struct graph *next;
	sd_event_source *timer;
};

/* 0: it has begun; its end is told (control_reloaded, a line). Negative errno, and why in `err`: nothing has changed. */
int reload_begin(struct supervisor *s, struct err *err);
/* All are ready: one that was asked for before begins now. */
void reload_when_ready(struct supervisor *s);
/* A source has said PAUSED, has become ready, or has ended. */
void reload_see(struct supervisor *s);
/* That source is to pause, or has. */
bool reload_pauses(const struct supervisor *s, const struct child *child);
/* Now and then: what nobody says may have come true. */
void reload_tick(struct supervisor *s);
/* Every process has left: true, and the new ones are started. False: there is no reload in that state. */
bool reload_swap(struct supervisor *s);
/* A stop was asked for: what has not begun to change anything will not. */
void reload_cancel(struct supervisor *s);
/* The pipeline ends before the reload does. */
void reload_fini(struct supervisor *s);

#endif
