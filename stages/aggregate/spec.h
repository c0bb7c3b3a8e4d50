/* SPDX-License-Identifier: MIT */
/* What the options of `aggregate` say: functions and what they are of, windows. */
#ifndef AGGREGATE_SPEC_H
#define AGGREGATE_SPEC_H

#include <sluice/stage.h>

#include "../spill/store.h"
#include "fields.h"
#include "function.h"
#include "moment.h"

#define SET_MAX 32
#define NO_OPERAND (-1)

#define WINDOW_START "window_start"
#define WINDOW_END "window_end"

enum late { LATE_DEAD_LETTER, LATE_DROP, LATE_OUTPUT };

/* The options; times in ns. */
struct aggregate {
	struct sl_strings by;
	struct sl_pairs set;
	int64_t tumbling, sliding, every;
	const char *time;
	int unit;
	int64_t lateness;
	int late;
	int64_t idle;
	int64_t timeout_ns;
	struct spill store;
	uint64_t inputs; /* by so many ways records come from sources */
};

/* One member of `set`. */
struct term {
	enum function function;
	int field;      /* the operand is this field, or NO_OPERAND */
	int expression; /* ... or this expression, or NO_OPERAND */
};

struct spec {
	struct fields fields; /* those of `by` first */
	uint32_t by_count;
	int time; /* the field with the record's time; NO_OPERAND: when it came */
	struct term terms[SET_MAX];
	uint32_t count;
	const char *expressions[SET_MAX]; /* allocated, as all of the following */
	const char *names[SET_MAX];       /* of `set`, for messages: borrowed */
	uint32_t expression_count;
	int64_t size, every; /* of windows, microseconds; 0: there are none */
	int64_t lateness;
	uint64_t layout; /* a hash of what decides what the state means */
};

/* 0 or negative errno, said: which option is wrong, and what to write. */
int spec_read(struct sl_context *ctx, const struct aggregate *options, struct spec *ret);
void spec_free(struct spec *spec);

#endif
