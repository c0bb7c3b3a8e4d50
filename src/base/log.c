/* SPDX-License-Identifier: MIT */
/* See log.h. */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"

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

bool log_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* How many bytes at `text` are one character of UTF-8 that may be shown; 0: none. */
static size_t printable(const unsigned char *text, size_t left)
{
	size_t size = *text < 0x80 ? 1 : *text >= 0xf0 ? 4 : *text >= 0xe0 ? 3 : 2;

	if (*text < 0x20 || *text == 0x7f || (*text >= 0x80 && *text < 0xc2) || *text > 0xf4 ||
		size > left)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

size_t log_clean(const char *from, size_t size, char *to, size_t room)
{
	size_t used = 0;

	for (size_t i = 0; i < size && used + 5 < room;) {
		size_t good = printable((const unsigned char *)from + i, size - i);

		if (good > 0)
			memcpy(to + used, from + i, good);
		else
			(void)snprintf(to + used, 5, "\\x%02x", (unsigned char)from[i]);
		used += good > 0 ? good : 4;
		i += good > 0 ? good : 1;
	}
	return used;
}

const char *log_whose(const struct log_line *line, char *text, size_t size)
{
	text[0] = '\0';
	if (line->stage)
		(void)snprintf(text, size, "%s.%u: ", line->stage, line->instance);
	return text;
}

void log_vwrite(enum log_event event, enum log_level level, const char *format, va_list args)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX];
	size_t head = 0;
	int size;

	if (level > threshold)
		return;
	size = vsnprintf(text, sizeof(text), format, args);
	if (size < 0)
		return;
	(void)secret_hide(text);
	if (is_prefixed && event != LOG_EVENT_NONE)
		head = (size_t)snprintf(line, sizeof(line), "<%d.%d>", level, event);
	else if (is_prefixed)
		head = (size_t)snprintf(line, sizeof(line), "<%d>", level);
	head += log_clean(text, strnlen(text, sizeof(text)), line + head, sizeof(line) - head - 1);
	line[head] = '\n';
	/* Nothing can be done about a log that cannot be written. */
	if (write(STDERR_FILENO, line, head + 1) < 0)
		return;
}

void log_write(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_vwrite(LOG_EVENT_NONE, level, format, args);
	va_end(args);
}

void log_event(enum log_event event, enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_vwrite(event, level, format, args);
	va_end(args);
}
