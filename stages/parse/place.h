/* SPDX-License-Identifier: MIT */
/* Where the value of a text goes in its record: in the field's place, under its name or another, or its pairs as fields. */
#ifndef STAGES_PARSE_PLACE_H
#define STAGES_PARSE_PLACE_H

#include <sluice/stage.h>

/* Options. */
struct place {
	const char *field;
	const char *into; /* NULL: the same */
	const char *prefix;
	bool merge, keep;
};

/* A record, cut behind the field. */
struct place_cut {
	struct sl_value before, behind; /* pairs */
	struct sl_value value;          /* of the field */
	uint32_t others;                /* pairs in `before` and `behind` */
};

int place_check(struct sl_context *ctx, const struct place *place);

/* Finds the field in a map. 0; -EINVAL with a reason: it is not there, or null, or there twice. */
int place_find(const struct place *place, struct sl_value record, struct place_cut *ret,
	char *reason, size_t size);

/*
 * Puts the record with the value, without sl_record_done; `name` is room for a name. 0; -EINVAL with a reason, and what was put is to be taken back: it has no
 * pairs to merge, or two fields would have one name; -ENOMEM.
 */
int place_put(const struct place *place, struct sl_value record, const struct place_cut *cut,
	struct sl_value value, struct sl_writer *name, struct sl_writer *out, char *reason,
	size_t size);

#endif
