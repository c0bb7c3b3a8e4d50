/* SPDX-License-Identifier: MIT */
/* See rules.h: from options to rules. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../parse/pattern.h"
#include "rules_room.h"

static struct rule *get_rule(struct rules *rules, const char *name)
{
	struct rule *rule;

	HASH_FIND_STR(rules->by_name, name, rule);
	if (rule)
		return rule;
	rule = calloc(1, sizeof(*rule));
	if (!rule)
		return NULL;
	rule->name = name;
	HASH_ADD_KEYPTR(hh, rules->by_name, rule->name, strlen(rule->name), rule);
	if (!rule->hh.tbl) {
		free(rule);
		return NULL;
	}
	*rules->last = rule;
	rules->last = &rule->next;
	return rule;
}

struct kind {
	const char *name;
	unsigned bit;
};

static const struct kind kinds[] = {
	{ "null", KIND_NULL },
	{ "boolean", KIND_BOOL },
	{ "integer", KIND_INT },
	{ "number", KIND_INT | KIND_FLOAT },
	{ "string", KIND_STRING },
	{ "binary", KIND_BINARY },
	{ "array", KIND_ARRAY },
	{ "map", KIND_MAP },
};

static unsigned find_kind(const char *text, size_t size)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i].name) == size && memcmp(kinds[i].name, text, size) == 0)
			return kinds[i].bit;
	return 0;
}

static int set_kinds(struct sl_context *ctx, struct rule *rule, const char *text)
{
	const char *at = text;

	rule->kinds_text = text;
	for (;;) {
		size_t size = strcspn(at, "|");
		unsigned kind = find_kind(at, size);

		if (kind == 0)
			return sl_error(ctx, -EINVAL,
				"`types.%s` is \"%.60s\": write null, boolean, integer, number, "
				"string, "
				"binary, array or map, or several with | between them",
				rule->name, text);
		rule->kinds |= kind;
		if (at[size] == '\0')
			return 0;
		at += size + 1;
	}
}

/* A number up to `end`, or nothing. */
static bool read_bound(const char *at, const char *end, bool *ret_has, long double *ret)
{
	char copy[64];
	char *behind;

	*ret_has = at < end;
	if (at == end)
		return true;
	if ((size_t)(end - at) >= sizeof(copy) || !strchr("-.0123456789", *at))
		return false;
	(void)snprintf(copy, sizeof(copy), "%.*s", (int)(end - at), at);
	*ret = strtold(copy, &behind);
	return *behind == '\0' && !strpbrk(copy, "xXnN");
}

/* "0..150", "0..", "..150" */
static int set_bounds(struct sl_context *ctx, const char *option, const struct rule *rule,
	struct bounds *bounds, const char *text)
{
	const char *dots = strstr(text, "..");
	bool is_right;

	bounds->is_set = true;
	bounds->text = text;
	is_right = dots && read_bound(text, dots, &bounds->has_min, &bounds->min) &&
		   read_bound(dots + 2, text + strlen(text), &bounds->has_max, &bounds->max) &&
		   (bounds->has_min || bounds->has_max);
	if (!is_right)
		return sl_error(ctx, -EINVAL,
			"`%s.%s` is \"%.60s\": write \"0..150\", \"0..\" or \"..150\"", option,
			rule->name, text);
	if (bounds->has_min && bounds->has_max && bounds->min > bounds->max)
		return sl_error(ctx, -EINVAL,
			"`%s.%s` is \"%.60s\": the second is less than the first", option,
			rule->name, text);
	return 0;
}

static int set_pattern(struct sl_context *ctx, struct rule *rule, const char *text)
{
	char option[96];

	(void)snprintf(option, sizeof(option), "patterns.%s", rule->name);
	return pattern_new(ctx, option, text, &rule->pattern);
}

enum rule_option { RULE_TYPE, RULE_RANGE, RULE_LENGTH, RULE_PATTERN, RULE_VALUES };

static const char *const option_names[] = { "types", "ranges", "lengths", "patterns", "values" };

static int set_rule(
	struct sl_context *ctx, struct rule *rule, enum rule_option option, const char *text)
{
	switch (option) {
	case RULE_TYPE:
		return set_kinds(ctx, rule, text);
	case RULE_RANGE:
		return set_bounds(ctx, "ranges", rule, &rule->range, text);
	case RULE_LENGTH:
		return set_bounds(ctx, "lengths", rule, &rule->length, text);
	case RULE_PATTERN:
		return set_pattern(ctx, rule, text);
	default:
		rule->values = text;
		return 0;
	}
}

static int add_pairs(struct sl_context *ctx, struct rules *rules, enum rule_option option,
	const struct sl_pairs *pairs)
{
	int r = 0;

	for (uint32_t i = 0; i < pairs->count && r == 0; i++) {
		struct rule *rule = get_rule(rules, pairs->names[i]);

		for (uint32_t j = 0; j < i; j++)
			if (strcmp(pairs->names[j], pairs->names[i]) == 0)
				return sl_error(ctx, -EINVAL,
					"`%s` has \"%s\" twice: write it once",
					option_names[option], pairs->names[i]);
		r = rule ? set_rule(ctx, rule, option, pairs->values[i]) : -ENOMEM;
	}
	return r;
}

static int add_names(struct rules *rules, const struct sl_strings *names, bool is_required)
{
	for (uint32_t i = 0; i < names->count; i++) {
		struct rule *rule = get_rule(rules, names->items[i]);

		if (!rule)
			return -ENOMEM;
		rule->is_required = rule->is_required || is_required;
	}
	return 0;
}

int rules_new(struct sl_context *ctx, const struct rule_options *o, struct rules **ret)
{
	const struct sl_pairs *const pairs[] = { [RULE_TYPE] = &o->types,
		[RULE_RANGE] = &o->ranges,
		[RULE_LENGTH] = &o->lengths,
		[RULE_PATTERN] = &o->patterns,
		[RULE_VALUES] = &o->values };
	struct rules *rules = calloc(1, sizeof(*rules));
	int r;

	if (!rules)
		return -ENOMEM;
	sl_writer_init(&rules->text);
	rules->last = &rules->first;
	r = add_names(rules, &o->required, true);
	for (int i = RULE_TYPE; i <= RULE_VALUES && r == 0; i++)
		r = add_pairs(ctx, rules, (enum rule_option)i, pairs[i]);
	if (r == 0)
		r = add_names(rules, &o->known, false);
	if (r < 0)
		rules_free(rules);
	else
		*ret = rules;
	return r;
}

void rules_free(struct rules *rules)
{
	struct rule *rule, *next;

	if (!rules)
		return;
	HASH_ITER (hh, rules->by_name, rule, next) {
		HASH_DEL(rules->by_name, rule);
		pattern_free(rule->pattern);
		free(rule);
	}
	sl_writer_fini(&rules->text);
	free(rules);
}
