/* SPDX-License-Identifier: MIT */
/*
 * Expressions on single records, as the stages `filter`, `route` and `map` have them: expressions of SQL whose names are the record's fields. All of
 * them are one SELECT that goes once through a batch; a row of it is a record, and one that SQLite refuses is rejected with the reason, and
 * the others go on. One per worker, on its thread.
 *
 * They are conditions or (`is_values`) values. A condition is true when it is a number that is not 0, and not when it is 0 or NULL, as behind WHERE.
 * Text and blobs are neither: such a record is rejected, too.
 */
#ifndef STAGES_SQL_CONDITIONS_H
#define STAGES_SQL_CONDITIONS_H

#include "sandbox.h"
#include "values.h"

struct conditions {
	struct sandbox box;
	struct sl_context *ctx;
	sqlite3_stmt *stmt;
	const char *option;       /* whose value they are, for messages */
	const char *const *names; /* NULL: there is one, and it has none */
	uint32_t count;
	bool takes_any; /* a value of any type is right; it is read from `stmt`, its column */
	bool is_first; /* only the first that is true counts, and those behind it are not looked at */
	bool is_values; /* not conditions */
	struct values values;
	int64_t timeout_ns;
	const struct sl_batch *batch;
	uint32_t at, end; /* rows of the batch that are still to come */
	uint32_t begin;   /* where the statement began */
	uint32_t rejected;
};

/*
 * Prepares `c->count` expressions; option, names, count, is_first, is_values and timeout_ns are set, and the rest is zeroed. What is wrong is said
 * (sl_error). Close in any case.
 */
int conditions_open(struct conditions *c, struct sl_context *ctx, const char *const *expressions);
void conditions_close(struct conditions *c);

/* From now on the records of that batch. */
void conditions_begin(struct conditions *c, struct sl_context *ctx, const struct sl_batch *batch);
/* The next record that was not rejected: 1; 0: there is none; -ENOMEM. */
int conditions_next(struct conditions *c, struct sl_value *ret_record);
/* Of that record: is the condition true? Not with is_first. */
bool conditions_hold(const struct conditions *c, uint32_t condition);
/* Of that record, with is_first: the condition that is true, or `count`. */
uint32_t conditions_first(const struct conditions *c);
/* Of that record, with is_values: puts what the expression gives, see values.h. */
void conditions_put(const struct conditions *c, uint32_t expression, struct sl_writer *out);

#endif
