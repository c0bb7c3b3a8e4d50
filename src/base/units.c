/* SPDX-License-Identifier: MIT */
/* See units.h. Fractions are exact: digits are kept as integers, 128 bits wide, and cut to a whole unit at the end. */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* clang-format off */
static const struct unit sizes[] = {
	{ "",    1 },                       { "B",   1 },
	{ "K",   UINT64_C(1) << 10 },       { "KiB", UINT64_C(1) << 10 }, { "kB", UINT64_C(1000) },
	{ "M",   UINT64_C(1) << 20 },       { "MiB", UINT64_C(1) << 20 }, { "MB", UINT64_C(1000000) },
	{ "G",   UINT64_C(1) << 30 },       { "GiB", UINT64_C(1) << 30 }, { "GB", UINT64_C(1000000000) },
	{ "T",   UINT64_C(1) << 40 },       { "TiB", UINT64_C(1) << 40 }, { "TB", UINT64_C(1000000000000) },
	{ NULL,  0 },
};
static const struct unit durations[] = {
	{ "ns",  1 },
	{ "us",  UINT64_C(1000) },
	{ "ms",  NSEC_PER_MSEC },
	{ "s",   NSEC_PER_SEC },
	{ "m",   60 * NSEC_PER_SEC },       { "min", 60 * NSEC_PER_SEC },
	{ "h",   3600 * NSEC_PER_SEC },
	{ "d",   86400 * NSEC_PER_SEC },
	{ NULL,  0 },
};
static const struct unit rates[] = {
	{ "/s",   NSEC_PER_SEC },
	{ "/m",   60 * NSEC_PER_SEC },      { "/min", 60 * NSEC_PER_SEC },
	{ "/h",   3600 * NSEC_PER_SEC },
	{ "/d",   86400 * NSEC_PER_SEC },
	{ NULL,   0 },
};
/* clang-format on */

/* Digits kept of a number: more than any quantity needs, few enough for 128 bits with every factor. */
#define DIGITS_MAX 22

struct number {
	unsigned __int128 digits; /* all of them, without the point */
	unsigned __int128 scale;  /* 10 for each digit behind the point */
};

/* Reads "12" or "1.5" and moves *at behind it. */
static int parse_number(const char **at, struct number *ret_number)
{
	struct number n = { .scale = 1 };
	bool is_behind_point = false;
	int count = 0;

	for (; isdigit((unsigned char)**at) || (**at == '.' && !is_behind_point && count > 0);
		(*at)++) {
		if (**at == '.') {
			is_behind_point = true;
			continue;
		}
		if (++count > DIGITS_MAX)
			return -ERANGE;
		n.digits = n.digits * 10 + (unsigned __int128)(**at - '0');
		if (is_behind_point)
			n.scale *= 10;
	}
	if (count == 0 || (*at)[-1] == '.')
		return -EINVAL;
	*ret_number = n;
	return 0;
}

static const struct unit *find_unit(const struct unit *table, const char *name)
{
	for (; table->name; table++)
		if (strcasecmp(table->name, name) == 0)
			return table;
	return NULL;
}

static int parse(const char *text, const struct unit *table, uint64_t max, uint64_t *ret_value)
{
	const struct unit *unit;
	struct number n;
	unsigned __int128 value;
	int r;

	r = parse_number(&text, &n);
	if (r < 0)
		return r;
	unit = find_unit(table, text + strspn(text, " "));
	if (!unit)
		return -EINVAL;
	/* 22 digits and a factor below 2^47 need 121 bits. */
	value = n.digits * unit->factor / n.scale;
	if (value > max)
		return -ERANGE;
	*ret_value = (uint64_t)value;
	return 0;
}

int units_parse_size(const char *text, uint64_t *ret_bytes)
{
	return parse(text, sizes, UINT64_MAX, ret_bytes);
}

int units_parse_duration(const char *text, int64_t *ret_ns)
{
	uint64_t ns = 0;
	int r = strcmp(text, "0") == 0 ? 0 : parse(text, durations, INT64_MAX, &ns);

	if (r == 0)
		*ret_ns = (int64_t)ns;
	return r;
}

int units_parse_rate(const char *text, int64_t *ret_ns)
{
	const struct unit *unit;
	struct number n;
	unsigned __int128 ns;
	int r = parse_number(&text, &n);

	if (r < 0)
		return r;
	unit = find_unit(rates, text + strspn(text, " "));
	if (!unit)
		return -EINVAL;
	ns = n.digits > 0 ? (unsigned __int128)unit->factor * n.scale / n.digits : 0;
	if (ns == 0 || ns > INT64_MAX)
		return -ERANGE;
	*ret_ns = (int64_t)ns;
	return 0;
}

/* `tenths` of a unit as "1.5 s" or "2 s". */
static const char *print_tenths(uint64_t tenths, const char *unit, char *text, size_t size)
{
	if (tenths % 10 == 0)
		(void)snprintf(text, size, "%llu %s", (unsigned long long)(tenths / 10), unit);
	else
		(void)snprintf(text, size, "%llu.%llu %s", (unsigned long long)(tenths / 10),
			(unsigned long long)(tenths % 10), unit);
	return text;
}

static uint64_t to_tenths(uint64_t value, uint64_t factor)
{
	return (uint64_t)(((unsigned __int128)value * 10 + factor / 2) / factor);
}

const char *units_print_size(uint64_t bytes, char *text, size_t size)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	uint64_t factor = 1;
	size_t i = 0;

	/* Rounding must not show "1024 KiB". */
	while (i < 6 && to_tenths(bytes, factor) >= 10240) {
		factor <<= 10;
		i++;
	}
	return print_tenths(to_tenths(bytes, factor), names[i], text, size);
}

/* From a minute on two units say more than a fraction: "2 min 5 s". */
static const char *print_pair(
	uint64_t value, unsigned per, const char *big, const char *small, char *text, size_t size)
{
	unsigned long long rest = value % per;

	if (rest == 0)
		(void)snprintf(text, size, "%llu %s", (unsigned long long)(value / per), big);
	else
		(void)snprintf(text, size, "%llu %s %llu %s", (unsigned long long)(value / per),
			big, rest, small);
	return text;
}

const char *units_print_duration(int64_t ns, char *text, size_t size)
{
	uint64_t n = ns > 0 ? (uint64_t)ns : 0;
	uint64_t seconds = n / NSEC_PER_SEC;

	if (n == 0)
		return print_tenths(0, "s", text, size);
	if (n < 1000)
		return print_tenths(n * 10, "ns", text, size);
	if (to_tenths(n, 1000) < 10000)
		return print_tenths(to_tenths(n, 1000), "us", text, size);
	if (to_tenths(n, NSEC_PER_MSEC) < 10000)
		return print_tenths(to_tenths(n, NSEC_PER_MSEC), "ms", text, size);
	if (to_tenths(n, NSEC_PER_SEC) < 600)
		return print_tenths(to_tenths(n, NSEC_PER_SEC), "s", text, size);
	if (seconds < 3600)
		return print_pair(seconds < 60 ? 60 : seconds, 60, "min", "s", text, size);
	if (seconds < 86400)
		return print_pair(seconds / 60, 60, "h", "min", text, size);
	return print_pair(seconds / 3600, 24, "d", "h", text, size);
}

const char *units_print_count(uint64_t count, char *text, size_t size)
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	size_t at = 0;

	if (size == 0)
		return text;
	for (int i = 0; i < length && at + 2 < size; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			text[at++] = ' ';
		text[at++] = digits[i];
	}
	text[at] = '\0';
	return text;
}
