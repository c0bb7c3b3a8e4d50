/* SPDX-License-Identifier: MIT */
/* See log.h. */
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_prefixed;
static enum log_level threshold = LOG_LEVEL_INFO;

void log_set_prefixed(bool prefixed)
{
	is_prefixed = prefixed;
}

void log_set_level(enum log_level level)
{
	threshold = level;
}

void log_vwrite(enum log_level level, const char *format, va_list args)
{
	char line[LOG_LINE_MAX];
	int head = 0;
	int size;

	if (level > threshold)
		return;
	if (is_prefixed)
		head = snprintf(line, sizeof(line), "<%d>", level);
	size = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
	if (size < 0)
		return;
	if (size > (int)sizeof(line) - head - 2)
		size = (int)sizeof(line) - head - 2;
	line[head + size] = '\n';
	/* Nothing can be done about a log that cannot be written. */
	if (write(STDERR_FILENO, line, (size_t)(head + size + 1)) < 0)
		return;
}

void log_write(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_vwrite(level, format, args);
	va_end(args);
}
