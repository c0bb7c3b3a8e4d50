/* SPDX-License-Identifier: MIT */
/*
 * Lines that are alike: the first ten within ten seconds are shown, the others counted, and then one says how many. Alike are lines of one
 * stage, event and priority whose texts differ in numbers, in what is quoted and in the record behind them only; of records that
 * are refused the reason counts up to its first colon, for the text of a line may stand behind it. No I/O, no
 * clock. One thread.
 */
#ifndef SUPERVISOR_REPEATS_H
#define SUPERVISOR_REPEATS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

#define REPEATS_KINDS 64 /* that are counted at once; what is beyond is shown */
#define REPEATS_SHOWN 10
#define REPEATS_SECONDS 10

struct repeat {
	uint64_t key; /* 0: free */
	int64_t since_ns;
	uint32_t shown, hidden;
	struct log_line line;               /* the last that was hidden */
	char stage[64], text[LOG_LINE_MAX]; /* of it */
};

struct repeats {
	struct repeat kinds[REPEATS_KINDS];
};

/* Is it to be shown? */
bool repeats_take(struct repeats *repeats, const struct log_line *line, int64_t now);
/*
 * A kind whose time is over (`is_end`: any) and that has hidden some: true, and the line that says so, until the next call. Until it
 * answers false.
 */
bool repeats_due(struct repeats *repeats, int64_t now, bool is_end, struct log_line *ret,
	uint32_t *ret_count);

#endif
