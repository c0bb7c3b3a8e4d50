/* SPDX-License-Identifier: MIT */
/* See typed.h. */
#include "record/typed.h"

#include <limits.h>
#include <string.h>

#include "record/json.h"

#define DIGITS_MAX 17 /* that a double holds */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t skip_digits(const char *text, size_t size, size_t i)
{
	while (i < size && is_digit(text[i]))
		i++;
	return i;
}

/* What its form says; its value may not fit. */
enum form { FORM_NONE, FORM_INT, FORM_DOUBLE };

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?; with `zeros` as many digits before the point as there are. */
static enum form form_of(const char *text, size_t size, bool zeros)
{
	size_t begin = size > 0 && text[0] == '-';
	size_t i = skip_digits(text, size, begin), from;
	enum form form = FORM_INT;

	if (i == begin || (!zeros && text[begin] == '0' && i > begin + 1))
		return FORM_NONE;
	if (i < size && text[i] == '.') {
		from = i + 1;
		i = skip_digits(text, size, from);
		form = i > from ? FORM_DOUBLE : FORM_NONE;
	}
	if (form != FORM_NONE && i < size && (text[i] == 'e' || text[i] == 'E')) {
		from = i + 1 + (i + 1 < size && (text[i + 1] == '+' || text[i + 1] == '-'));
		i = skip_digits(text, size, from);
		form = i > from ? FORM_DOUBLE : FORM_NONE;
	}
	return i == size ? form : FORM_NONE;
}

static bool put_integer(struct sl_writer *w, const char *text, size_t size)
{
	bool is_negative = text[0] == '-';
	uint64_t x = 0, limit = is_negative ? (uint64_t)INT64_MAX + 1 : UINT64_MAX;

	for (size_t i = is_negative; i < size; i++) {
		uint64_t digit = (uint64_t)(text[i] - '0');

		if (x > (limit - digit) / 10)
			return false;
		x = 10 * x + digit;
	}
	if (is_negative)
		sl_put_int(w, (int64_t)(0 - x));
	else
		sl_put_uint(w, x);
	return true;
}

/* From the first digit that is not 0 to the last before the exponent. */
static uint32_t significant(const char *text, size_t size)
{
	uint32_t count = 0;

	for (size_t i = 0; i < size && text[i] != 'e' && text[i] != 'E'; i++)
		count += is_digit(text[i]) && (count > 0 || text[i] != '0');
	return count;
}

static bool put_number(struct sl_writer *w, const char *text, size_t size, enum form form)
{
	double x;

	if (form == FORM_INT)
		return put_integer(w, text, size);
	if (form == FORM_NONE || !json_read_double(text, size, &x))
		return false;
	sl_put_double(w, x);
	return true;
}

/* True: it was put. */
static bool put_typed(struct sl_writer *w, const char *text, size_t size)
{
	enum form form = FORM_NONE;

	if (size == 0)
		return false;
	if (is_digit(text[0]) || text[0] == '-')
		form = form_of(text, size, false);
	if (form == FORM_NONE)
		return typed_put_bool(w, text, size);
	if ((size == 2 && memcmp(text, "-0", 2) == 0) ||
		(form == FORM_DOUBLE && significant(text, size) > DIGITS_MAX))
		return false;
	return put_number(w, text, size, form);
}

void typed_put(struct sl_writer *w, const char *text, size_t size)
{
	if (!put_typed(w, text, size))
		sl_put_str(w, text, size);
}

bool typed_is(const char *text, size_t size)
{
	struct sl_writer w;
	bool is_typed;

	sl_writer_init(&w);
	is_typed = put_typed(&w, text, size);
	sl_writer_fini(&w);
	return is_typed;
}

static void skip_plus(const char **text, size_t *size)
{
	if (*size > 1 && **text == '+' && is_digit((*text)[1])) {
		(*text)++;
		(*size)--;
	}
}

bool typed_put_int(struct sl_writer *w, const char *text, size_t size)
{
	skip_plus(&text, &size);
	return form_of(text, size, true) == FORM_INT && put_integer(w, text, size);
}

bool typed_put_double(struct sl_writer *w, const char *text, size_t size)
{
	double x;

	skip_plus(&text, &size);
	if (form_of(text, size, true) == FORM_NONE || !json_read_double(text, size, &x))
		return false;
	sl_put_double(w, x);
	return true;
}

bool typed_put_bool(struct sl_writer *w, const char *text, size_t size)
{
	bool is_true = size == 4 && memcmp(text, "true", 4) == 0;

	if (!is_true && !(size == 5 && memcmp(text, "false", 5) == 0))
		return false;
	sl_put_bool(w, is_true);
	return true;
}
