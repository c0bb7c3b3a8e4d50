/* SPDX-License-Identifier: MIT */
/* See compare.h. */
#include "record/compare.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE 256

static bool is_number(struct sl_value v)
{
	return sl_kind(v) == SL_INT || sl_kind(v) == SL_FLOAT;
}

static bool is_same_integer(struct sl_value a, struct sl_value b)
{
	uint64_t ua, ub;
	int64_t ia, ib;

	if (sl_get_int(a, &ia) && sl_get_int(b, &ib))
		return ia == ib;
	return sl_get_uint(a, &ua) && sl_get_uint(b, &ub) && ua == ub;
}

static bool is_same_number(struct sl_value a, struct sl_value b, double tolerance)
{
	double x = 0, y = 0;

	if (sl_kind(a) == SL_INT && sl_kind(b) == SL_INT && is_same_integer(a, b))
		return true;
	(void)sl_get_double(a, &x);
	(void)sl_get_double(b, &y);
	if (tolerance > 0)
		return fabs(x - y) <= tolerance || (isinf(x) && x == y) || (isnan(x) && isnan(y));
	return sl_kind(a) == SL_FLOAT && sl_kind(b) == SL_FLOAT &&
	       (x == y || (isnan(x) && isnan(y)));
}

/* Keys are nearly always strings. */
static struct sl_value find(struct sl_value map, struct sl_value key)
{
	struct sl_cursor cursor = sl_walk(map);
	struct sl_value k, v;
	const char *text;
	size_t size;

	if (sl_get_str(key, &text, &size))
		return sl_find(map, text, size);
	while (sl_next(&cursor, &k, &v))
		if (compare_is_same(k, key, 0))
			return v;
	return (struct sl_value){ 0 };
}

static bool is_same_map(struct sl_value a, struct sl_value b, double tolerance)
{
	struct sl_cursor cursor = sl_walk(a);
	struct sl_value key, value, other;

	if (sl_count(a) != sl_count(b))
		return false;
	while (sl_next(&cursor, &key, &value)) {
		other = find(b, key);
		if (!other.data || !compare_is_same(value, other, tolerance))
			return false;
	}
	return true;
}

static bool is_same_array(struct sl_value a, struct sl_value b, double tolerance)
{
	struct sl_cursor in_a = sl_walk(a), in_b = sl_walk(b);
	struct sl_value key, x, y;

	if (sl_count(a) != sl_count(b))
		return false;
	while (sl_next(&in_a, &key, &x) && sl_next(&in_b, &key, &y))
		if (!compare_is_same(x, y, tolerance))
			return false;
	return true;
}

static bool is_same_bytes(struct sl_value a, struct sl_value b)
{
	const char *x = a.data, *y = b.data;
	size_t x_size = a.size, y_size = b.size;

	/* The same text may have been written with heads of several sizes. */
	if (sl_kind(a) == SL_STR)
		(void)(sl_get_str(a, &x, &x_size) && sl_get_str(b, &y, &y_size));
	else if (sl_kind(a) == SL_BIN)
		(void)(sl_get_bin(a, &x, &x_size) && sl_get_bin(b, &y, &y_size));
	return x_size == y_size && memcmp(x, y, x_size) == 0;
}

bool compare_is_same(struct sl_value a, struct sl_value b, double tolerance)
{
	if (is_number(a) && is_number(b))
		return is_same_number(a, b, tolerance);
	if (sl_kind(a) != sl_kind(b))
		return false;
	if (sl_kind(a) == SL_MAP)
		return is_same_map(a, b, tolerance);
	if (sl_kind(a) == SL_ARRAY)
		return is_same_array(a, b, tolerance);
	return is_same_bytes(a, b);
}

/* --- where they differ ---------------------------------------------------------------------------- */

struct explain {
	double tolerance;
	compare_differ_fn *differ;
	void *user;
	char path[PATH_SIZE];
};

static void explain(struct explain *e, struct sl_value expected, struct sl_value found);

/* One level deeper, and back. A path that is too long is cut. */
static void explain_field(
	struct explain *e, struct sl_value key, struct sl_value expected, struct sl_value found)
{
	size_t length = strlen(e->path);
	char other[64];
	const char *text;
	size_t size;

	if (!sl_get_str(key, &text, &size)) {
		sl_print(key, other, sizeof(other));
		text = other;
		size = strlen(other);
	}
	(void)snprintf(e->path + length, sizeof(e->path) - length, "%s%.*s", length ? "." : "",
		(int)(size < PATH_SIZE ? size : PATH_SIZE), text);
	explain(e, expected, found);
	e->path[length] = '\0';
}

static void explain_maps(struct explain *e, struct sl_value expected, struct sl_value found)
{
	struct sl_cursor cursor = sl_walk(expected);
	struct sl_value key, value;

	while (sl_next(&cursor, &key, &value))
		explain_field(e, key, value, find(found, key));
	cursor = sl_walk(found);
	while (sl_next(&cursor, &key, &value))
		if (!find(expected, key).data)
			explain_field(e, key, (struct sl_value){ 0 }, value);
}

static void explain_arrays(struct explain *e, struct sl_value expected, struct sl_value found)
{
	struct sl_cursor in_expected = sl_walk(expected), in_found = sl_walk(found);
	size_t length = strlen(e->path);
	struct sl_value key, x, y;

	for (unsigned i = 0; sl_next(&in_expected, &key, &x) && sl_next(&in_found, &key, &y); i++) {
		(void)snprintf(e->path + length, sizeof(e->path) - length, "[%u]", i);
		explain(e, x, y);
		e->path[length] = '\0';
	}
}

static void explain(struct explain *e, struct sl_value expected, struct sl_value found)
{
	if (!expected.data || !found.data) {
		e->differ(e->user, e->path, expected, found);
		return;
	}
	if (compare_is_same(expected, found, e->tolerance))
		return;
	if (sl_kind(expected) == SL_MAP && sl_kind(found) == SL_MAP)
		explain_maps(e, expected, found);
	else if (sl_kind(expected) == SL_ARRAY && sl_kind(found) == SL_ARRAY &&
		 sl_count(expected) == sl_count(found))
		explain_arrays(e, expected, found);
	else
		e->differ(e->user, e->path, expected, found);
}

void compare_explain(struct sl_value expected, struct sl_value found, double tolerance,
	compare_differ_fn *differ, void *user)
{
	struct explain e = { .tolerance = tolerance, .differ = differ, .user = user };

	explain(&e, expected, found);
}

/* --- pairs ---------------------------------------------------------------------------------------- */

/* A bipartite matching that grows by augmenting paths, found breadth first. */
struct pairing {
	size_t expected, found;
	compare_fits_fn *fits;
	void *user;
	size_t *pairs;  /* of each expected one */
	size_t *owners; /* of each found one: who has it */
	size_t *via;    /* of each found one: who came to it in this search; COMPARE_NONE: nobody */
	size_t *queue;  /* expected ones */
};

/* Everyone on the way to `last` gets what he came to, and leaves what he had to the one before. */
static void shift(struct pairing *p, size_t last)
{
	for (size_t at = last; at != COMPARE_NONE;) {
		size_t e = p->via[at], had = p->pairs[e];

		p->pairs[e] = at;
		p->owners[at] = e;
		at = had;
	}
}

static void augment(struct pairing *p, size_t first)
{
	size_t head = 0, tail = 0;

	for (size_t f = 0; f < p->found; f++)
		p->via[f] = COMPARE_NONE;
	p->queue[tail++] = first;
	while (head < tail) {
		size_t e = p->queue[head++];

		for (size_t f = 0; f < p->found; f++) {
			if (p->via[f] != COMPARE_NONE || !p->fits(p->user, e, f))
				continue;
			p->via[f] = e;
			if (p->owners[f] == COMPARE_NONE) {
				shift(p, f);
				return;
			}
			p->queue[tail++] = p->owners[f];
		}
	}
}

int compare_pair(size_t expected, size_t found, compare_fits_fn *fits, void *user, size_t *pairs)
{
	struct pairing p = { expected, found, fits, user, pairs, calloc(found + 1, sizeof(size_t)),
		calloc(found + 1, sizeof(size_t)), calloc(expected + 1, sizeof(size_t)) };
	int r = p.owners && p.via && p.queue ? 0 : -ENOMEM;

	for (size_t e = 0; e < expected; e++)
		pairs[e] = COMPARE_NONE;
	for (size_t f = 0; r == 0 && f < found; f++)
		p.owners[f] = COMPARE_NONE;
	for (size_t e = 0; r == 0 && e < expected; e++)
		augment(&p, e);
	free(p.owners);
	free(p.via);
	free(p.queue);
	return r;
}
