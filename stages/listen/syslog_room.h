/* SPDX-License-Identifier: MIT */
/* What the files of the syslog parser share. */
#ifndef STAGES_LISTEN_SYSLOG_ROOM_H
#define STAGES_LISTEN_SYSLOG_ROOM_H

#include "syslog.h"
#include "string_put.h"

struct cursor {
	const char *at;
	const char *end;
};

static inline size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->at);
}

/* syslog_data.c: "-" or "[id a=\"1\"][id2]". NULL, or why it is none. */
const char *data_parse(struct cursor *c, struct syslog *m);
/* A map of maps, a list where a parameter is repeated; nil: there is none. */
void data_put(struct sl_writer *out, const struct syslog *m, struct sl_writer *scratch);

/* syslog_time.c */
bool time_is_rfc3339(struct slice text);
/* A time and the space behind it. False, and nothing is eaten: there is none. */
bool time_take(struct cursor *c, time_t now, struct syslog *m);

#endif
