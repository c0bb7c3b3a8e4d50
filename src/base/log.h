/* SPDX-License-Identifier: MIT */
/*
 * One line per event, to stderr. A stage process writes `<N>text`, or `<N.E>text`, N a syslog priority and E an event; the supervisor reads that from
 * the child's stderr, adds who it was and hands it to whoever shows it. Thread-safe: a line is one write(2).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

/* What a line is about, where that is worth a name: a journal has an identifier and an explanation for each. */
enum log_event {
	LOG_EVENT_NONE,
	LOG_EVENT_READY,     /* all stages are ready */
	LOG_EVENT_RESUMED,   /* it goes on where it stood */
	LOG_EVENT_STOPPING,  /* it drains */
	LOG_EVENT_ENDED,     /* everything that was read is settled */
	LOG_EVENT_FAILED,    /* the pipeline gave up */
	LOG_EVENT_DIED,      /* a process died, and has a successor */
	LOG_EVENT_SUSPECT,   /* ... and a record may be the reason */
	LOG_EVENT_DISK_FULL, /* ... for want of space */
	LOG_EVENT_SILENT,    /* a process answers no ping */
	LOG_EVENT_REFUSED,   /* a record was given up */
	LOG_EVENT_HELD,      /* a task held its worker for long */
	LOG_EVENT_RELOADING,
	LOG_EVENT_RELOADED,
	LOG_EVENT_NOT_RELOADED,
	LOG_EVENT_NO_CONTROL, /* nobody can ask it */
	LOG_EVENT_BAD_CONFIG,
	LOG_EVENT_STALLED,    /* a process stood for stall_timeout, and was ended */
	LOG_EVENT_AWAY,       /* a server is waited for */
	LOG_EVENT_DISK_AGAIN, /* there is space again */
	LOG_EVENT_HELD_UP,    /* a checkpoint cannot be written now */
	LOG_EVENT_STORE_FULL, /* a store holds all that it may */
	LOG_EVENT_DROPPED,    /* records were given up unread or unkept */
	LOG_EVENT_MISSED,     /* something was gone before it was read */
	LOG_EVENT_LIMIT,      /* no more than an option says */
	LOG_EVENT_WENT_BACK,  /* after a power cut */
	LOG_EVENT_NOT_SAFE,   /* ... would be lost by one now */
	LOG_EVENT_SAFE,       /* not any more */
	LOG_EVENT_STUCK,      /* it stands, and cannot help itself */
	LOG_EVENT_MORE,       /* lines that were left out */
	LOG_EVENT_NO_MEMORY,  /* a process was killed for want of memory */
	LOG_EVENTS,
};

/* A line for whoever shows it. */
struct log_line {
	int level; /* a syslog priority */
	enum log_event event;
	const char *stage; /* whose; NULL: nobody's */
	unsigned instance; /* with stage */
	const char *text;
};

/*
 * What came from a file or a user must not steer a terminal or break a journal: other bytes become \\xNN. How many bytes it made of `size`,
 * never more than `room`, and no 0 behind them.
 */
size_t log_clean(const char *from, size_t size, char *to, size_t room);
/* "vat.1: ", or "": into `text`, which is returned. */
const char *log_whose(const struct log_line *line, char *text, size_t size);

#define LOG_LINE_MAX 4096

/* Is stderr the journal's ($JOURNAL_STREAM)? It reads <N> in front of a line as its priority. */
bool log_is_journal(void);
/* true: lines begin with <N> or <N.E>. Once, before any thread. */
void log_set_prefixed(bool prefixed);
/* Lines below this are not written. Once, before any thread. Default INFO. */
void log_set_level(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, with its name in front for the supervisor. */
void log_event(enum log_event event, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void log_vwrite(enum log_event event, enum log_level level, const char *format, va_list args);

#endif
