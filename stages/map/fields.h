/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a record's fields: it stays, goes, is renamed, or has a value put in its place. Decided by name, once; a record's fields then are
 * pieces: bytes of the record, as many at once as lie beside each other, names, and places for values. One worker's.
 *
 * Records of one source have nearly always the same keys in the same order, so each key is first compared with the one that stood at its place in
 * the record before.
 */
#ifndef STAGES_MAP_FIELDS_H
#define STAGES_MAP_FIELDS_H

#include <sluice/stage.h>

/* Bytes to copy; data == NULL: the value of the expression `value` belongs here. */
struct piece {
	const char *data;
	size_t size;
	uint32_t value;
};

struct fields;

/* The options of those names, constant until fields_free; keep.count == 0: all stay. NULL: no memory. */
struct fields *fields_new(const struct sl_pairs *set, const struct sl_pairs *rename,
	const struct sl_strings *drop, const struct sl_strings *keep);
void fields_free(struct fields *fields);

/*
 * The pieces of what the record becomes, a map of *ret_count pairs, until the next call; their number is *ret_pieces. 0; -EEXIST: two of its fields
 * would have one name, *ret_name; -ENOMEM.
 */
int fields_cut(struct fields *fields, struct sl_value record, const struct piece **ret_at,
	uint32_t *ret_pieces, uint32_t *ret_count, const char **ret_name);

#endif
