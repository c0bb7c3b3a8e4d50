/* SPDX-License-Identifier: MIT */
/*
 * One record through a transform: when `rate` allows it, within `timeout`, again after a backoff while it says SL_RETRY, at
 * most `retries` times. In the task, or on the plain worker's thread, that is given.
 */
#ifndef ENGINE_ATTEMPT_H
#define ENGINE_ATTEMPT_H

#include "engine/segment.h"

/* Waits until the stage's rate allows `count` more records. 0 or -ECANCELED. */
int attempt_rate(struct host *host, struct sl_context *ctx, uint32_t count);

/*
 * 0: consumed, what it put stands in the segment's writers; SL_REJECTED: nothing of it does, and it is counted in the callback
 * behind `ctx`; negative errno: the process must end.
 */
int attempt_record(struct host *host, struct sl_context *ctx, void *worker, struct segment *segment,
	struct sl_value record);

#endif
