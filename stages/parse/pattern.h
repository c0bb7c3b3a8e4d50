/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions, by PCRE2: compiled to machine code where the process may make memory executable, else interpreted, with the same answers. Bytes
 * that are no UTF-8 match nothing. What backtracks without end is ended after so many steps. One worker's, on its thread.
 */
#ifndef STAGES_PARSE_PATTERN_H
#define STAGES_PARSE_PATTERN_H

#include <sluice/stage.h>

struct pattern;

/* What is wrong with it is said (sl_error), as the value of `option`. */
int pattern_new(struct sl_context *ctx, const char *option, const char *text, struct pattern **ret);
void pattern_free(struct pattern *pattern); /* NULL is fine */

/* 1: it matches somewhere in the text; 0: nowhere; -E2BIG: it took too many steps. */
int pattern_match(struct pattern *pattern, const char *text, size_t size);

/* The named groups, in the order in which they stand in it. */
uint32_t pattern_group_count(const struct pattern *pattern);
const char *pattern_group_name(const struct pattern *pattern, uint32_t group);
/* Of the last match: false: the group was no part of it. */
bool pattern_group(
	const struct pattern *pattern, uint32_t group, size_t *ret_begin, size_t *ret_end);

#endif
