/* SPDX-License-Identifier: MIT */
/* A table being made of rows, as the options want it: key and fields are taken from each. */
#ifndef STAGES_LOOKUP_BUILD_H
#define STAGES_LOOKUP_BUILD_H

#include "table.h"

struct build {
	const struct lookup *options;
	struct table *table;
	struct sl_writer key, fields, name;
	bool *seen; /* columns of the key, then those to be taken: some row has it */
	uint64_t rows;
	struct problem *problem;
};

/* 0, -ENOMEM. build_fini in every case. */
int build_init(struct build *build, const struct lookup *options, struct problem *problem);
void build_fini(struct build *build);
/* A row: a map. 0 or an error, which `problem` says. */
int build_add(struct build *build, struct sl_value row);
/* All rows are there. The table is given. */
int build_end(struct build *build, struct table **ret);

/* The name in the record of a column that is taken, 0-terminated in `name`; NULL: no memory. */
const char *build_name(
	const struct lookup *options, struct sl_writer *name, const char *column, size_t size);

#endif
