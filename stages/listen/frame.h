/* SPDX-License-Identifier: MIT */
/*
 * What comes over one connection, cut into messages: lines, or RFC 6587's octet counts ("11 hello world"), or each message by its first
 * byte, as syslog senders do both. Bytes are given in with frames_room and frames_added; a message is given out as soon as it is whole, and
 * borrowed until the next call. What is longer than `max` is given once, as far as it is there, and the rest of it is passed over: so the
 * memory of a connection is bounded by `max` and one read.
 */
#ifndef STAGES_LISTEN_FRAME_H
#define STAGES_LISTEN_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum framing { FRAMING_AUTO, FRAMING_NEWLINE, FRAMING_OCTETS };

struct frame_rules {
	enum framing framing; /* AUTO: a digit begins an octet count */
	bool is_datagram;     /* all that was given in is one message, framing or not */
	size_t max;           /* bytes of a message */
};

/* Unread bytes are [begin, size); there is no newline in [begin, scanned). Zeroed is empty. */
struct frames {
	char *data;
	size_t begin, size, capacity;
	size_t scanned;
	uint64_t skip;    /* bytes of a counted message that was too long */
	bool skips_line;  /* up to the next newline */
	bool is_at_end;   /* nothing more will come */
	bool has_trouble; /* where the next message begins cannot be known */
};

enum frame_outcome {
	FRAME_NONE,     /* nothing whole is there */
	FRAME_WHOLE,    /* a message */
	FRAME_TOO_LONG, /* the begin of one that is longer than `max` */
	FRAME_CUT,      /* the begin of a counted one, behind which the connection ended */
	FRAME_BROKEN, /* no octet count where one must be: nothing more can be read of this connection */
};

/* Room for `size` more bytes behind what is there; NULL: no memory. */
char *frames_room(struct frames *frames, size_t size);
void frames_added(struct frames *frames, size_t size);
/* Nothing more will come: a rest without its newline is a message. */
void frames_end(struct frames *frames);
/* The next. *ret_text is set for all but NONE. */
enum frame_outcome frames_next(struct frames *frames, const struct frame_rules *rules,
	const char **ret_text, size_t *ret_size);
/* A begun message is there. */
bool frames_has_part(const struct frames *frames);
/* Gives back memory that is not needed to wait for more. */
void frames_shrink(struct frames *frames);
void frames_fini(struct frames *frames);

#endif
