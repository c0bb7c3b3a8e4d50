/* SPDX-License-Identifier: MIT */
/*
 * The lines of a pipeline that nobody watches, each in the form that stderr is there for:
 *
 *   the journal ($JOURNAL_STREAM)   entries with fields: PIPELINE, STAGE, INSTANCE, PRIORITY, and MESSAGE_ID for what has a name
 *   a terminal                      plain text
 *   anything else                   <N>text, N a syslog priority
 *
 * What is said again and again is counted: repeats.h. Calls are made by the supervisor's thread.
 */
#ifndef SUPERVISOR_JOURNAL_H
#define SUPERVISOR_JOURNAL_H

#include "supervisor/repeats.h"

enum journal_form { JOURNAL_FIELDS, JOURNAL_PLAIN, JOURNAL_PREFIXED };

struct journal {
	enum journal_form form;
	const char *program; /* SYSLOG_IDENTIFIER; borrowed */
	char pipeline[64];   /* "": not known yet */
	struct repeats *repeats;
};

/* 0 or -ENOMEM. */
int journal_open(struct journal *journal, const char *program);
/* Whose lines they are from now on. */
void journal_name(struct journal *journal, const char *pipeline);
/* What was counted is said, now. */
void journal_flush(struct journal *journal);
/* ... and it ends. */
void journal_close(struct journal *journal);
void journal_line(struct journal *journal, const struct log_line *line);
/* Every now and then: says how many lines were left out. */
void journal_tick(struct journal *journal);

/* The MESSAGE_ID of an event, 32 hexadecimal digits; NULL: it has none. The catalog has an entry for each. */
const char *journal_id(enum log_event event);

#endif
