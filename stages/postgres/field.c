/* SPDX-License-Identifier: MIT */
/* See field.h. */
#include "field.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_OID = 26,
	OID_JSON = 114,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_TIMESTAMP = 1114,
	OID_TIMESTAMPTZ = 1184,
	OID_NUMERIC = 1700,
	OID_JSONB = 3802,
};

enum field_type field_type_of(unsigned oid, bool numeric_is_float)
{
	switch (oid) {
	case OID_BOOL:
		return FIELD_BOOL;
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
	case OID_OID:
		return FIELD_INT;
	case OID_FLOAT4:
	case OID_FLOAT8:
		return FIELD_FLOAT;
	case OID_NUMERIC:
		return numeric_is_float ? FIELD_FLOAT : FIELD_TEXT;
	case OID_BYTEA:
		return FIELD_BYTES;
	case OID_JSON:
	case OID_JSONB:
		return FIELD_JSON;
	case OID_TIMESTAMP:
	case OID_TIMESTAMPTZ:
		return FIELD_TIME;
	default:
		return FIELD_TEXT;
	}
}

/* --- one value ---------------------------------------------------------------------------------- */

/* The server wrote it: it fits. */
static void put_int(struct sl_writer *out, const char *text)
{
	bool is_negative = *text == '-';
	uint64_t number = 0;

	for (text += is_negative; *text; text++)
		number = number * 10 + (uint64_t)(*text - '0');
	if (is_negative)
		sl_put_int(out, (int64_t)(0 - number));
	else
		sl_put_uint(out, number);
}

static int nibble(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* "\x0aff", in place. */
static void put_bytes(struct sl_writer *out, char *text, size_t size)
{
	size_t count = size < 2 ? 0 : (size - 2) / 2;

	for (size_t i = 0; i < count; i++)
		text[i] = (char)(nibble(text[2 + 2 * i]) << 4 | nibble(text[3 + 2 * i]));
	sl_put_bin(out, text, count);
}

/* "2024-02-29 12:00:00+00" becomes "2024-02-29T12:00:00Z"; infinity and years before Christ stay as they are. */
static void put_time(struct sl_writer *out, char *text, size_t size)
{
	char *space = memchr(text, ' ', size);

	if (isdigit((unsigned char)*text) && space && text[size - 1] != 'C') {
		*space = 'T';
		if (size > 3 && memcmp(text + size - 3, "+00", 3) == 0) {
			text[size - 3] = 'Z';
			size -= 2;
		}
	}
	sl_put_str(out, text, size);
}

/* What the parser does not take, an integer of a hundred digits say, stays a text. */
static int put_json(struct sl_writer *out, const char *text, size_t size)
{
	const char *reason;
	int r = sl_json_parse(out, text, size, &reason);

	if (r == -EINVAL)
		sl_put_str(out, text, size);
	return r == -EINVAL ? 0 : r;
}

int field_put(struct sl_writer *out, enum field_type type, char *text, size_t size)
{
	switch (type) {
	case FIELD_BOOL:
		sl_put_bool(out, *text == 't');
		return 0;
	case FIELD_INT:
		put_int(out, text);
		return 0;
	case FIELD_FLOAT:
		sl_put_double(out, strtod(text, NULL));
		return 0;
	case FIELD_BYTES:
		put_bytes(out, text, size);
		return 0;
	case FIELD_JSON:
		return put_json(out, text, size);
	case FIELD_TIME:
		put_time(out, text, size);
		return 0;
	default:
		sl_put_str(out, text, size);
		return 0;
	}
}

/* --- arrays ------------------------------------------------------------------------------------- */

/* Behind an element in an array: unquoted ones end at a comma or brace. */
static const char *skip_element(const char *at)
{
	bool is_quoted = false;
	int depth = 0;

	for (; *at; at++) {
		if (*at == '\\' && at[1])
			at++;
		else if (*at == '"')
			is_quoted = !is_quoted;
		else if (is_quoted)
			continue;
		else if (*at == '{')
			depth++;
		else if (depth > 0 && *at == '}')
			depth--;
		else if (depth == 0 && (*at == ',' || *at == '}'))
			break;
	}
	return at;
}

/* How many elements stand behind the brace. */
static uint32_t count_elements(const char *at)
{
	uint32_t count = *at == '}' ? 0 : 1;

	while (*(at = skip_element(at)) == ',') {
		count++;
		at++;
	}
	return count;
}

/* Takes quotes and backslashes away, in place; the size. */
static size_t unquote(char *text, size_t size)
{
	size_t to = 0;

	for (size_t from = 0; from < size; from++) {
		if (text[from] == '"')
			continue;
		if (text[from] == '\\')
			from++;
		text[to++] = text[from];
	}
	text[to] = '\0';
	return to;
}

static int put_element(struct sl_writer *out, enum field_type type, char *text, size_t size)
{
	/* What stands behind it must be there again: the end of the array is found by it. */
	char behind = text[size];
	int r = 0;

	text[size] = '\0';
	if (*text == '{')
		r = field_put_array(out, type, text, size);
	else if (strcmp(text, "NULL") == 0)
		sl_put_nil(out);
	else
		r = field_put(out, type, text, unquote(text, size));
	text[size] = behind;
	return r;
}

int field_put_array(struct sl_writer *out, enum field_type type, char *text, size_t size)
{
	/* Where it does not begin at 1: "[0:1]={...}". */
	char *at = *text == '[' ? memchr(text, '{', size) : text;
	char *end;
	int r = 0;

	if (!at)
		return -EINVAL;
	at++;
	sl_put_array(out, count_elements(at));
	for (; r == 0 && *at && *at != '}'; at = *end == ',' ? end + 1 : end) {
		end = at + (skip_element(at) - at);
		r = put_element(out, type, at, (size_t)(end - at));
	}
	return r;
}
