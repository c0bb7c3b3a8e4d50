/* SPDX-License-Identifier: MIT */
/* See function.h. */
#include "function.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define NUMBER_TEXT 64
#define EXACT 4611686018427387904.0 /* 2^62: casts below it are right */

static bool is_null(struct sl_value value)
{
	return !value.data || sl_kind(value) == SL_NIL;
}

static bool has_number(enum function function)
{
	return function <= AVG;
}

/* --- numbers ------------------------------------------------------------------------------------ */

/* Text that is a number, and nothing else, as files of CSV have it. */
static bool read_text(const char *text, size_t size, struct operand *operand)
{
	char copy[NUMBER_TEXT], *end;

	if (size == 0 || size >= sizeof(copy) || !strchr("+-.0123456789", text[0]))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (strcspn(copy, "xXnN") != size)
		return false;
	errno = 0;
	operand->whole = strtoll(copy, &end, 10);
	if (end == copy + size && errno == 0)
		return true;
	operand->is_real = true;
	operand->real = strtod(copy, &end);
	return end == copy + size;
}

bool function_read(enum function function, struct operand *operand)
{
	struct sl_value value = operand->value;
	const char *text;
	size_t size;
	bool is_true;

	operand->is_real = false;
	if ((function != SUM && function != AVG) || is_null(value) ||
		sl_get_int(value, &operand->whole))
		return true;
	if (sl_get_bool(value, &is_true)) {
		operand->whole = is_true;
		return true;
	}
	if (sl_get_str(value, &text, &size))
		return read_text(text, size, operand);
	operand->is_real = true;
	return sl_get_double(value, &operand->real);
}

/* Neumaier's: what the sum loses of the smaller one is kept apart. */
static void add_real(struct number *n, double x)
{
	double sum = n->real + x;

	if (fabs(n->real) >= fabs(x))
		n->rest += (n->real - sum) + x;
	else
		n->rest += (x - sum) + n->real;
	n->real = sum;
	if (!isfinite(n->rest))
		n->rest = 0;
}

static void add_whole(struct number *n, int64_t x)
{
	double rounded = (double)x;

	add_real(n, rounded);
	if (fabs(rounded) < EXACT)
		add_real(n, (double)(x - (int64_t)rounded));
}

static void make_real(struct number *n)
{
	n->is_real = 1;
	n->real = 0;
	n->rest = 0;
	add_whole(n, n->whole);
}

static void add_number(struct number *n, const struct operand *operand)
{
	int64_t sum;

	if (!operand->is_real && !n->is_real) {
		if (!__builtin_add_overflow(n->whole, operand->whole, &sum)) {
			n->whole = sum;
			return;
		}
		make_real(n);
	} else if (!n->is_real) {
		make_real(n);
	}
	if (operand->is_real)
		add_real(n, operand->real);
	else
		add_whole(n, operand->whole);
}

/* --- values ------------------------------------------------------------------------------------- */

/* As SQLite sorts: numbers, text, binary; then what it does not have. */
static int rank(struct sl_value value)
{
	switch (sl_kind(value)) {
	case SL_BOOL:
	case SL_INT:
	case SL_FLOAT:
		return 0;
	case SL_STR:
		return 1;
	case SL_BIN:
		return 2;
	default:
		return 3;
	}
}

static long double number_of(struct sl_value value)
{
	int64_t whole;
	uint64_t large;
	double real = 0;
	bool is_true;

	if (sl_get_bool(value, &is_true))
		return is_true;
	if (sl_get_int(value, &whole))
		return (long double)whole;
	if (sl_get_uint(value, &large))
		return (long double)large;
	(void)sl_get_double(value, &real);
	return real;
}

static int compare_bytes(struct sl_value a, struct sl_value b)
{
	const char *x = a.data, *y = b.data;
	size_t x_size = a.size, y_size = b.size;
	int r;

	if (sl_get_str(a, &x, &x_size))
		(void)sl_get_str(b, &y, &y_size);
	else if (sl_get_bin(a, &x, &x_size))
		(void)sl_get_bin(b, &y, &y_size);
	r = memcmp(x, y, x_size < y_size ? x_size : y_size);
	return r != 0 ? r : (x_size > y_size) - (x_size < y_size);
}

static int compare(struct sl_value a, struct sl_value b)
{
	long double x, y;

	if (rank(a) != rank(b))
		return rank(a) - rank(b);
	if (rank(a) > 0)
		return compare_bytes(a, b);
	x = number_of(a);
	y = number_of(b);
	return (x > y) - (x < y);
}

static bool replaces(enum function function, const struct held *held, struct sl_value value)
{
	int order;

	if (!held->data || function == LAST)
		return true;
	if (function == FIRST)
		return false;
	order = compare(value, (struct sl_value){ held->data, held->size });
	return function == MIN ? order < 0 : order > 0;
}

static int hold(struct held *held, const char *data, size_t size)
{
	if (size > UINT32_MAX / 2)
		return -ENOMEM;
	if (size > held->room) {
		char *grown = realloc(held->data, size);

		if (!grown)
			return -ENOMEM;
		held->data = grown;
		held->room = (uint32_t)size;
	}
	memcpy(held->data, data, size);
	held->size = (uint32_t)size;
	return 0;
}

/* --- cells -------------------------------------------------------------------------------------- */

int function_add(enum function function, union cell *cell, const struct operand *operand)
{
	if (function == COUNT_ALL) {
		cell->number.count++;
		return 0;
	}
	if (is_null(operand->value))
		return 0;
	if (!has_number(function))
		return replaces(function, &cell->held, operand->value)
			       ? hold(&cell->held, operand->value.data, operand->value.size)
			       : 0;
	cell->number.count++;
	if (function != COUNT_OF)
		add_number(&cell->number, operand);
	return 0;
}

static void put_sum(const struct number *n, bool is_average, struct sl_writer *w)
{
	double sum = n->is_real ? n->real + n->rest : (double)n->whole;

	if (n->count == 0)
		sl_put_nil(w);
	else if (is_average)
		sl_put_double(w, sum / (double)n->count);
	else if (n->is_real)
		sl_put_double(w, sum);
	else
		sl_put_int(w, n->whole);
}

void function_put(enum function function, const union cell *cell, struct sl_writer *w)
{
	if (function == COUNT_ALL || function == COUNT_OF)
		sl_put_uint(w, cell->number.count);
	else if (has_number(function))
		put_sum(&cell->number, function == AVG, w);
	else if (cell->held.data)
		sl_put_value(w, (struct sl_value){ cell->held.data, cell->held.size });
	else
		sl_put_nil(w);
}

void function_free(enum function function, union cell *cell)
{
	if (!has_number(function))
		free(cell->held.data);
}

/* --- bytes -------------------------------------------------------------------------------------- */

void function_save(enum function function, const union cell *cell, struct sl_writer *w)
{
	const struct held *held = &cell->held;
	uint32_t size = held->data ? held->size : 0;

	if (has_number(function)) {
		bytes_put(w, &cell->number, sizeof(cell->number));
		return;
	}
	bytes_put(w, &size, sizeof(size));
	if (size > 0)
		bytes_put(w, held->data, size);
}

bool function_load(enum function function, union cell *cell, const char **at, const char *end)
{
	uint32_t size;

	if (has_number(function)) {
		if ((size_t)(end - *at) < sizeof(cell->number))
			return false;
		memcpy(&cell->number, *at, sizeof(cell->number));
		*at += sizeof(cell->number);
		return true;
	}
	if ((size_t)(end - *at) < sizeof(size))
		return false;
	memcpy(&size, *at, sizeof(size));
	*at += sizeof(size);
	if ((size_t)(end - *at) < size || (size > 0 && hold(&cell->held, *at, size) < 0))
		return false;
	*at += size;
	return true;
}
