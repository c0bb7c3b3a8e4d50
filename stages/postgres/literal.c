/* SPDX-License-Identifier: MIT */
/* See literal.h. */
#include "literal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

/* --- escaping ----------------------------------------------------------------------------------- */

/* What COPY reads otherwise than it stands there. */
static char escape_of(char c)
{
	switch (c) {
	case '\\':
		return '\\';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return '\0';
	}
}

static void put_escaped(struct sl_writer *out, const char *text, size_t size)
{
	char *at = sl_writer_reserve(out, 2 * size);
	const char *begin = at;

	if (!at)
		return;
	for (size_t i = 0; i < size; i++) {
		char c = text[i];
		char escape = c == '\\' || (c >= '\t' && c <= '\r') ? escape_of(c) : '\0';

		if (escape)
			*at++ = '\\';
		*at++ = escape ? escape : c;
	}
	out->size += (size_t)(at - begin);
}

/* As an element of an array: in quotes. */
static void put_quoted(struct sl_writer *out, const char *text, size_t size)
{
	char *at = sl_writer_reserve(out, 2 * size + 2);
	const char *begin = at;

	if (!at)
		return;
	*at++ = '"';
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '"' || text[i] == '\\')
			*at++ = '\\';
		*at++ = text[i];
	}
	*at++ = '"';
	out->size += (size_t)(at - begin);
}

static void put_hex(struct sl_writer *out, const char *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	char *at = sl_writer_reserve(out, 2 * size + 2);

	if (!at)
		return;
	*at++ = '\\';
	*at++ = 'x';
	for (size_t i = 0; i < size; i++) {
		*at++ = digits[(unsigned char)bytes[i] >> 4];
		*at++ = digits[(unsigned char)bytes[i] & 15];
	}
	out->size += 2 * size + 2;
}

/* --- plain values ------------------------------------------------------------------------------- */

/* 20 digits and a sign at most; backwards. */
static void put_number(struct sl_writer *out, uint64_t number, bool is_negative)
{
	char text[24];
	char *at = text + sizeof(text);

	do
		*--at = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	if (is_negative)
		*--at = '-';
	text_bytes(out, at, (size_t)(text + sizeof(text) - at));
}

static void put_int(struct sl_writer *out, struct sl_value v)
{
	int64_t integer = 0;
	uint64_t large = 0;

	if (sl_get_int(v, &integer))
		put_number(
			out, integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer, integer < 0);
	else if (sl_get_uint(v, &large))
		put_number(out, large, false);
}

static int put_json(struct sl_writer *out, struct sl_value v, const char **ret_reason)
{
	return sl_json_print(out, v, ret_reason);
}

static int put_double(struct sl_writer *out, struct sl_value v, const char **ret_reason)
{
	double real = 0;

	(void)sl_get_double(v, &real);
	if (isfinite(real))
		return put_json(out, v, ret_reason);
	text_add(out, isnan(real) ? "NaN" : real < 0 ? "-Infinity" : "Infinity");
	return 0;
}

/* Of those that need no quoting anywhere. */
static int put_simple(struct sl_writer *out, struct sl_value v, const char **ret_reason)
{
	bool truth = false;

	switch (sl_kind(v)) {
	case SL_BOOL:
		(void)sl_get_bool(v, &truth);
		text_bytes(out, truth ? "t" : "f", 1);
		return 0;
	case SL_INT:
		put_int(out, v);
		return 0;
	case SL_FLOAT:
		return put_double(out, v, ret_reason);
	default:
		*ret_reason = "PostgreSQL has no such value";
		return -EINVAL;
	}
}

static bool get_bytes(struct sl_value v, const char **ret_bytes, size_t *ret_size)
{
	return sl_get_str(v, ret_bytes, ret_size) || sl_get_bin(v, ret_bytes, ret_size);
}

/* --- nested values ------------------------------------------------------------------------------ */

static int put_array(struct sl_writer *out, struct sl_value v, const struct target *target,
	const char **ret_reason);

/* Its text stands at the end of `out` for a moment, unquoted. */
static int put_element_text(
	struct sl_writer *out, struct sl_value v, enum into into, const char **ret_reason)
{
	size_t at = out->size, size;
	const char *bytes = NULL;
	struct sl_writer copy;
	int r = 0;

	if (into == INTO_BYTES && get_bytes(v, &bytes, &size))
		put_hex(out, bytes, size);
	else
		r = put_json(out, v, ret_reason);
	if (r < 0 || out->error)
		return r;
	sl_writer_init(&copy);
	text_bytes(&copy, out->data + at, out->size - at);
	out->size = at;
	if (!copy.error)
		put_quoted(out, copy.data, copy.size);
	r = copy.error;
	sl_writer_fini(&copy);
	return r;
}

static int put_element(struct sl_writer *out, struct sl_value v, const struct target *target,
	const char **ret_reason)
{
	const char *bytes;
	size_t size;

	if (sl_kind(v) == SL_NIL) {
		text_add(out, "NULL");
		return 0;
	}
	if (target->element != INTO_PLAIN)
		return put_element_text(out, v, target->element, ret_reason);
	if (sl_kind(v) == SL_ARRAY)
		return put_array(out, v, target, ret_reason);
	if (sl_kind(v) == SL_MAP)
		return put_element_text(out, v, INTO_JSON, ret_reason);
	if (!get_bytes(v, &bytes, &size))
		return put_simple(out, v, ret_reason);
	put_quoted(out, bytes, size);
	return 0;
}

static int put_array(struct sl_writer *out, struct sl_value v, const struct target *target,
	const char **ret_reason)
{
	struct sl_cursor c = sl_walk(v);
	struct sl_value key, element;
	const char *separator = "{";
	int r = 0;

	while (r == 0 && sl_next(&c, &key, &element)) {
		text_add(out, separator);
		r = put_element(out, element, target, ret_reason);
		separator = ",";
	}
	text_add(out, *separator == '{' ? "{}" : "}");
	return r;
}

static int put_nested(struct sl_writer *out, struct sl_writer *scratch, struct sl_value v,
	const struct target *target, const char **ret_reason)
{
	int r;

	sl_writer_reset(scratch);
	r = target->into == INTO_ARRAY ? put_array(scratch, v, target, ret_reason)
				       : put_json(scratch, v, ret_reason);
	if (r == 0 && scratch->error)
		r = scratch->error;
	if (r == 0)
		put_escaped(out, scratch->data, scratch->size);
	return r;
}

/* -------------------------------------------------------------------------------------------------- */

static int put_text(struct sl_writer *out, struct sl_writer *scratch, const char *bytes,
	size_t size, enum into into)
{
	if (into != INTO_BYTES) {
		put_escaped(out, bytes, size);
		return 0;
	}
	sl_writer_reset(scratch);
	put_hex(scratch, bytes, size);
	if (!scratch->error)
		put_escaped(out, scratch->data, scratch->size);
	return scratch->error;
}

int literal_put(struct sl_writer *out, struct sl_writer *scratch, struct sl_value v,
	struct target target, const char **ret_reason)
{
	enum sl_kind kind = sl_kind(v);
	const char *bytes;
	size_t size;
	int r;

	if (kind == SL_NIL) {
		text_bytes(out, "\\N", 2);
		r = 0;
	} else if (target.into == INTO_JSON && !(target.json_is_text && kind == SL_STR)) {
		r = put_nested(out, scratch, v, &target, ret_reason);
	} else if (get_bytes(v, &bytes, &size)) {
		r = put_text(out, scratch, bytes, size, target.into);
	} else if (kind == SL_MAP || kind == SL_ARRAY) {
		if (kind == SL_MAP)
			target.into = INTO_JSON;
		r = put_nested(out, scratch, v, &target, ret_reason);
	} else {
		r = put_simple(out, v, ret_reason);
	}
	return r == 0 ? out->error : r;
}
