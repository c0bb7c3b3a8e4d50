/* SPDX-License-Identifier: MIT */
/*
 * See times.h. A zone with a name is that of the process (tzset), which is this stage's own; nothing else in it prints local times. mktime's guess
 * at an hour that is there twice depends on what it was asked before, so both are asked for and the earlier one is taken.
 */
#include "times.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000
#define TEXT_MAX 100 /* of a time; longer is none */
#define ZONES "/usr/share/zoneinfo/"

const char *const time_outputs[] = { "rfc3339", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns",
	NULL };

static const int64_t units[] = {
	[TIME_S] = 1, [TIME_MS] = 1000, [TIME_US] = 1000000, [TIME_NS] = NS_PER_S
};

/* --- digits ------------------------------------------------------------------------------------- */

/* Exactly `count` digits; moves on. */
static bool read_digits(const char **at, int count, int *ret)
{
	int x = 0;

	for (int i = 0; i < count; i++, (*at)++) {
		if (!isdigit((unsigned char)**at))
			return false;
		x = 10 * x + (**at - '0');
	}
	*ret = x;
	return true;
}

/* The digits of a fraction, one or more; those behind the ninth are cut off. */
static bool read_fraction(const char **at, uint32_t *ret_ns)
{
	uint32_t ns = 0, unit = NS_PER_S;

	if (!isdigit((unsigned char)**at))
		return false;
	for (; isdigit((unsigned char)**at); (*at)++) {
		unit /= 10;
		ns += (uint32_t)(**at - '0') * unit;
	}
	*ret_ns = ns;
	return true;
}

/* +02:00, -0530 */
static bool read_offset(const char *at, int64_t *ret)
{
	int sign = *at == '-' ? -1 : 1;
	int hours, minutes;

	if (*at != '+' && *at != '-')
		return false;
	at++;
	if (!read_digits(&at, 2, &hours))
		return false;
	at += *at == ':';
	if (!read_digits(&at, 2, &minutes) || *at || hours > 23 || minutes > 59)
		return false;
	*ret = sign * (int64_t)(hours * 3600 + minutes * 60);
	return true;
}

/* --- calendar ----------------------------------------------------------------------------------- */

/* Is it the same date and time of day? Not where the day does not exist, or the hour does not in its zone. */
static bool is_same(const struct tm *a, const struct tm *b)
{
	return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday &&
	       a->tm_hour == b->tm_hour && a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

static bool from_utc(const struct tm *tm, int64_t offset, int64_t *ret)
{
	struct tm copy = *tm;
	time_t t = timegm(&copy);

	if (!is_same(&copy, tm))
		return false;
	*ret = t - offset;
	return true;
}

static bool from_local(const struct tm *tm, int64_t *ret)
{
	for (int is_dst = 1; is_dst >= 0; is_dst--) {
		struct tm copy = *tm;
		time_t t;

		copy.tm_isdst = is_dst;
		t = mktime(&copy);
		if (is_same(&copy, tm) && copy.tm_isdst == is_dst) {
			*ret = t;
			return true;
		}
	}
	return false;
}

/* A leap second is the first of the next minute, as in Unix time. */
static bool from_calendar(
	const struct times *times, struct tm *tm, const int64_t *offset, int64_t *ret)
{
	bool is_leap = tm->tm_sec == 60;
	bool is_right;

	tm->tm_sec -= is_leap;
	if (offset)
		is_right = from_utc(tm, *offset, ret);
	else if (times->has_names)
		is_right = from_local(tm, ret);
	else
		is_right = from_utc(tm, times->offset, ret);
	*ret += is_right && is_leap;
	return is_right;
}

/* --- formats ------------------------------------------------------------------------------------ */

/* 2026-11-21T17:28:53.25Z; also with a blank for the T, and in small letters. */
static bool read_rfc3339(const struct times *times, const char *at, struct instant *ret)
{
	struct tm tm = { 0 };
	int64_t offset = 0;

	if (!read_digits(&at, 4, &tm.tm_year) || *at++ != '-' || !read_digits(&at, 2, &tm.tm_mon) ||
		*at++ != '-' || !read_digits(&at, 2, &tm.tm_mday) || !*at || !strchr("Tt ", *at++))
		return false;
	if (!read_digits(&at, 2, &tm.tm_hour) || *at++ != ':' || !read_digits(&at, 2, &tm.tm_min) ||
		*at++ != ':' || !read_digits(&at, 2, &tm.tm_sec))
		return false;
	ret->ns = 0;
	if (*at == '.' && (at++, !read_fraction(&at, &ret->ns)))
		return false;
	if (*at == 'Z' || *at == 'z' ? at[1] != '\0' : !read_offset(at, &offset))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return from_calendar(times, &tm, &offset, &ret->seconds);
}

/* The place of %f in a format, not of %%f; NULL: it has none. */
static const char *find_fraction(const char *format)
{
	for (; *format; format++) {
		if (*format != '%')
			continue;
		if (format[1] == 'f')
			return format;
		format += format[1] != '\0';
	}
	return NULL;
}

static const char *read_part(const char *at, const char *format, size_t size, struct tm *tm)
{
	char part[TEXT_MAX];

	(void)snprintf(part, sizeof(part), "%.*s", (int)size, format);
	return strptime(at, part, tm);
}

static bool has_zone(const char *format)
{
	for (; *format; format++) {
		if (*format != '%')
			continue;
		if (format[1] == 'z')
			return true;
		format += format[1] != '\0';
	}
	return false;
}

static bool read_format(
	const struct times *times, const char *at, const char *format, struct instant *ret)
{
	const char *fraction = find_fraction(format);
	struct tm tm = { .tm_mday = 1, .tm_year = 70 };
	int64_t offset;

	ret->ns = 0;
	if (fraction) {
		at = read_part(at, format, (size_t)(fraction - format), &tm);
		if (!at || !read_fraction(&at, &ret->ns))
			return false;
		at = read_part(at, fraction + 2, strlen(fraction + 2), &tm);
	} else {
		at = strptime(at, format, &tm);
	}
	if (!at || *at)
		return false;
	offset = tm.tm_gmtoff;
	return from_calendar(times, &tm, has_zone(format) ? &offset : NULL, &ret->seconds);
}

/* --- Unix time ---------------------------------------------------------------------------------- */

static void set_units(struct instant *ret, int64_t whole, int64_t unit, uint32_t fraction_ns)
{
	int64_t rest = whole % unit;
	bool is_before = rest < 0;

	rest += is_before ? unit : 0;
	ret->seconds = whole / unit - is_before;
	ret->ns = (uint32_t)(rest * (NS_PER_S / unit)) + fraction_ns / (uint32_t)unit;
}

/* As it is written, to the digit. */
static bool read_epoch_text(const char *text, int64_t unit, struct instant *ret)
{
	uint32_t fraction = 0;
	const char *at;
	char *end;
	int64_t whole;

	if (!isdigit((unsigned char)text[text[0] == '-']))
		return false;
	errno = 0;
	whole = strtoll(text, &end, 10);
	at = end;
	if (errno != 0 || (*at == '.' && (at++, !read_fraction(&at, &fraction))) || *at)
		return false;
	if (text[0] == '-' && fraction > 0)
		return false;
	set_units(ret, whole, unit, fraction);
	return true;
}

/* A float has no more than microseconds of such a time. */
static bool read_epoch_double(double x, int64_t unit, struct instant *ret)
{
	double us = nearbyint(x / (double)unit * 1e6);

	if (!(fabs(us) < 9e18))
		return false;
	set_units(ret, (int64_t)us, 1000000, 0);
	return true;
}

static bool read_epoch(struct sl_value v, const char *text, int64_t unit, struct instant *ret)
{
	int64_t whole;
	double x;

	if (text)
		return read_epoch_text(text, unit, ret);
	if (sl_get_int(v, &whole)) {
		set_units(ret, whole, unit, 0);
		return true;
	}
	return sl_kind(v) == SL_FLOAT && sl_get_double(v, &x) && read_epoch_double(x, unit, ret);
}

/* --- all of it ---------------------------------------------------------------------------------- */

static int find_output(const char *format)
{
	for (int i = 0; time_outputs[i]; i++)
		if (strcmp(time_outputs[i], format) == 0)
			return i;
	return -1;
}

static bool read_one(const struct times *times, const char *format, struct sl_value v,
	const char *text, struct instant *ret)
{
	int output = find_output(format);

	if (output > TIME_RFC3339)
		return read_epoch(v, text, units[output], ret);
	if (!text)
		return false;
	return output == TIME_RFC3339 ? read_rfc3339(times, text, ret)
				      : read_format(times, text, format, ret);
}

bool times_read(const struct times *times, struct sl_value v, struct instant *ret)
{
	char copy[TEXT_MAX];
	const char *text = NULL;
	size_t size;

	if (sl_get_str(v, &text, &size)) {
		if (size >= sizeof(copy) || memchr(text, '\0', size))
			return false;
		memcpy(copy, text, size);
		copy[size] = '\0';
		text = copy;
	}
	for (uint32_t i = 0; i < times->formats->count; i++)
		if (read_one(times, times->formats->items[i], v, text, ret))
			return true;
	return false;
}

static int put_rfc3339(struct instant instant, struct sl_writer *out)
{
	time_t seconds = instant.seconds;
	char text[64];
	struct tm tm;
	int size;

	if (!gmtime_r(&seconds, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099)
		return -ERANGE;
	size = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (instant.ns % 1000 > 0)
		size += snprintf(text + size, 16, ".%09u", instant.ns);
	else if (instant.ns % 1000000 > 0)
		size += snprintf(text + size, 16, ".%06u", instant.ns / 1000);
	else if (instant.ns > 0)
		size += snprintf(text + size, 16, ".%03u", instant.ns / 1000000);
	text[size++] = 'Z';
	sl_put_str(out, text, (size_t)size);
	return 0;
}

int times_put(enum time_output output, struct instant instant, struct sl_writer *out)
{
	int64_t x;

	if (output == TIME_RFC3339)
		return put_rfc3339(instant, out);
	if (__builtin_mul_overflow(instant.seconds, units[output], &x) ||
		__builtin_add_overflow(x, (int64_t)(instant.ns / (NS_PER_S / units[output])), &x))
		return -ERANGE;
	sl_put_int(out, x);
	return 0;
}

/* --- beginning ---------------------------------------------------------------------------------- */

static bool has_year(const char *format)
{
	for (; *format; format++) {
		if (*format != '%')
			continue;
		format++;
		format += *format == 'E' || *format == 'O';
		if (*format && strchr("YyFDcx", *format))
			return true;
		if (!*format)
			return false;
	}
	return false;
}

static int check_format(struct sl_context *ctx, const char *format)
{
	if (find_output(format) >= 0)
		return 0;
	if (!strchr(format, '%'))
		return sl_error(ctx, -EINVAL,
			"`time_format` is \"%.60s\": write \"rfc3339\", \"epoch_s\", \"epoch_ms\", "
			"\"epoch_us\", \"epoch_ns\" or a format as of strptime, \"%%Y-%%m-%%d "
			"%%H:%%M:%%S\"",
			format);
	if (strlen(format) >= TEXT_MAX)
		return sl_error(
			ctx, -EINVAL, "`time_format` is longer than %d bytes", TEXT_MAX - 1);
	if (strstr(format, "%Z") || strstr(format, "%s"))
		return sl_error(ctx, -EINVAL,
			"`time_format` is \"%.60s\": %%Z is passed over and %%s is local: write "
			"%%z "
			"(+0200), `time_zone` or \"epoch_s\"",
			format);
	if (!has_year(format))
		return sl_error(ctx, -EINVAL,
			"`time_format` is \"%.60s\", and has no year: a time without one is not "
			"known "
			"tomorrow; let a `map` before it put the year into the text",
			format);
	return 0;
}

static bool is_utc(const char *zone)
{
	return strcmp(zone, "UTC") == 0 || strcmp(zone, "Z") == 0;
}

static bool is_zone_name(const char *zone)
{
	char path[256];

	if (!isalpha((unsigned char)zone[0]) || strstr(zone, ".."))
		return false;
	(void)snprintf(path, sizeof(path), ZONES "%s", zone);
	return access(path, R_OK) == 0;
}

int times_check(struct sl_context *ctx, const struct sl_strings *formats, const char *zone)
{
	int64_t offset;

	for (uint32_t i = 0; i < formats->count; i++) {
		int r = check_format(ctx, formats->items[i]);

		if (r < 0)
			return r;
	}
	if (is_utc(zone) || read_offset(zone, &offset) || is_zone_name(zone))
		return 0;
	return sl_error(ctx, -EINVAL,
		"`time_zone` is \"%.60s\": write \"UTC\", \"+02:00\" or a name as in " ZONES
		", \"Europe/Berlin\"",
		zone);
}

void times_open(const char *zone)
{
	int64_t offset;

	if (is_utc(zone) || read_offset(zone, &offset))
		return;
	(void)setenv("TZ", zone, 1);
	tzset();
}

void times_init(struct times *times, const struct sl_strings *formats, const char *zone)
{
	*times = (struct times){ .formats = formats, .zone = zone };
	times->has_names = !is_utc(zone) && !read_offset(zone, &times->offset);
}
