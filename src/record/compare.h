/* SPDX-License-Identifier: MIT */
/*
 * Are two records the same, and if not, where do they differ? The order of a map's fields does not count; an integer and a float are different, but within a
 * `tolerance` that is more than 0.
 */
#ifndef RECORD_COMPARE_H
#define RECORD_COMPARE_H

#include <sluice/record.h>

bool compare_is_same(struct sl_value a, struct sl_value b, double tolerance);

/* One difference at `path` ("address.lines[2]", "" for the whole); one of the two may be absent. */
typedef void compare_differ_fn(
	void *user, const char *path, struct sl_value expected, struct sl_value found);
/* Each difference, as deep inside as it can be told. */
void compare_explain(struct sl_value expected, struct sl_value found, double tolerance,
	compare_differ_fn *differ, void *user);

/* Does what was found as `found` do for what is expected as `expected`? */
typedef bool compare_fits_fn(void *user, size_t expected, size_t found);
#define COMPARE_NONE SIZE_MAX
/*
 * Pairs as many as can be, each once, whatever their order: pairs[e] is what was found for e, or COMPARE_NONE; of `expected` places. 0 or -ENOMEM.
 */
int compare_pair(size_t expected, size_t found, compare_fits_fn *fits, void *user, size_t *pairs);

#endif
