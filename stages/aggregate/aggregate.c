/* SPDX-License-Identifier: MIT */
/*
 * Transform "aggregate": one record for each group of records, and each window of time. A stage with state (spill/keep.h): the config makes a sink of it
 * (sink.c), which counts, and a source, which gives the results.
 */
#include <sluice/stage.h>

#include "sink.h"

static const char *const units[] = { "auto", "s", "ms", NULL };
static const char *const lates[] = { "dead-letter", "drop", "output", NULL };

static int aggregate_check(struct sl_context *ctx, const void *shared)
{
	const struct aggregate *o = shared;
	struct conditions expressions;
	struct spec spec;
	int r = spec_read(ctx, o, &spec);

	if (r < 0)
		return r;
	r = aggregate_prepare(ctx, o, &spec, &expressions);
	if (expressions.box.db)
		conditions_close(&expressions);
	spec_free(&spec);
	return r;
}

static const char *aggregate_port(const void *shared, uint32_t i)
{
	const struct aggregate *o = shared;

	return i == 0 ? "out" : i == 1 && o->late == LATE_OUTPUT ? "late" : NULL;
}

static const struct sl_option options[];

const struct sl_stage sl_stage_aggregate = {
	.abi = SL_ABI,
	.name = "aggregate",
	.role = SL_TRANSFORM,
	.summary = "counts, sums ... of groups of records, at the end or for windows of time",
	.flags = SL_RESUMES | SL_ONE_THREAD | SL_CONFINED | SL_HAS_STATE,
	.shared_size = sizeof(struct aggregate),
	.port = aggregate_port,
	.check = aggregate_check,
	.options = options,
};

#define SHARED(name_, type_, field_) SL_OPTION(name_, type_, struct aggregate, field_)
#define TIMES .min = 1000000, .max = INT64_C(31536000000000000)

/* clang-format off */
#define ROWS \
	{ SHARED("by", STRINGS, by), \
	  .help = "fields by whose values records are grouped; absent: all of them are one group", \
	  .example = "[ \"country\", \"city\" ]" }, \
	{ SHARED("set", PAIRS, set), .required = true, \
	  .help = "fields of a result: count(*), or count, sum, avg, min, max, first or last of a field or an expression in SQL", \
	  .example = "{ n = \"count(*)\"; total = \"sum(price * amount)\"; }" }, \
	{ SHARED("tumbling", DURATION, tumbling), TIMES, \
	  .help = "a result for each such time, beginning at whole multiples of it", .example = "\"1m\"" }, \
	{ SHARED("sliding", DURATION, sliding), TIMES, \
	  .help = "a result for such times, which overlap: `every` says when one begins", .example = "\"5m\"" }, \
	{ SHARED("every", DURATION, every), TIMES, \
	  .help = "how often a window of `sliding` begins", .example = "\"1m\"" }, \
	{ SHARED("time", STRING, time), \
	  .help = "the field with a record's time: RFC 3339, or a number; absent: when it comes", .example = "\"at\"" }, \
	{ SHARED("time_unit", CHOICE, unit), .fallback = "auto", .choices = units, \
	  .help = "of a time that is a number since 1970; \"auto\": milliseconds from 100000000000 on, else seconds", .example = "\"ms\"" }, \
	{ SHARED("lateness", DURATION, lateness), .max = INT64_C(31536000000000000), \
	  .help = "a window stays open until a record has come whose time is so much after its end", .example = "\"30s\"" }, \
	{ SHARED("late", CHOICE, late), .fallback = "dead-letter", .choices = lates, \
	  .help = "a record whose windows are closed is a dead letter, is dropped and counted, or goes to the output `late`", .example = "\"output\"" }, \
	{ SHARED("idle", DURATION, idle), .max = INT64_C(31536000000000000), \
	  .help = "with several inputs: one of which nothing was heard for so long holds up no window; absent: however long", .example = "\"1m\"" }, \
	{ SHARED("timeout", DURATION, timeout_ns), .fallback = "10s", .min = 1000000, .max = INT64_C(86400000000000), \
	  .help = "the time limit for the expressions of one record", .example = "\"1s\"" }

static const struct sl_option options[] = {
	ROWS,
	{ 0 },
};

/* What the config adds for the sink. */
extern const struct sl_option aggregate_options[];
const struct sl_option aggregate_options[] = {
	ROWS,
	{ SHARED("store", STRING, store.store), .required = true },
	{ SHARED("max", SIZE, store.max), .required = true },
	{ SHARED("inputs", INT, inputs), .required = true, .max = INT64_MAX },
	{ 0 },
};
/* clang-format on */
