/* SPDX-License-Identifier: MIT */
/*
 * A table in memory: from a key to the fields that a record gets. One thread fills it; from then on it does not change, and any number of threads may
 * look into it. It counts what it takes of memory, and takes no more than it was told.
 */
#ifndef STAGES_LOOKUP_TABLE_H
#define STAGES_LOOKUP_TABLE_H

#include "lookup.h"

struct table;

/* NULL: no memory. */
struct table *table_new(uint64_t size_max);
void table_free(struct table *table);

/* `fields`: a map, copied. 0; -EEXIST: the key is there, and that is an error; -EFBIG: it would be too large; -ENOMEM. */
int table_add(struct table *table, const void *key, size_t key_size, struct sl_value fields,
	enum duplicates duplicates);
/* Absent: there is none. */
struct sl_value table_find(const struct table *table, const void *key, size_t key_size);
uint32_t table_count(const struct table *table);
/* Of all that was added: tables of one fingerprint are the same. */
uint64_t table_fingerprint(const struct table *table);

#endif
