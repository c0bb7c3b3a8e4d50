/* SPDX-License-Identifier: MIT */
/*
 * One line per event, to stderr. A stage process writes `<N>text`, N a syslog priority; the supervisor reads that from
 * the child's stderr, adds who it was and hands it to whoever shows it. Thread-safe: a line is one write(2).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

#define LOG_LINE_MAX 4096

/* true: lines begin with <N>. Once, before any thread. */
void log_set_prefixed(bool prefixed);
/* Lines below this are not written. Once, before any thread. Default INFO. */
void log_set_level(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_vwrite(enum log_level level, const char *format, va_list args);

#endif
