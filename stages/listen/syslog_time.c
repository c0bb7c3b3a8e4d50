/* SPDX-License-Identifier: MIT */
/* Times of syslog messages. See syslog.h. */
#include "syslog_room.h"

#include <stdio.h>
#include <string.h>

#define DAY (24 * 3600)
#define BSD_SIZE 15 /* "Oct 11 22:14:15" */

/* `digits` of them, as a number up to max. */
static bool take_number(struct cursor *c, int digits, int max, int *ret)
{
	int number = 0;

	if (cursor_left(c) < (size_t)digits)
		return false;
	for (int i = 0; i < digits; i++) {
		if (c->at[i] < '0' || c->at[i] > '9')
			return false;
		number = number * 10 + c->at[i] - '0';
	}
	if (number > max)
		return false;
	*ret = number;
	c->at += digits;
	return true;
}

static bool take_char(struct cursor *c, char wanted)
{
	if (cursor_left(c) == 0 || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

static bool take_clock(struct cursor *c, struct tm *tm)
{
	return take_number(c, 2, 23, &tm->tm_hour) && take_char(c, ':') &&
	       take_number(c, 2, 59, &tm->tm_min) && take_char(c, ':') &&
	       take_number(c, 2, 60, &tm->tm_sec);
}

static bool take_zone(struct cursor *c)
{
	int number;

	if (take_char(c, 'Z'))
		return true;
	return (take_char(c, '+') || take_char(c, '-')) && take_number(c, 2, 23, &number) &&
	       take_char(c, ':') && take_number(c, 2, 59, &number);
}

static bool take_fraction(struct cursor *c)
{
	const char *begin = c->at;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	return c->at > begin;
}

static bool take_rfc3339(struct cursor *c)
{
	struct tm tm;

	if (!take_number(c, 4, 9999, &tm.tm_year) || !take_char(c, '-') ||
		!take_number(c, 2, 12, &tm.tm_mon) || tm.tm_mon < 1 || !take_char(c, '-') ||
		!take_number(c, 2, 31, &tm.tm_mday) || tm.tm_mday < 1 || !take_char(c, 'T') ||
		!take_clock(c, &tm))
		return false;
	return (!take_char(c, '.') || take_fraction(c)) && take_zone(c);
}

bool time_is_rfc3339(struct slice text)
{
	struct cursor c = { text.at, text.at + text.size };

	return take_rfc3339(&c) && c.at == c.end;
}

/* --- without a year ----------------------------------------------------------------------------------- */

static bool take_bsd(struct cursor *c, struct tm *tm)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	*tm = (struct tm){ .tm_isdst = -1 };
	if (cursor_left(c) < BSD_SIZE)
		return false;
	while (tm->tm_mon < 12 && memcmp(c->at, months + 3 * (size_t)tm->tm_mon, 3) != 0)
		tm->tm_mon++;
	c->at += 3;
	if (tm->tm_mon == 12 || !take_char(c, ' '))
		return false;
	if (!(take_char(c, ' ') ? take_number(c, 1, 9, &tm->tm_mday)
				: take_number(c, 2, 31, &tm->tm_mday)))
		return false;
	return tm->tm_mday > 0 && take_char(c, ' ') && take_clock(c, tm);
}

/* The year in which it is nearest to now, but for one day not ahead of it. */
static time_t guess_year(struct tm *tm, time_t now)
{
	struct tm today, guess;
	time_t at;

	(void)localtime_r(&now, &today);
	for (int year = today.tm_year + 1;; year--) {
		guess = *tm;
		guess.tm_year = year;
		at = mktime(&guess);
		if (at <= now + DAY || year < today.tm_year)
			break;
	}
	*tm = guess;
	return at;
}

static void print_guess(const struct tm *tm, struct syslog *m)
{
	long minutes = tm->tm_gmtoff / 60;
	long distance = minutes < 0 ? -minutes : minutes;
	int size = snprintf(m->guessed, sizeof(m->guessed),
		"%04d-%02d-%02dT%02d:%02d:%02d%c%02ld:%02ld", (tm->tm_year + 1900) % 10000,
		tm->tm_mon + 1, tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec,
		minutes < 0 ? '-' : '+', distance / 60, distance % 60);

	m->time = (struct slice){ m->guessed,
		(size_t)size < sizeof(m->guessed) ? (size_t)size : sizeof(m->guessed) - 1 };
}

bool time_take(struct cursor *c, time_t now, struct syslog *m)
{
	struct cursor whole = *c, bsd = *c;
	struct tm tm;

	if (take_rfc3339(&whole) && take_char(&whole, ' ')) {
		m->time = (struct slice){ c->at, (size_t)(whole.at - c->at) - 1 };
		*c = whole;
		return true;
	}
	if (!take_bsd(&bsd, &tm) || !take_char(&bsd, ' '))
		return false;
	(void)guess_year(&tm, now);
	print_guess(&tm, m);
	*c = bsd;
	return true;
}
