/* SPDX-License-Identifier: MIT */
/*
 * See rules.h: what is wrong with a record. Numbers are compared as long doubles, which hold every integer of 64 bits on the machines that we know, and
 * every double.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../parse/pattern.h"
#include "rules_room.h"

#define SHOWN_MAX 60 /* bytes of a value in a reason */
#define TEXT_MAX 900 /* of all reasons together: more are counted */

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
