/* SPDX-License-Identifier: MIT */
/* Texts that become values: of a group of a pattern, and of key=value pairs (logfmt). */
#ifndef STAGES_PARSE_TEXT_H
#define STAGES_PARSE_TEXT_H

#include <sluice/record.h>

#define PAIRS_MAX 1000 /* of one text; each key is compared with the others */

/* A string; with `numbers`, what is written as JSON writes numbers is one: 12, -0.5, 1e3, but not 007. */
void text_put(struct sl_writer *out, const char *text, size_t size, bool numbers);

/* One pair, borrowed from the text. */
struct pair {
	const char *key, *value; /* value == NULL: there is none */
	size_t key_size, value_size;
	bool is_quoted; /* the value has its quotes */
};

struct logfmt {
	char separator; /* between pairs; a blank also means several, and tabs */
	char assign;    /* between key and value */
	bool numbers;
	struct pair *pairs; /* PAIRS_MAX, the caller's */
};

/*
 * Puts a map of the pairs. A key without a value is true; of a key that stands twice the last value counts. 0; -EINVAL with *ret_reason, and
 * part of it may have been put.
 */
int logfmt_put(const struct logfmt *logfmt, struct sl_writer *out, const char *text, size_t size,
	const char **ret_reason);

#endif
