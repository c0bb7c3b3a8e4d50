/* SPDX-License-Identifier: MIT */
/* See rules.h. Numbers are compared as long doubles, which hold every integer of 64 bits on the machines that we know, and every double. */
#include "rules.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "../parse/pattern.h"

#define SHOWN_MAX 60 /* bytes of a value in a reason */
#define TEXT_MAX 900 /* of all reasons together: more are counted */

struct bounds {
	bool is_set, has_min, has_max;
	long double min, max;
	const char *text; /* as the option has it */
};

/* What is asked of the fields of one name. */
struct rule {
	const char *name;
	bool is_required;
	unsigned kinds; /* bits of enum kind_bit; 0: any */
	const char *kinds_text;
	struct bounds range, length;
	struct pattern *pattern;
	const char *values;    /* with | between them */
	struct sl_value value; /* of the record at hand; absent: data == NULL */
	bool is_twice;
	struct rule *next; /* in the order in which they were written */
	UT_hash_handle hh;
};

struct rules {
	struct rule *by_name;
	struct rule *first, **last;
	struct sl_writer text; /* plain bytes */
	uint32_t more;         /* reasons that have no room */
};

/* --- options ------------------------------------------------------------------------------------ */

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
	*rules->last = rule;
	rules->last = &rule->next;
	return rule;
}

struct kind {
	const char *name;
	unsigned bit;
};

enum kind_bit {
	KIND_NULL = 1 << 0,
	KIND_BOOL = 1 << 1,
	KIND_INT = 1 << 2,
	KIND_FLOAT = 1 << 3,
	KIND_STRING = 1 << 4,
	KIND_BINARY = 1 << 5,
	KIND_ARRAY = 1 << 6,
	KIND_MAP = 1 << 7,
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

static unsigned bit_of(enum sl_kind kind)
{
	static const unsigned bits[] = { [SL_NIL] = KIND_NULL,
		[SL_BOOL] = KIND_BOOL,
		[SL_INT] = KIND_INT,
		[SL_FLOAT] = KIND_FLOAT,
		[SL_STR] = KIND_STRING,
		[SL_BIN] = KIND_BINARY,
		[SL_ARRAY] = KIND_ARRAY,
		[SL_MAP] = KIND_MAP,
		[SL_EXT] = KIND_BINARY };

	return bits[kind];
}

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
				return sl_error(ctx, -EINVAL, "`%s` has \"%s\" twice: write it once",
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

/* --- reasons ------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void add_reason(
	struct rules *rules, const char *format, ...)
{
	const char *glue = rules->text.size > 0 ? "; " : "";
	char text[384];
	va_list args;
	size_t size;
	char *at;

	va_start(args, format);
	size = (size_t)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* What is cut is cut between characters. */
	if (size >= sizeof(text)) {
		for (size = sizeof(text) - 1; size > 0 && (text[size - 1] & 0xc0) == 0x80;)
			size--;
		text[size > 0 ? size - 1 : 0] = '\0';
	}
	size = strlen(glue) + strlen(text);
	if (rules->text.size + size > TEXT_MAX) {
		rules->more++;
		return;
	}
	at = sl_writer_reserve(&rules->text, size + 1);
	if (at)
		rules->text.size += (size_t)snprintf(at, size + 1, "%s%s", glue, text);
}

/* The value as JSON, cut. */
static const char *show(struct sl_value v, char *text, size_t size)
{
	sl_print(v, text, size);
	return text;
}

/* --- values ------------------------------------------------------------------------------------- */

static bool get_number(struct sl_value v, long double *ret)
{
	uint64_t u;
	int64_t i;
	double x;

	if (sl_get_int(v, &i))
		*ret = i;
	else if (sl_get_uint(v, &u))
		*ret = u;
	else if (sl_kind(v) == SL_FLOAT && sl_get_double(v, &x))
		*ret = x;
	else
		return false;
	return true;
}

/* Not a number is in no bounds. */
static bool is_inside(const struct bounds *bounds, long double x)
{
	return x == x && (!bounds->has_min || x >= bounds->min) &&
	       (!bounds->has_max || x <= bounds->max);
}

static void check_range(struct rules *rules, const struct rule *rule)
{
	char shown[SHOWN_MAX];
	long double x;

	if (!get_number(rule->value, &x))
		add_reason(rules, "\"%s\" is no number but %s", rule->name,
			show(rule->value, shown, sizeof(shown)));
	else if (!is_inside(&rule->range, x))
		add_reason(rules, "\"%s\" is %s, not in %s", rule->name,
			show(rule->value, shown, sizeof(shown)), rule->range.text);
}

/* Characters of a string, bytes of a blob, members of an array or map. */
static bool get_length(struct sl_value v, long double *ret)
{
	const char *text;
	size_t size, count = 0;

	if (sl_get_str(v, &text, &size)) {
		for (size_t i = 0; i < size; i++)
			count += (text[i] & 0xc0) != 0x80;
		*ret = count;
	} else if (sl_get_bin(v, &text, &size)) {
		*ret = size;
	} else if (sl_kind(v) == SL_ARRAY || sl_kind(v) == SL_MAP) {
		*ret = sl_count(v);
	} else {
		return false;
	}
	return true;
}

static void check_length(struct rules *rules, const struct rule *rule)
{
	char shown[SHOWN_MAX];
	long double x;

	if (!get_length(rule->value, &x))
		add_reason(rules, "\"%s\" has no length: %s", rule->name,
			show(rule->value, shown, sizeof(shown)));
	else if (!is_inside(&rule->length, x))
		add_reason(rules, "\"%s\" is %.0Lf long, not %s", rule->name, x, rule->length.text);
}

static void check_pattern(struct rules *rules, const struct rule *rule)
{
	char shown[SHOWN_MAX];
	const char *text;
	size_t size;
	int r;

	(void)show(rule->value, shown, sizeof(shown));
	if (!sl_get_str(rule->value, &text, &size)) {
		add_reason(rules, "\"%s\" is no string but %s", rule->name, shown);
		return;
	}
	r = pattern_match(rule->pattern, text, size);
	if (r == 0)
		add_reason(
			rules, "\"%s\" is %s, and does not match its pattern", rule->name, shown);
	else if (r < 0)
		add_reason(
			rules, "\"%s\" takes too many steps of its pattern: %s", rule->name, shown);
}

static bool is_listed(const char *list, const char *text, size_t size)
{
	for (;;) {
		size_t one = strcspn(list, "|");

		if (one == size && memcmp(list, text, size) == 0)
			return true;
		if (list[one] == '\0')
			return false;
		list += one + 1;
	}
}

/* Strings by their text, all others by their JSON. */
static void check_values(struct rules *rules, const struct rule *rule)
{
	char shown[SHOWN_MAX];
	const char *text = shown;
	size_t size;

	(void)show(rule->value, shown, sizeof(shown));
	if (!sl_get_str(rule->value, &text, &size))
		size = strlen(shown);
	if (!is_listed(rule->values, text, size))
		add_reason(
			rules, "\"%s\" is %s, not one of %.200s", rule->name, shown, rule->values);
}

/* Of a value of the right type. */
static void check_value(struct rules *rules, const struct rule *rule)
{
	if (rule->range.is_set)
		check_range(rules, rule);
	if (rule->length.is_set)
		check_length(rules, rule);
	if (rule->pattern)
		check_pattern(rules, rule);
	if (rule->values)
		check_values(rules, rule);
}

static void check_rule(struct rules *rules, const struct rule *rule)
{
	enum sl_kind kind = rule->value.data ? sl_kind(rule->value) : SL_NIL;
	char shown[SHOWN_MAX];

	if (rule->is_twice)
		add_reason(rules, "\"%s\" is there twice", rule->name);
	if (!rule->value.data) {
		if (rule->is_required)
			add_reason(rules, "\"%s\" is missing", rule->name);
	} else if (rule->kinds > 0 && !(rule->kinds & bit_of(kind))) {
		add_reason(rules, "\"%s\" is of type %s, not %.200s: %s", rule->name,
			sl_kind_name(kind), rule->kinds_text,
			show(rule->value, shown, sizeof(shown)));
	} else if (kind != SL_NIL) {
		check_value(rules, rule);
	} else if (rule->is_required && rule->kinds == 0) {
		add_reason(rules, "\"%s\" is null", rule->name);
	}
}

/* --- records ------------------------------------------------------------------------------------ */

static void add_unknown(struct rules *rules, struct sl_value key)
{
	char shown[SHOWN_MAX];

	add_reason(rules, "%s is not known", show(key, shown, sizeof(shown)));
}

/* The values of the record to their rules. */
static void take_values(struct rules *rules, struct sl_value record, bool rejects_unknown)
{
	struct sl_cursor cursor = sl_walk(record);
	struct sl_value key, value;

	for (struct rule *rule = rules->first; rule; rule = rule->next) {
		rule->value = (struct sl_value){ 0 };
		rule->is_twice = false;
	}
	while (sl_next(&cursor, &key, &value)) {
		struct rule *rule = NULL;
		const char *text;
		size_t size;

		if (sl_get_str(key, &text, &size))
			HASH_FIND(hh, rules->by_name, text, size, rule);
		if (rule) {
			rule->is_twice = rule->value.data != NULL;
			rule->value = value;
		} else if (rejects_unknown) {
			add_unknown(rules, key);
		}
	}
}

int rules_check(struct rules *rules, struct sl_value record, bool rejects_unknown,
	const char **ret_text, size_t *ret_size)
{
	sl_writer_reset(&rules->text);
	rules->more = 0;
	if (sl_kind(record) == SL_MAP) {
		take_values(rules, record, rejects_unknown);
		for (const struct rule *rule = rules->first; rule; rule = rule->next)
			check_rule(rules, rule);
	} else {
		add_reason(
			rules, "it has no fields, being of type %s", sl_kind_name(sl_kind(record)));
	}
	if (rules->more > 0) {
		char *at = sl_writer_reserve(&rules->text, 48);

		if (at)
			rules->text.size += (size_t)snprintf(at, 48, "; and %u more", rules->more);
	}
	*ret_text = rules->text.data;
	*ret_size = rules->text.size;
	return rules->text.error;
}
