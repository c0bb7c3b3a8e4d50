/* SPDX-License-Identifier: MIT */
/* Values as PostgreSQL's COPY reads them in its text format. */
#ifndef STAGES_POSTGRES_LITERAL_H
#define STAGES_POSTGRES_LITERAL_H

#include <sluice/record.h>

/* What a column makes of a text. */
enum into { INTO_PLAIN, INTO_JSON, INTO_BYTES, INTO_ARRAY };

struct target {
	enum into into;
	enum into element; /* of an array */
	bool json_is_text; /* a string is JSON already */
};

/*
 * Appends one field to `out`; what is nested is made in `scratch`. 0; -EINVAL with *ret_reason: the column can never take it; -ENOMEM. What
 * else a column does not take the server says.
 */
int literal_put(struct sl_writer *out, struct sl_writer *scratch, struct sl_value v,
	struct target target, const char **ret_reason);

#endif
