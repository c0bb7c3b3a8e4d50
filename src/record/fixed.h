/* SPDX-License-Identifier: MIT */
/*
 * Lines whose fields stand at fixed places. A width counts characters (code points), not bytes. A layout comes from an array of maps, as the option
 * `fields` has it; it is constant, and its owner's.
 */
#ifndef RECORD_FIXED_H
#define RECORD_FIXED_H

#include <sluice/record.h>

enum fixed_type { FIXED_TEXT, FIXED_INT, FIXED_FLOAT, FIXED_BOOL, FIXED_INFER };

struct fixed_field {
	char *name; /* NULL: nobody's; read over, written blank */
	size_t name_size;
	uint32_t width;
	enum fixed_type type;
	bool is_right; /* what fills it up stands before the value */
	char pad;
};

struct fixed_layout {
	struct fixed_field *fields;
	uint32_t count;
	uint32_t named;
	uint32_t width;          /* of a line */
	struct sl_value *values; /* of the record that is written, one for each field */
};

/* 0; -EINVAL: it is no layout, and `text` says why; -ENOMEM. */
int fixed_layout_new(
	struct sl_value fields, struct fixed_layout **ret, char *text, size_t text_size);
void fixed_layout_free(struct fixed_layout *layout);

#endif
