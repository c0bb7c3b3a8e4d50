/* SPDX-License-Identifier: MIT */
/*
 * The frames of a link, wire version 1: what inlet and outlet say to each other, as bytes. Little-endian, fixed
 * order, no padding; every frame begins with version and type. A BATCH is this header in one message part and its
 * payload in the next; every other frame is one part.
 *
 * Decoding trusts nothing: a frame that is short, long, of another version or out of range is -EBADMSG and
 * leaves *ret alone. No allocation; lists are walked in place.
 */
#ifndef LINK_FRAME_H
#define LINK_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "record/batch.h"

#define FRAME_VERSION 1

enum frame_type {
	FRAME_HELLO = 1, /* inlet: who I am; the first frame of an epoch */
	FRAME_GRANT,     /* inlet: `count` batches were begun; the wish */
	FRAME_SETTLED,   /* inlet: one identity, with its counts */
	FRAME_FAILED,    /* inlet: give this identity to another, reason */
	FRAME_PONG,      /* inlet: alive */
	FRAME_BYE,       /* inlet: leaving, after the sentinel */
	FRAME_BATCH,     /* outlet */
	FRAME_SENTINEL,  /* outlet: nothing more follows; how */
	FRAME_PING,      /* outlet: floors of all live origins; alive? */
};

struct frame_hello {
	uint32_t stage;
	uint32_t instance;
	uint32_t epoch;        /* of the inlet's process */
	uint32_t outlet_epoch; /* of the process it wants to talk to */
};

struct frame_grant {
	uint32_t count;
	uint32_t wish; /* records per batch, >= 1 */
};

/* One cell of a tally: see tally.h. */
struct frame_cell {
	uint32_t index;
	uint64_t value;
};

struct frame_settled {
	struct batch_id id;
	uint64_t received; /* records, counted by the receiver */
	uint32_t cell_count;
	const uint8_t *cells; /* borrowed from the frame: frame_cell_at */
};

struct frame_failed {
	struct batch_id id;
	const char *reason; /* borrowed, not 0-terminated */
	uint32_t reason_size;
};

struct frame_floor {
	uint64_t origin;
	uint64_t floor;
};

struct frame_ping {
	uint32_t floor_count;
	const uint8_t *floors; /* borrowed: frame_floor_at */
};

#define FRAME_FIXED_MAX 128 /* no frame without a list is longer */
#define FRAME_CELL_SIZE 12
#define FRAME_FLOOR_SIZE 16
#define FRAME_REASON_MAX 1000

/* The type of a well-begun frame of our version, or -EBADMSG. */
int frame_type(const uint8_t *data, size_t size);

/* Each encoder writes to `data`, which has room for what frame_*_size or FRAME_FIXED_MAX says; the size written. */
size_t frame_put_hello(uint8_t *data, const struct frame_hello *hello);
size_t frame_put_grant(uint8_t *data, const struct frame_grant *grant);
size_t frame_settled_size(uint32_t tally_size); /* at most */
/* Of the `tally_size` cells of a tally those that are not 0 travel. */
size_t frame_put_settled(uint8_t *data, const struct batch_id *id, uint64_t received,
	const uint64_t *tally, uint32_t tally_size);
size_t frame_put_failed(uint8_t *data, const struct batch_id *id,
	const char *reason);                                /* FRAME_FIXED_MAX + FRAME_REASON_MAX */
size_t frame_put_bare(uint8_t *data, enum frame_type type); /* PONG, BYE */
size_t frame_put_batch(uint8_t *data, const struct batch_head *head, uint64_t payload_size);
size_t frame_put_sentinel(uint8_t *data, uint32_t how);
size_t frame_ping_size(uint32_t floor_count);
size_t frame_put_ping(uint8_t *data, const struct frame_floor *floors, uint32_t floor_count);

/* 0 or -EBADMSG. `data` begins with the version, as received. */
int frame_get_hello(const uint8_t *data, size_t size, struct frame_hello *ret);
int frame_get_grant(const uint8_t *data, size_t size, struct frame_grant *ret);
int frame_get_settled(const uint8_t *data, size_t size, struct frame_settled *ret);
int frame_get_failed(const uint8_t *data, size_t size, struct frame_failed *ret);
int frame_get_batch(
	const uint8_t *data, size_t size, struct batch_head *ret, uint64_t *ret_payload_size);
int frame_get_sentinel(const uint8_t *data, size_t size, uint32_t *ret_how);
int frame_get_ping(const uint8_t *data, size_t size, struct frame_ping *ret);

struct frame_cell frame_cell_at(const struct frame_settled *settled, uint32_t i);
struct frame_floor frame_floor_at(const struct frame_ping *ping, uint32_t i);

#endif
