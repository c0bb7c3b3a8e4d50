/* SPDX-License-Identifier: MIT */
/* See status.h. */
#include "status.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define DAY 86400

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void set_bit(struct status_set *set, int status)
{
	set->bits[status / 64] |= UINT64_C(1) << status % 64;
}

int status_add(struct status_set *set, const char *text)
{
	int first = 0;

	if (strlen(text) != 3 || text[0] < '1' || text[0] > '5')
		return -EINVAL;
	first = (text[0] - '0') * 100;
	if (strcmp(text + 1, "xx") == 0) {
		for (int i = 0; i < 100; i++)
			set_bit(set, first + i);
		return 0;
	}
	if (!is_digit(text[1]) || !is_digit(text[2]))
		return -EINVAL;
	set_bit(set, first + (text[1] - '0') * 10 + text[2] - '0');
	return 0;
}

bool status_has(const struct status_set *set, long status)
{
	return status >= 100 && status <= STATUS_MAX && set->bits[status / 64] >> status % 64 & 1;
}

/* The three forms that RFC 9110 has for a date. */
static bool parse_date(const char *text, int64_t *ret_time)
{
	static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT",
		"%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y" };

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm tm = { 0 };
		const char *end = strptime(text, forms[i], &tm);

		if (end && *end == '\0') {
			*ret_time = timegm(&tm);
			return true;
		}
	}
	return false;
}

static bool parse_seconds(const char *text, int64_t *ret_seconds)
{
	int64_t seconds = 0;

	if (!is_digit(*text))
		return false;
	for (; is_digit(*text); text++)
		seconds = seconds < DAY ? seconds * 10 + (*text - '0') : DAY;
	*ret_seconds = seconds;
	return *text == '\0';
}

int64_t status_retry_after(const char *text, int64_t wall_now)
{
	int64_t seconds;

	while (isspace((unsigned char)*text))
		text++;
	if (!parse_seconds(text, &seconds)) {
		if (!parse_date(text, &seconds))
			return -1;
		seconds -= wall_now;
	}
	if (seconds < 0)
		return 0;
	return (seconds < DAY ? seconds : DAY) * SL_SECOND;
}
