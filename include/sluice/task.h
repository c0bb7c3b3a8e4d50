/* SPDX-License-Identifier: MIT */
/*
 * What stage code may wait for. Every call takes an *absolute* deadline in nanoseconds of sl_now()
 * (SL_NEVER: none) and answers -ECANCELED as soon as this stage is told to stop at once; stage code then
 * unwinds itself and returns that value. While a call waits, the worker counts as waiting, not as hung: wait
 * through these calls, never through sleep(3) or a blocking read(2).
 */
#ifndef SLUICE_TASK_H
#define SLUICE_TASK_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sl_context;

#define SL_NEVER INT64_MAX

/* The monotonic clock, ns. */
int64_t sl_now(void);

/* Waits until `deadline`. 0 or -ECANCELED. */
int sl_sleep_until(struct sl_context *ctx, int64_t deadline);

/*
 * Waits until `fd` is ready for `events` (POLLIN, POLLOUT). 0; -ETIMEDOUT; -ECANCELED. In a source also when a
 * stop was asked for (Ctrl-C, SIGTERM): a source has nothing to finish.
 */
int sl_wait_fd(struct sl_context *ctx, int fd, short events, int64_t deadline);

/* True once a stop was asked for. A source need not look: it is not called again then. */
bool sl_is_stopping(struct sl_context *ctx);

#ifdef __cplusplus
}
#endif
#endif
