/* SPDX-License-Identifier: MIT */
/* STAGE~in of the stage `aggregate`, one per process: records in, groups in memory, results into the store. */
#ifndef AGGREGATE_SINK_H
#define AGGREGATE_SINK_H

#include "../sql/conditions.h"
#include "groups.h"
#include "marks.h"
#include "spec.h"

struct aggregator {
	const struct aggregate *options;
	struct spec spec;
	struct conditions expressions;
	struct groups groups;
	struct marks marks;
	struct keep keep;
	struct sl_writer key;
	struct sl_writer values; /* of the expressions of one record */
	struct sl_writer head;
	bool is_foreign; /* what the store has was counted otherwise */
	bool is_over;    /* all was given: nothing stays */
	uint64_t late;   /* records of which the log was not told */
	int64_t late_said;
};

/* The expressions of `set`, where there are some. 0 or negative errno, said. */
int aggregate_prepare(struct sl_context *ctx, const struct aggregate *options,
	const struct spec *spec, struct conditions *expressions);

/* Each record of the batch. How many were rejected; -ENOMEM. */
int64_t aggregate_count(struct sl_context *ctx, struct aggregator *a, const struct sl_batch *in);

/* The results of the groups of the first window that were not given yet, from one to the end, at most `size` bytes of them: 1: there are more; 0; -ENOMEM. */
int result_give(struct aggregator *a, size_t size);
/* Windows that no record can be in any more: given and closed. 0 or -ENOMEM. */
int result_close(struct aggregator *a);
/* A record that came too late, for the output `late`. 0 or -ENOMEM. */
int result_late(struct aggregator *a, struct sl_value record);

#endif
