/* SPDX-License-Identifier: MIT */
/* See pattern.h. */
#include "pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define STEPS_MAX 2000000
#define HEAP_KIB_MAX (64 << 10)
#define STACK_FIRST (32 << 10)
#define STACK_MAX (1 << 20)

struct group {
	const char *name; /* in the compiled pattern */
	uint32_t number;
};

struct pattern {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *limits;
	pcre2_jit_stack *stack;
	struct group *groups;
	uint32_t group_count;
};

static int compare(const void *a, const void *b)
{
	const struct group *left = a, *right = b;

	return left->number < right->number ? -1 : left->number > right->number;
}

/* PCRE2's table has them by name: two bytes of number, then the name, each. */
static int find_groups(struct pattern *pattern)
{
	PCRE2_SPTR table = NULL;
	uint32_t size = 0;

	(void)pcre2_pattern_info(pattern->code, PCRE2_INFO_NAMECOUNT, &pattern->group_count);
	(void)pcre2_pattern_info(pattern->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
	(void)pcre2_pattern_info(pattern->code, PCRE2_INFO_NAMETABLE, &table);
	pattern->groups = calloc(pattern->group_count + 1, sizeof(*pattern->groups));
	if (!pattern->groups)
		return -ENOMEM;
	for (uint32_t i = 0; i < pattern->group_count; i++, table += size)
		pattern->groups[i] = (struct group){ (const char *)table + 2,
			(uint32_t)table[0] << 8 | table[1] };
	qsort(pattern->groups, pattern->group_count, sizeof(*pattern->groups), compare);
	return 0;
}

static int prepare(struct pattern *pattern)
{
	pattern->match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
	pattern->limits = pcre2_match_context_create(NULL);
	if (!pattern->match || !pattern->limits)
		return -ENOMEM;
	(void)pcre2_set_match_limit(pattern->limits, STEPS_MAX);
	(void)pcre2_set_heap_limit(pattern->limits, HEAP_KIB_MAX);
	/* Where memory cannot be made executable, or PCRE2 has no compiler here, it is interpreted. */
	if (pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE) == 0) {
		pattern->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MAX, NULL);
		if (!pattern->stack)
			return -ENOMEM;
		pcre2_jit_stack_assign(pattern->limits, NULL, pattern->stack);
	}
	return find_groups(pattern);
}

static int compile(struct sl_context *ctx, const char *option, const char *text, pcre2_code **ret)
{
	uint32_t flags = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
	PCRE2_UCHAR message[128];
	PCRE2_SIZE at;
	int error;

	*ret = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, flags, &error, &at, NULL);
	if (*ret)
		return 0;
	if (pcre2_get_error_message(error, message, sizeof(message)) < 0)
		message[0] = '\0';
	if (at >= strlen(text))
		return sl_error(ctx, -EINVAL, "`%s`: %s: %.60s", option, (char *)message, text);
	return sl_error(ctx, -EINVAL, "`%s`: %s, at: %.60s", option, (char *)message, text + at);
}

int pattern_new(struct sl_context *ctx, const char *option, const char *text, struct pattern **ret)
{
	struct pattern *pattern = calloc(1, sizeof(*pattern));
	int r = pattern ? compile(ctx, option, text, &pattern->code) : -ENOMEM;

	if (r == 0)
		r = prepare(pattern);
	if (r < 0)
		pattern_free(pattern);
	else
		*ret = pattern;
	return r;
}

void pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return;
	pcre2_jit_stack_free(pattern->stack);
	pcre2_match_context_free(pattern->limits);
	pcre2_match_data_free(pattern->match);
	pcre2_code_free(pattern->code);
	free(pattern->groups);
	free(pattern);
}

int pattern_match(struct pattern *pattern, const char *text, size_t size)
{
	int r = pcre2_match(
		pattern->code, (PCRE2_SPTR)text, size, 0, 0, pattern->match, pattern->limits);

	if (r >= 0)
		return 1;
	return r == PCRE2_ERROR_NOMATCH ? 0 : -E2BIG;
}

uint32_t pattern_group_count(const struct pattern *pattern)
{
	return pattern->group_count;
}

const char *pattern_group_name(const struct pattern *pattern, uint32_t group)
{
	return pattern->groups[group].name;
}

bool pattern_group(
	const struct pattern *pattern, uint32_t group, size_t *ret_begin, size_t *ret_end)
{
	const PCRE2_SIZE *places = pcre2_get_ovector_pointer(pattern->match);
	uint32_t number = pattern->groups[group].number;

	if (places[2 * number] == PCRE2_UNSET)
		return false;
	*ret_begin = places[2 * number];
	*ret_end = places[2 * number + 1];
	return true;
}
