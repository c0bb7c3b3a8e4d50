/* SPDX-License-Identifier: MIT */
/*
 * Points in time as texts and numbers: RFC 3339, Unix time in four units, and formats of strptime with %f, the digits of a second's fraction. What is
 * found is the same on every machine and at any time: no clock, no locale, no zone but the one that is named.
 */
#ifndef STAGES_PARSE_TIMES_H
#define STAGES_PARSE_TIMES_H

#include <sluice/stage.h>

/* Unix time. */
struct instant {
	int64_t seconds;
	uint32_t ns; /* behind it, below 1e9 */
};

struct times {
	const struct sl_strings *formats; /* tried in turn */
	const char *zone; /* of texts without one: "UTC", "+02:00", "Europe/Berlin" */
	bool has_names;   /* the zone is a name, and the process is in it: times_open */
	int64_t offset;   /* else: seconds east */
};

enum time_output { TIME_RFC3339, TIME_S, TIME_MS, TIME_US, TIME_NS };
extern const char
	*const time_outputs[]; /* the names of the enum's values; but for the first, also formats */

/* Are the formats and the zone right? Else said (sl_error). */
int times_check(struct sl_context *ctx, const struct sl_strings *formats, const char *zone);
/* Once per process, before any worker: it makes a zone by name the process's. */
void times_open(const char *zone);
void times_init(struct times *times, const struct sl_strings *formats, const char *zone);

/* A string or a number. False: none of the formats reads it. */
bool times_read(const struct times *times, struct sl_value v, struct instant *ret);
/* RFC 3339 in UTC, with 0, 3, 6 or 9 digits of a fraction as needed; or an integer, what is finer cut off. -ERANGE: the form cannot say it. */
int times_put(enum time_output output, struct instant instant, struct sl_writer *out);

#endif
