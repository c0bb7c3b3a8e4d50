/* SPDX-License-Identifier: MIT */
/* See spec.h. */
#include "spec.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MICROSECOND INT64_C(1000)
#define OVERLAP_MAX 1000
#define EXAMPLE "{ n = \"count(*)\"; total = \"sum(amount)\"; }"

/* clang-format off */
static const struct { const char *name; enum function function; } functions[] = {
	{ "count", COUNT_OF }, { "sum", SUM }, { "avg", AVG }, { "min", MIN },
	{ "max", MAX }, { "first", FIRST }, { "last", LAST },
};
/* clang-format on */

/* --- set ---------------------------------------------------------------------------------------- */

/* A part of a text, without blanks around it. */
struct part {
	const char *at;
	size_t size;
};

static struct part trim(const char *at, const char *end)
{
	while (at < end && isspace((unsigned char)*at))
		at++;
	while (end > at && isspace((unsigned char)end[-1]))
		end--;
	return (struct part){ at, (size_t)(end - at) };
}

static bool is_field(struct part part)
{
	for (size_t i = 0; i < part.size; i++)
		if (part.at[i] != '_' && !isalnum((unsigned char)part.at[i]))
			return false;
	return part.size > 0 && !isdigit((unsigned char)part.at[0]);
}

static bool find_function(struct part name, enum function *ret)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (strlen(functions[i].name) == name.size &&
			strncasecmp(functions[i].name, name.at, name.size) == 0) {
			*ret = functions[i].function;
			return true;
		}
	return false;
}

static int bad_term(struct sl_context *ctx, const char *name, const char *text)
{
	return sl_error(ctx, -EINVAL,
		"`set.%s`: \"%.60s\" is no function: write count(*), or count, sum, avg, min, max, "
		"first or last of a field or an expression, for instance sum(price * amount)",
		name, text);
}

/* "sum(x)" -> its function and x. */
static int take_apart(struct sl_context *ctx, const char *name, const char *text,
	enum function *ret_function, struct part *ret_operand)
{
	struct part whole = trim(text, text + strlen(text));
	const char *open = memchr(whole.at, '(', whole.size);

	if (!open || whole.at[whole.size - 1] != ')' ||
		!find_function(trim(whole.at, open), ret_function))
		return bad_term(ctx, name, text);
	*ret_operand = trim(open + 1, whole.at + whole.size - 1);
	if (ret_operand->size == 0)
		return bad_term(ctx, name, text);
	if (ret_operand->size > 8 && strncasecmp(ret_operand->at, "distinct", 8) == 0 &&
		!isalnum((unsigned char)ret_operand->at[8]) && ret_operand->at[8] != '_')
		return sl_error(ctx, -EINVAL,
			"`set.%s`: DISTINCT would keep every value: put a transform \"dedupe\" "
			"before the stage",
			name);
	return 0;
}

static int add_term(struct sl_context *ctx, struct spec *spec, const char *name, const char *text)
{
	struct term *term = &spec->terms[spec->count++];
	struct part operand;
	int r = take_apart(ctx, name, text, &term->function, &operand);

	term->field = NO_OPERAND;
	term->expression = NO_OPERAND;
	if (r < 0)
		return r;
	if (operand.size == 1 && *operand.at == '*') {
		if (term->function != COUNT_OF)
			return bad_term(ctx, name, text);
		term->function = COUNT_ALL;
		return 0;
	}
	if (is_field(operand)) {
		term->field = fields_add(&spec->fields, operand.at, operand.size);
		return term->field < 0 ? sl_error(ctx, -E2BIG, "`set`: too many fields") : 0;
	}
	term->expression = (int)spec->expression_count;
	spec->names[spec->expression_count] = name;
	spec->expressions[spec->expression_count] = strndup(operand.at, operand.size);
	return spec->expressions[spec->expression_count++] ? 0 : -ENOMEM;
}

static int add_terms(struct sl_context *ctx, const struct sl_pairs *set, struct spec *spec)
{
	int r = 0;

	if (set->count == 0)
		return sl_error(ctx, -EINVAL, "`set` is empty: write for instance " EXAMPLE);
	if (set->count > SET_MAX)
		return sl_error(ctx, -EINVAL, "`set` has %u functions: %d are the most", set->count,
			SET_MAX);
	for (uint32_t i = 0; i < set->count && r == 0; i++)
		r = add_term(ctx, spec, set->names[i], set->values[i]);
	return r;
}

/* --- names of the result ------------------------------------------------------------------------ */

static bool has_window(const struct aggregate *o)
{
	return o->tumbling > 0 || o->sliding > 0;
}

static bool is_taken(const struct aggregate *o, const char *name)
{
	for (uint32_t i = 0; i < o->by.count; i++)
		if (strcmp(o->by.items[i], name) == 0)
			return true;
	return has_window(o) && (strcmp(name, WINDOW_START) == 0 || strcmp(name, WINDOW_END) == 0);
}

static int add_by(struct sl_context *ctx, const struct aggregate *o, struct spec *spec)
{
	for (uint32_t i = 0; i < o->by.count; i++) {
		const char *name = o->by.items[i];
		int field = fields_add(&spec->fields, name, strlen(name));

		if (!*name)
			return sl_error(
				ctx, -EINVAL, "`by` names no field: write by = [ \"FIELD\" ];");
		if (field < 0 || i >= FIELDS_MAX / 2)
			return sl_error(ctx, -EINVAL, "`by` has too many fields: %d are the most",
				FIELDS_MAX / 2);
		if (field != (int)i)
			return sl_error(ctx, -EINVAL, "`by` names \"%.60s\" twice", name);
		if (has_window(o) &&
			(strcmp(name, WINDOW_START) == 0 || strcmp(name, WINDOW_END) == 0))
			return sl_error(ctx, -EINVAL,
				"`by`: \"%s\" is where a result says which window it is of: rename "
				"the field before",
				name);
	}
	spec->by_count = o->by.count;
	for (uint32_t i = 0; i < o->set.count; i++)
		if (is_taken(o, o->set.names[i]))
			return sl_error(ctx, -EINVAL,
				"`set.%s`: a result has another field of that name: write another",
				o->set.names[i]);
	return 0;
}

/* --- windows ------------------------------------------------------------------------------------ */

/* What means something with windows only, or only where records say their time. */
static int check_alone(struct sl_context *ctx, const struct aggregate *o)
{
	const char *name = o->every && !o->sliding       ? "every"
			   : o->lateness                 ? "lateness"
			   : o->late != LATE_DEAD_LETTER ? "late"
			   : o->idle                     ? "idle"
			   : o->unit != MOMENT_AUTO      ? "time_unit"
			   : o->time && !has_window(o)   ? "time"
							 : NULL;

	if (o->every && !o->sliding)
		return sl_error(ctx, -EINVAL,
			"`every` is how often a window of `sliding` begins: write sliding = "
			"\"5m\"; "
			"or remove it");
	if (!has_window(o) && name)
		return sl_error(ctx, -EINVAL,
			"`%s` is about windows: write tumbling = \"1m\"; or remove it", name);
	if (!o->time && name)
		return sl_error(ctx, -EINVAL,
			"`%s` is about the time that a record says: write time = \"FIELD\"; or "
			"remove "
			"it",
			name);
	return 0;
}

static int add_windows(struct sl_context *ctx, const struct aggregate *o, struct spec *spec)
{
	int r = check_alone(ctx, o);

	if (r < 0)
		return r;
	if (o->tumbling && o->sliding)
		return sl_error(
			ctx, -EINVAL, "`sliding` and `tumbling` are both set: remove one of them");
	if (o->sliding && !o->every)
		return sl_error(ctx, -EINVAL,
			"`sliding` wants to know how often a window begins: write every = \"1m\";");
	if (o->sliding && (o->every > o->sliding || o->sliding / o->every > OVERLAP_MAX))
		return sl_error(ctx, -EINVAL,
			"`every` must be at most `sliding`, and at least a thousandth of it");
	spec->size = (o->tumbling ? o->tumbling : o->sliding) / MICROSECOND;
	spec->every = (o->tumbling ? o->tumbling : o->every) / MICROSECOND;
	spec->lateness = o->lateness / MICROSECOND;
	spec->time = NO_OPERAND;
	if (o->time)
		spec->time = fields_add(&spec->fields, o->time, strlen(o->time));
	return o->time && spec->time < 0 ? sl_error(ctx, -E2BIG, "`time`: too many fields") : 0;
}

/* --- the whole ---------------------------------------------------------------------------------- */

static uint64_t fold(uint64_t hash, const char *text)
{
	return text ? XXH3_64bits_withSeed(text, strlen(text) + 1, hash) : hash + 1;
}

static uint64_t hash_layout(const struct aggregate *o)
{
	int64_t numbers[] = { o->tumbling, o->sliding, o->every, o->by.count };
	uint64_t hash = XXH3_64bits(numbers, sizeof(numbers));

	for (uint32_t i = 0; i < o->by.count; i++)
		hash = fold(hash, o->by.items[i]);
	for (uint32_t i = 0; i < o->set.count; i++)
		hash = fold(fold(hash, o->set.names[i]), o->set.values[i]);
	return fold(hash, o->time);
}

int spec_read(struct sl_context *ctx, const struct aggregate *o, struct spec *ret)
{
	int r;

	*ret = (struct spec){ .layout = hash_layout(o) };
	r = add_by(ctx, o, ret);
	if (r == 0)
		r = add_windows(ctx, o, ret);
	if (r == 0)
		r = add_terms(ctx, &o->set, ret);
	if (r < 0)
		spec_free(ret);
	return r;
}

void spec_free(struct spec *spec)
{
	for (uint32_t i = 0; i < spec->expression_count; i++)
		free((char *)spec->expressions[i]);
	spec->expression_count = 0;
}
