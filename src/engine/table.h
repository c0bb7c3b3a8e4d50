/* SPDX-License-Identifier: MIT */
/* Records as a table for people: a column for each field, with its type, cut to a width. */
#ifndef ENGINE_TABLE_H
#define ENGINE_TABLE_H

#include <stdio.h>

#include <sluice/record.h>

/*
 * The fields are inferred from all `count` records, and the first `shown` of them are lines. `width`: columns of the terminal; 0: no limit. What has no room is
 * cut with "…"; fields that have none at all are named in a last line. 0 or -ENOMEM.
 */
int table_print(
	const struct sl_value *records, size_t count, size_t shown, unsigned width, FILE *out);

#endif
