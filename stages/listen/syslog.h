/* SPDX-License-Identifier: MIT */
/*
 * Syslog messages: RFC 5424, and what RFC 3164 found in use before it. Parsing copies nothing and never fails half: either the whole
 * is understood, or there is a reason. Nothing here knows where a message came from.
 *
 *     <34>1 2003-10-11T22:14:15.003Z host su 17 ID47 [id a="1"] BOM text       RFC 5424
 *     <34>Oct 11 22:14:15 host su[17]: text                                    RFC 3164
 *     <34>2003-10-11T22:14:15.003Z host su[17]: text                           the same with a whole time, as rsyslog sends it
 *     <34>su[17]: text, <34>Oct 11 22:14:15 su[17]: text                       without a host or a time, as programs send it to /dev/log
 *     <34>anything                                                             a message and nothing else
 */
#ifndef STAGES_LISTEN_SYSLOG_H
#define STAGES_LISTEN_SYSLOG_H

#include <time.h>

#include <sluice/record.h>

/* at == NULL: there is none. */
struct slice {
	const char *at;
	size_t size;
};

struct syslog {
	unsigned facility; /* 0 to 23 */
	unsigned severity; /* 0, the worst, to 7 */
	struct slice time; /* RFC 3339; of the message, or in `guessed` */
	struct slice host, app, procid, msgid;
	struct slice data; /* the elements of structured data, checked */
	uint32_t elements; /* of them */
	struct slice message;
	char guessed[32];
};

/* Elements and parameters of one message's structured data; more are refused. */
#define SYSLOG_DATA_MAX 256
/* Pairs that syslog_put puts. */
#define SYSLOG_FIELDS 9

/* `now`: the times of RFC 3164 have neither year nor zone; they are of this machine's, near to now. NULL, or why it is none; *ret borrows from text and itself. */
const char *syslog_parse(const char *text, size_t size, time_t now, struct syslog *ret);
/* The pairs of its record, after sl_put_map, which the caller may have made for more. `scratch` is changed. */
void syslog_put(struct sl_writer *out, const struct syslog *message, struct sl_writer *scratch);

#endif
