/* SPDX-License-Identifier: MIT */
/* Moments: microseconds since 1970, as records have them. */
#ifndef AGGREGATE_MOMENT_H
#define AGGREGATE_MOMENT_H

#include <sluice/stage.h>

#define MOMENT_NONE INT64_MIN
#define MOMENT_TEXT 40

enum moment_unit { MOMENT_AUTO, MOMENT_SECONDS, MOMENT_MILLISECONDS };

/* RFC 3339, or a number in that unit; AUTO: from 10^11 on (the year 1973) milliseconds. False: it is none, or not of the years 1 to 9999. */
bool moment_read(struct sl_value value, enum moment_unit unit, int64_t *ret);
/* In UTC, with as much of a fraction as there is. */
const char *moment_print(int64_t moment, char text[MOMENT_TEXT]);
/* What the clock says. */
int64_t moment_now(void);

#endif
