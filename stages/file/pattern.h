/* SPDX-License-Identifier: MIT */
/*
 * The name of an output with parts that records and the clock fill in: "out/{day}/{country}.{n}.ndjson". {year} {month} {day} {hour} are of the clock, or of
 * a field of the record; UTC. {n} numbers the files of one name, {instance} the processes; all else in braces is a field.
 *
 * A field's text becomes part of a name: / and control characters, % and a dot at the begin are written %2F, a text that is empty or absent %none, and one that is
 * too long ends in a hash of all of it. So two values never mean one file, and none leads out of its folder.
 */
#ifndef STAGES_FILE_PATTERN_H
#define STAGES_FILE_PATTERN_H

#include <limits.h>

#include <sluice/stage.h>

#define PATTERN_PARTS 32
#define PATTERN_NUMBER_MARK '\001' /* stands for {n} in what pattern_fill makes */

enum pattern_kind {
	PATTERN_TEXT,
	PATTERN_FIELD,
	PATTERN_INSTANCE,
	PATTERN_NUMBER,
	PATTERN_YEAR,
	PATTERN_MONTH,
	PATTERN_DAY,
	PATTERN_HOUR,
	PATTERN_KINDS,
};

struct pattern_part {
	enum pattern_kind kind;
	const char *text; /* borrowed from the pattern's text */
	size_t size;
};

struct pattern {
	struct pattern_part parts[PATTERN_PARTS];
	uint32_t count;
	bool has_field, has_time, has_number;
	char base[PATH_MAX]; /* the folder that all files are below */

	/* The hour that was asked for last, and its texts. */
	bool has_hour;
	int64_t hour;
	char times[PATTERN_KINDS][24];
};

/* Borrows `text`. 0, or what sl_error was told. */
int pattern_parse(struct sl_context *ctx, const char *text, struct pattern *ret);
/* More than one file may come of it. */
bool pattern_is_many(const struct pattern *pattern);

struct pattern_values {
	struct sl_value record;
	int64_t seconds; /* since 1970 */
	uint32_t instance;
};
/* 0, or -EINVAL with a reason: the record makes no name. `path` has PATH_MAX bytes. */
int pattern_fill(struct pattern *pattern, const struct pattern_values *values, char *path,
	const char **ret_reason);
/* Begin of the shortest of the pattern's times that `seconds` is in: when it moves on, other names come. */
int64_t pattern_period(const struct pattern *pattern, int64_t seconds);
/* "2026-11-21T18:59:00.5+01:00", "2026-11-21 18:59", "2026-11-21", or seconds or milliseconds since 1970. False: it is no time. */
bool pattern_time(struct sl_value value, int64_t *ret_seconds);

#endif
