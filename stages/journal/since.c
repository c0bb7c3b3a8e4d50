/* SPDX-License-Identifier: MIT */
/* See since.h. */
#include "since.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000)

static bool parse_ago(const char *text, uint64_t now, uint64_t *ret)
{
	static const char units[] = "smhdw";
	static const uint64_t seconds[] = { 1, 60, 3600, 86400, 604800 };
	char *end;
	unsigned long long count = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;
	uint64_t ago;

	if (end == text || *text == '-' || *text == '+' || !unit || end[1])
		return false;
	ago = seconds[unit - units] * SECOND;
	*ret = count > now / ago ? 0 : now - count * ago;
	return true;
}

static bool parse_time(const char *text, uint64_t *ret)
{
	static const char *const formats[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
		"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S" };

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *end = strptime(text, formats[i], &tm);
		bool is_utc = end && strcmp(end, "Z") == 0;
		time_t time;

		if (!end || (*end && !is_utc))
			continue;
		time = is_utc ? timegm(&tm) : mktime(&tm);
		if (time < 0)
			return false;
		*ret = (uint64_t)time * SECOND;
		return true;
	}
	return false;
}

bool since_parse(const char *text, uint64_t now, uint64_t *ret)
{
	if (strcmp(text, "now") == 0) {
		*ret = now;
		return true;
	}
	return parse_ago(text, now, ret) || parse_time(text, ret);
}
