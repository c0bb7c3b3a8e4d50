/* SPDX-License-Identifier: MIT */
/* Sets of HTTP statuses as a config writes them ("429", "5xx"), and the header that says when to come again. */
#ifndef STAGES_HTTP_STATUS_H
#define STAGES_HTTP_STATUS_H

#include <sluice/stage.h>

#define STATUS_MAX 599

struct status_set {
	uint64_t bits[STATUS_MAX / 64 + 1];
};

/* Adds "404" or all of "4xx". 0 or -EINVAL. */
int status_add(struct status_set *set, const char *text);
bool status_has(const struct status_set *set, long status);

/*
 * A value of Retry-After, seconds or a date, as ns from now on; `wall_now` is time(2)'s. 0: now, or it is in the past; -1: it is
 * neither. At most a day.
 */
int64_t status_retry_after(const char *text, int64_t wall_now);

#endif
