/* SPDX-License-Identifier: MIT */
/* What the fields of a record must be, by name; and what is wrong with a value. One worker's. */
#ifndef STAGES_VALIDATE_RULES_H
#define STAGES_VALIDATE_RULES_H

#include <sluice/stage.h>

/* Options. */
struct rule_options {
	struct sl_strings required, known;
	struct sl_pairs types, ranges, lengths, patterns, values;
};

struct rules;

/* What is wrong with the options is said (sl_error). They are borrowed. */
int rules_new(struct sl_context *ctx, const struct rule_options *options, struct rules **ret);
void rules_free(struct rules *rules); /* NULL is fine */

/* All that is wrong with the record, or with one of its fields; *ret_size 0: nothing. Valid until the next call. -ENOMEM. */
int rules_check(struct rules *rules, struct sl_value record, bool rejects_unknown,
	const char **ret_text, size_t *ret_size);

#endif
