/* SPDX-License-Identifier: MIT */
/* See moment.h. */
#include "moment.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000)
#define MILLISECONDS_FROM 1e11
#define FIRST (-62135596800.0) /* the year 1 */
#define LAST 253402300799.0    /* the end of the year 9999 */

struct cursor {
	const char *at, *end;
};

/* --- RFC 3339 ----------------------------------------------------------------------------------- */

static bool take_number(struct cursor *c, int digits, int min, int max, int *ret)
{
	int number = 0;

	if (c->end - c->at < digits)
		return false;
	for (int i = 0; i < digits; i++, c->at++) {
		if (*c->at < '0' || *c->at > '9')
			return false;
		number = number * 10 + *c->at - '0';
	}
	*ret = number;
	return number >= min && number <= max;
}

static bool take(struct cursor *c, const char *any)
{
	if (c->at == c->end || !*c->at || !strchr(any, *c->at))
		return false;
	c->at++;
	return true;
}

/* Of a second; what is finer than a microsecond is cut. */
static bool take_fraction(struct cursor *c, int64_t *ret)
{
	const char *begin = c->at;
	int64_t unit = SECOND;

	*ret = 0;
	for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
		unit /= 10;
		*ret += (*c->at - '0') * unit;
	}
	return c->at > begin;
}

static bool take_zone(struct cursor *c, int64_t *ret_seconds)
{
	int hours, minutes;
	char sign = c->at < c->end ? *c->at : '\0';

	*ret_seconds = 0;
	if (take(c, "Zz"))
		return true;
	if (!take(c, "+-") || !take_number(c, 2, 0, 23, &hours) || !take(c, ":") ||
		!take_number(c, 2, 0, 59, &minutes))
		return false;
	*ret_seconds = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
	return true;
}

/* Days since 1970 of a date of the proleptic Gregorian calendar. */
static int64_t days_of(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool read_text(const char *text, size_t size, int64_t *ret)
{
	struct cursor c = { text, text + size };
	int year, month, day, hour, minute, second;
	int64_t fraction = 0, zone;

	if (!take_number(&c, 4, 1, 9999, &year) || !take(&c, "-") ||
		!take_number(&c, 2, 1, 12, &month) || !take(&c, "-") ||
		!take_number(&c, 2, 1, 31, &day) || !take(&c, "Tt ") ||
		!take_number(&c, 2, 0, 23, &hour) || !take(&c, ":") ||
		!take_number(&c, 2, 0, 59, &minute) || !take(&c, ":") ||
		!take_number(&c, 2, 0, 60, &second))
		return false;
	if (take(&c, ".,") && !take_fraction(&c, &fraction))
		return false;
	if (!take_zone(&c, &zone) || c.at != c.end)
		return false;
	*ret = (days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone) *
		       SECOND +
	       fraction;
	return true;
}

/* --- numbers ------------------------------------------------------------------------------------ */

bool moment_read(struct sl_value value, enum moment_unit unit, int64_t *ret)
{
	const char *text;
	size_t size;
	int64_t whole;
	double number;

	if (!value.data)
		return false;
	if (sl_get_str(value, &text, &size))
		return read_text(text, size, ret);
	if (!sl_get_double(value, &number) || !isfinite(number))
		return false;
	if (unit == MOMENT_AUTO)
		unit = fabs(number) >= MILLISECONDS_FROM ? MOMENT_MILLISECONDS : MOMENT_SECONDS;
	if (unit == MOMENT_MILLISECONDS ? number < FIRST * 1000 || number > LAST * 1000
					: number < FIRST || number > LAST)
		return false;
	if (sl_get_int(value, &whole))
		*ret = whole * (unit == MOMENT_MILLISECONDS ? SECOND / 1000 : SECOND);
	else
		*ret = (int64_t)floor(
			number * (unit == MOMENT_MILLISECONDS ? SECOND / 1000 : SECOND));
	return true;
}

const char *moment_print(int64_t moment, char text[MOMENT_TEXT])
{
	int64_t fraction = ((moment % SECOND) + SECOND) % SECOND;
	time_t seconds = (time_t)((moment - fraction) / SECOND);
	struct tm tm = { 0 };
	size_t size;

	(void)gmtime_r(&seconds, &tm);
	(void)snprintf(text, MOMENT_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%06d",
		(tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		tm.tm_sec, (int)fraction);
	size = strlen(text);
	while (text[size - 1] == '0')
		size--;
	size -= text[size - 1] == '.';
	memcpy(text + size, "Z", 2);
	return text;
}

int64_t moment_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * SECOND + now.tv_nsec / 1000;
}
