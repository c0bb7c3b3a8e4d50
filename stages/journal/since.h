/* SPDX-License-Identifier: MIT */
/* The option `since`: "now"; how long ago: "2h", "7d"; a time: "2026-11-21", "2026-11-21 10:00", "2026-11-21T10:00:00Z". */
#ifndef STAGES_JOURNAL_SINCE_H
#define STAGES_JOURNAL_SINCE_H

#include <stdbool.h>
#include <stdint.h>

/* Microseconds since 1970. False: it is none of these. Without Z a time is the machine's own. */
bool since_parse(const char *text, uint64_t now, uint64_t *ret);

#endif
