/* SPDX-License-Identifier: MIT */
/*
 * See frame.h. A writer and a reader that step through the bytes; the reader remembers that it ran short, so that a
 * decoder reads all its fields and asks once at the end.
 */
#include "link/frame.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { BATCH_AGAIN = 1, BATCH_ORIGIN_DONE = 2, BATCH_FLAGS = 3 };

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool is_short;
};

static uint8_t *put_u16(uint8_t *at, uint16_t x)
{
	x = htole16(x);
	memcpy(at, &x, sizeof(x));
	return at + sizeof(x);
}

static uint8_t *put_u32(uint8_t *at, uint32_t x)
{
	x = htole32(x);
	memcpy(at, &x, sizeof(x));
	return at + sizeof(x);
}

static uint8_t *put_u64(uint8_t *at, uint64_t x)
{
	x = htole64(x);
	memcpy(at, &x, sizeof(x));
	return at + sizeof(x);
}

static uint8_t *put_type(uint8_t *at, enum frame_type type)
{
	*at++ = FRAME_VERSION;
	*at++ = (uint8_t)type;
	return at;
}

static uint8_t *put_id(uint8_t *at, const struct batch_id *id)
{
	at = put_u64(at, id->run);
	at = put_u64(at, id->origin);
	at = put_u64(at, id->start);
	at = put_u64(at, id->end);
	return put_u64(at, id->path);
}

static bool get(struct reader *r, void *x, size_t size)
{
	if ((size_t)(r->end - r->at) < size) {
		r->is_short = true;
		memset(x, 0, size);
		return false;
	}
	memcpy(x, r->at, size);
	r->at += size;
	return true;
}

static uint16_t get_u16(struct reader *r)
{
	uint16_t x;

	(void)get(r, &x, sizeof(x));
	return le16toh(x);
}

static uint32_t get_u32(struct reader *r)
{
	uint32_t x;

	(void)get(r, &x, sizeof(x));
	return le32toh(x);
}

static uint64_t get_u64(struct reader *r)
{
	uint64_t x;

	(void)get(r, &x, sizeof(x));
	return le64toh(x);
}

static struct batch_id get_id(struct reader *r)
{
	struct batch_id id = { 0 };

	id.run = get_u64(r);
	id.origin = get_u64(r);
	id.start = get_u64(r);
	id.end = get_u64(r);
	id.path = get_u64(r);
	return id;
}

/* A reader behind version and type; one that is short when they are not these. */
static struct reader open_frame(const uint8_t *data, size_t size, enum frame_type type)
{
	struct reader r = { .at = data, .end = data + size };

	if (frame_type(data, size) == (int)type)
		r.at += 2;
	else
		r.is_short = true;
	return r;
}

static bool is_whole(const struct reader *r)
{
	return !r->is_short && r->at == r->end;
}

int frame_type(const uint8_t *data, size_t size)
{
	if (size < 2 || data[0] != FRAME_VERSION || data[1] < FRAME_HELLO || data[1] > FRAME_PING)
		return -EBADMSG;
	return data[1];
}

size_t frame_put_hello(uint8_t *data, const struct frame_hello *hello)
{
	uint8_t *at = put_type(data, FRAME_HELLO);

	at = put_u32(at, hello->stage);
	at = put_u32(at, hello->instance);
	at = put_u32(at, hello->epoch);
	at = put_u32(at, hello->outlet_epoch);
	return (size_t)(at - data);
}

int frame_get_hello(const uint8_t *data, size_t size, struct frame_hello *ret)
{
	struct reader r = open_frame(data, size, FRAME_HELLO);
	struct frame_hello hello = { 0 };

	hello.stage = get_u32(&r);
	hello.instance = get_u32(&r);
	hello.epoch = get_u32(&r);
	hello.outlet_epoch = get_u32(&r);
	if (!is_whole(&r))
		return -EBADMSG;
	*ret = hello;
	return 0;
}

size_t frame_put_grant(uint8_t *data, const struct frame_grant *grant)
{
	uint8_t *at = put_type(data, FRAME_GRANT);

	at = put_u32(at, grant->count);
	at = put_u32(at, grant->wish);
	return (size_t)(at - data);
}

int frame_get_grant(const uint8_t *data, size_t size, struct frame_grant *ret)
{
	struct reader r = open_frame(data, size, FRAME_GRANT);
	struct frame_grant grant = { 0 };

	grant.count = get_u32(&r);
	grant.wish = get_u32(&r);
	if (!is_whole(&r) || grant.wish == 0)
		return -EBADMSG;
	*ret = grant;
	return 0;
}

size_t frame_settled_size(uint32_t tally_size)
{
	return FRAME_FIXED_MAX + (size_t)tally_size * FRAME_CELL_SIZE;
}

size_t frame_put_settled(uint8_t *data, const struct batch_id *id, uint64_t received,
	const uint64_t *tally, uint32_t tally_size)
{
	uint8_t *at = put_u64(put_id(put_type(data, FRAME_SETTLED), id), received);
	uint8_t *count_at = at;
	uint32_t count = 0;

	at += sizeof(count);
	for (uint32_t i = 0; i < tally_size; i++) {
		if (tally[i] == 0)
			continue;
		at = put_u64(put_u32(at, i), tally[i]);
		count++;
	}
	(void)put_u32(count_at, count);
	return (size_t)(at - data);
}

int frame_get_settled(const uint8_t *data, size_t size, struct frame_settled *ret)
{
	struct reader r = open_frame(data, size, FRAME_SETTLED);
	struct frame_settled settled = { 0 };

	settled.id = get_id(&r);
	settled.received = get_u64(&r);
	settled.cell_count = get_u32(&r);
	settled.cells = r.at;
	if (r.is_short || (size_t)(r.end - r.at) != (size_t)settled.cell_count * FRAME_CELL_SIZE)
		return -EBADMSG;
	*ret = settled;
	return 0;
}

struct frame_cell frame_cell_at(const struct frame_settled *settled, uint32_t i)
{
	struct reader r = {
		.at = settled->cells + (size_t)i * FRAME_CELL_SIZE,
		.end = settled->cells + ((size_t)i + 1) * FRAME_CELL_SIZE,
	};
	struct frame_cell cell = { 0 };

	cell.index = get_u32(&r);
	cell.value = get_u64(&r);
	return cell;
}

size_t frame_put_failed(uint8_t *data, const struct batch_id *id, const char *reason)
{
	uint8_t *at = put_id(put_type(data, FRAME_FAILED), id);
	size_t size = strnlen(reason, FRAME_REASON_MAX);

	at = put_u32(at, (uint32_t)size);
	memcpy(at, reason, size);
	return (size_t)(at + size - data);
}

int frame_get_failed(const uint8_t *data, size_t size, struct frame_failed *ret)
{
	struct reader r = open_frame(data, size, FRAME_FAILED);
	struct frame_failed failed = { 0 };

	failed.id = get_id(&r);
	failed.reason_size = get_u32(&r);
	failed.reason = (const char *)r.at;
	if (r.is_short || (size_t)(r.end - r.at) != failed.reason_size ||
		failed.reason_size > FRAME_REASON_MAX)
		return -EBADMSG;
	*ret = failed;
	return 0;
}

size_t frame_put_bare(uint8_t *data, enum frame_type type)
{
	return (size_t)(put_type(data, type) - data);
}

size_t frame_put_batch(uint8_t *data, const struct batch_head *head, uint64_t payload_size)
{
	uint8_t *at = put_id(put_type(data, FRAME_BATCH), &head->id);

	at = put_u64(at, head->floor);
	at = put_u64(at, head->after_origin);
	at = put_u64(at, head->after_end);
	at = put_u32(at, head->count);
	at = put_u16(at, head->attempt);
	at = put_u16(at, (uint16_t)((head->again ? BATCH_AGAIN : 0) |
				    (head->origin_done ? BATCH_ORIGIN_DONE : 0)));
	at = put_u64(at, payload_size);
	return (size_t)(at - data);
}

int frame_get_batch(
	const uint8_t *data, size_t size, struct batch_head *ret, uint64_t *ret_payload_size)
{
	struct reader r = open_frame(data, size, FRAME_BATCH);
	struct batch_head head = { .id = get_id(&r) };
	uint16_t flags;
	uint64_t payload_size;

	head.floor = get_u64(&r);
	head.after_origin = get_u64(&r);
	head.after_end = get_u64(&r);
	head.count = get_u32(&r);
	head.attempt = get_u16(&r);
	flags = get_u16(&r);
	payload_size = get_u64(&r);
	if (!is_whole(&r) || (flags & ~BATCH_FLAGS) || head.id.start > head.id.end ||
		head.count > payload_size)
		return -EBADMSG;
	head.again = flags & BATCH_AGAIN;
	head.origin_done = flags & BATCH_ORIGIN_DONE;
	*ret = head;
	*ret_payload_size = payload_size;
	return 0;
}

size_t frame_put_sentinel(uint8_t *data, uint32_t how)
{
	return (size_t)(put_u32(put_type(data, FRAME_SENTINEL), how) - data);
}

int frame_get_sentinel(const uint8_t *data, size_t size, uint32_t *ret_how)
{
	struct reader r = open_frame(data, size, FRAME_SENTINEL);
	uint32_t how = get_u32(&r);

	if (!is_whole(&r) || how > 1)
		return -EBADMSG;
	*ret_how = how;
	return 0;
}

size_t frame_ping_size(uint32_t floor_count)
{
	return FRAME_FIXED_MAX + (size_t)floor_count * FRAME_FLOOR_SIZE;
}

size_t frame_put_ping(uint8_t *data, const struct frame_floor *floors, uint32_t floor_count)
{
	uint8_t *at = put_u32(put_type(data, FRAME_PING), floor_count);

	for (uint32_t i = 0; i < floor_count; i++) {
		at = put_u64(at, floors[i].origin);
		at = put_u64(at, floors[i].floor);
	}
	return (size_t)(at - data);
}

int frame_get_ping(const uint8_t *data, size_t size, struct frame_ping *ret)
{
	struct reader r = open_frame(data, size, FRAME_PING);
	struct frame_ping ping = { 0 };

	ping.floor_count = get_u32(&r);
	ping.floors = r.at;
	if (r.is_short || (size_t)(r.end - r.at) != (size_t)ping.floor_count * FRAME_FLOOR_SIZE)
		return -EBADMSG;
	*ret = ping;
	return 0;
}

struct frame_floor frame_floor_at(const struct frame_ping *ping, uint32_t i)
{
	struct reader r = {
		.at = ping->floors + (size_t)i * FRAME_FLOOR_SIZE,
		.end = ping->floors + ((size_t)i + 1) * FRAME_FLOOR_SIZE,
	};
	struct frame_floor floor = { 0 };

	floor.origin = get_u64(&r);
	floor.floor = get_u64(&r);
	return floor;
}
