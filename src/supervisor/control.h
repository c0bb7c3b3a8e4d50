/* SPDX-License-Identifier: MIT */
/*
 * The control socket: HTTP and JSON on RUNTIME/control.sock (mode 0600), for `sluice status` and whoever else may write to
 * it. doc/control.md has the routes. libmicrohttpd runs inside the supervisor's event loop, without a thread, behind
 * everything else that is due: nobody who talks to it, or stays silent, can hold up the pipeline. Connections, the
 * size of a request and the time of silence are bounded.
 *
 *   request ──> route ──┬─> an answer at once
 *                       └─> suspended ──(the sources told their tallies | the end)──> an answer
 *
 * All functions take NULL for `control`: there is none. One thread, the supervisor's.
 */
#ifndef SUPERVISOR_CONTROL_H
#define SUPERVISOR_CONTROL_H

#include <systemd/sd-event.h>

#include "supervisor/supervisor.h"

struct control;

/* Needs the lock of the runtime folder, since it removes an old socket. 0, or negative errno with `err`: then nothing is left. */
int control_open(struct supervisor *supervisor, const struct plan *plan, sd_event *event,
	struct control **ret_control, struct err *err);
/*
 * Answers those who wait for the end, with `result` (NULL: none), for at most a fifth of a second; removes the socket, frees.
 */
void control_close(struct control *control, const struct supervisor_result *result);

/* The children are others now. 0 or -ENOMEM. */
int control_resize(struct control *control);
/* Answers those who wait for a reload. */
void control_reloaded(struct control *control, bool is_done, const char *text);
/* Several times a second: keeps the rates. */
void control_tick(struct control *control);
/* A source told its tally; `is_final`: its last. */
void control_hear_tally(
	struct control *control, uint32_t child, bool is_final, const void *payload, size_t size);

#endif
