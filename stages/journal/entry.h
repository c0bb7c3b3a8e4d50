/* SPDX-License-Identifier: MIT */
/*
 * An entry of the journal as a record: a map of its fields in the order in which they stand there, or those that were chosen in theirs. A value is a string,
 * or binary where it is no UTF-8; of a field that stands there several times an array of them.
 */
#ifndef STAGES_JOURNAL_ENTRY_H
#define STAGES_JOURNAL_ENTRY_H

#include <sluice/stage.h>
#include <systemd/sd-journal.h>

/* Where an entry stands. */
struct entry_place {
	sd_id128_t sequence;
	uint64_t number;
	char *cursor; /* malloc'd */
};

struct entry_item;

/* Kept from one entry to the next, for its memory. */
struct entry {
	const struct sl_strings *fields; /* none: all */
	size_t field_max;
	struct sl_writer text;
	struct entry_item *items;
	uint32_t count, capacity;
};

void entry_init(struct entry *entry, const struct sl_strings *fields, size_t field_max);
void entry_fini(struct entry *entry);
bool entry_is_field(const char *name);
/* The one at which the journal stands. 0; SL_REJECTED: it cannot be read; negative errno. */
int entry_put(struct sl_context *ctx, struct entry *entry, sd_journal *journal,
	const struct entry_place *place, struct sl_writer *out);

#endif
