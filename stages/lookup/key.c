/* SPDX-License-Identifier: MIT */
/* See key.h. A value is its kind, and behind a text its size, so that no two of several can run into one another. */
#include "key.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TWO_63 9223372036854775808.0

static bool put_bytes(struct sl_writer *out, char kind, const void *bytes, size_t size)
{
	char *at = sl_writer_reserve(out, 1 + sizeof(size) + size);

	if (!at)
		return false;
	at[0] = kind;
	memcpy(at + 1, &size, sizeof(size));
	memcpy(at + 1 + sizeof(size), bytes, size);
	out->size += 1 + sizeof(size) + size;
	return true;
}

static bool put_text(struct sl_writer *out, const char *text)
{
	return put_bytes(out, 's', text, strlen(text));
}

static bool put_int(struct sl_writer *out, int64_t x, bool is_loose)
{
	char text[32];

	if (!is_loose)
		return put_bytes(out, 'i', &x, sizeof(x));
	(void)snprintf(text, sizeof(text), "%" PRId64, x);
	return put_text(out, text);
}

static bool put_uint(struct sl_writer *out, uint64_t x, bool is_loose)
{
	char text[32];

	if (!is_loose)
		return put_bytes(out, 'u', &x, sizeof(x));
	(void)snprintf(text, sizeof(text), "%" PRIu64, x);
	return put_text(out, text);
}

static bool put_float(struct sl_writer *out, double x, bool is_loose)
{
	char text[40];

	if (isnan(x))
		return false;
	if (x == trunc(x) && x >= -TWO_63 && x < TWO_63)
		return put_int(out, (int64_t)x, is_loose);
	if (x == trunc(x) && x >= TWO_63 && x < 2 * TWO_63)
		return put_uint(out, (uint64_t)x, is_loose);
	if (!is_loose)
		return put_bytes(out, 'f', &x, sizeof(x));
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, x);
		if (strtod(text, NULL) == x)
			break;
	}
	return put_text(out, text);
}

bool key_put(struct sl_writer *out, struct sl_value value, bool is_loose)
{
	const char *bytes;
	uint64_t natural;
	int64_t integer;
	double real;
	size_t size;
	bool truth;

	if (!value.data)
		return false;
	if (sl_get_str(value, &bytes, &size))
		return put_bytes(out, 's', bytes, size);
	if (sl_get_int(value, &integer))
		return put_int(out, integer, is_loose);
	if (sl_get_uint(value, &natural))
		return put_uint(out, natural, is_loose);
	if (sl_get_double(value, &real))
		return put_float(out, real, is_loose);
	if (sl_get_bool(value, &truth))
		return is_loose ? put_text(out, truth ? "true" : "false")
				: put_bytes(out, 'b', &truth, sizeof(truth));
	if (sl_get_bin(value, &bytes, &size))
		return put_bytes(out, 'x', bytes, size);
	return false;
}
