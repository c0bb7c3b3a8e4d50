/* SPDX-License-Identifier: MIT */
/*
 * The pump: the one thread of an instance that touches its sockets. It moves batches from inlets through the crew to
 * outlets, keeps the ledger, and walks the instance's state machine (link/states.h). It never waits for a disk,
 * a lock held long, or stage code.
 */
#ifndef ENGINE_PUMP_H
#define ENGINE_PUMP_H

#include "engine/host.h"

/* Runs the instance from READY to its end. The exit status of the process: 0, or 1 with FAILED said. */
int pump_run(struct host *host, int words, const char *runtime);

#endif
