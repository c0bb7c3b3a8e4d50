/* SPDX-License-Identifier: MIT */
/*
 * See outlet.h, outlet_room.h. The instances downstream: who they are, what they say of what they were sent, and what goes to another when one of them
 * refuses it or was reaped. They are told the floors, what its successor need not wait for, and the end.
 */
#include "link/outlet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/log.h"
#include "link/frame.h"
#include "link/outlet_room.h"
#include "link/tally.h"

#define PING_INTERVAL (1 * NSEC_PER_SEC) /* when nothing changed */
#define SILENCE_LIMIT (5 * NSEC_PER_SEC) /* without any frame while PINGs go out */
#define FAILED_MAX 5                     /* times that a batch is given again for FAILED */

/* --- floors and the end ------------------------------------------------------------------------- */

struct floor_list {
	struct frame_floor *items;
	uint32_t count;
};

static void floor_list_add(void *user, uint64_t origin, uint64_t floor)
{
	struct floor_list *list = user;

	list->items[list->count++] = (struct frame_floor){ origin, floor };
}

/* Writes a PING with all floors into the scratch buffer; its size, 0 without memory. */
static size_t make_ping(struct outlet *outlet)
{
	uint32_t count = floors_count(outlet->env->floors);
	struct floor_list list = { .items = calloc(count ? count : 1, sizeof(*list.items)) };
	size_t size = frame_ping_size(count);

	if (!list.items)
		return 0;
	if (size > outlet->scratch_size) {
		free(outlet->scratch);
		outlet->scratch = malloc(size);
		outlet->scratch_size = outlet->scratch ? size : 0;
	}
	if (outlet->scratch) {
		floors_walk(outlet->env->floors, floor_list_add, &list);
		size = frame_put_ping(outlet->scratch, list.items, list.count);
	}
	free(list.items);
	return outlet->scratch ? size : 0;
}

/*
 * With the last floors before it: who has ended fills holes for others still, and must not fill those that nobody would fill
 * beside it, because the process that could is dead and has nothing to take any more.
 */
static void send_sentinel(struct outlet *outlet, struct outlet_peer *peer)
{
	uint8_t frame[FRAME_FIXED_MAX];
	int next = outlet_peer_next(peer->state, OUTLET_PEER_SENTINEL);
	size_t size;

	if (next < 0)
		return;
	peer->state = next;
	size = make_ping(outlet);
	if (size > 0)
		(void)outlet_send_to(outlet, peer, outlet->scratch, size, 0);
	(void)outlet_send_to(outlet, peer, frame, frame_put_sentinel(frame, outlet->how), 0);
}

static void send_sentinels(struct outlet *outlet)
{
	if (!outlet->is_ending || outlet->entry_count > 0)
		return;
	for (uint32_t i = 0; i < outlet->edge_count; i++)
		for (uint32_t p = 0; p < outlet->edges[i].to->processes; p++)
			send_sentinel(outlet, &outlet->edges[i].peers[p]);
}

void outlet_end(struct outlet *outlet, enum word_how how)
{
	outlet->is_ending = true;
	outlet->how = how;
	send_sentinels(outlet);
}

bool outlet_is_done(const struct outlet *outlet)
{
	for (uint32_t i = 0; i < outlet->edge_count; i++)
		for (uint32_t p = 0; p < outlet->edges[i].to->processes; p++)
			if (outlet->edges[i].peers[p].state != OUTLET_PEER_DONE)
				return false;
	return true;
}

/* --- what they say ------------------------------------------------------------------------------ */

struct hole {
	struct outlet *outlet;
	struct outlet_peer *peer;
};

/* What was settled above the floor goes to a new epoch as empty batches, so that it never waits for a hole. */
static void send_hole(void *user, struct spans_key key, struct span span)
{
	struct hole *hole = user;
	struct batch_head head = {
		.id = { .run = key.run,
			.origin = key.origin,
			.start = span.start,
			.end = span.end,
			.path = key.path },
		.again = true,
	};
	struct sl_batch empty = { .head = head };

	/* It will be begun like any other, and say so. */
	hole->peer->credit--;
	outlet_send_batch(hole->outlet, hole->peer, &empty, true, 0);
}

static void greet_peer(struct outlet *outlet, struct edge *edge, struct outlet_peer *peer)
{
	struct hole hole = { outlet, peer };
	size_t size = make_ping(outlet);

	if (size > 0)
		(void)outlet_send_to(outlet, peer, outlet->scratch, size, 0);
	spans_walk(edge->is_partitioned ? peer->settled : edge->settled, send_hole, &hole);
}

static struct edge *edge_to(struct outlet *outlet, uint32_t stage)
{
	for (uint32_t i = 0; i < outlet->edge_count; i++)
		if (outlet->edges[i].stage == stage)
			return &outlet->edges[i];
	return NULL;
}

static int receive_hello(struct outlet *outlet, const char *routing, size_t routing_size,
	const uint8_t *data, size_t size)
{
	struct link_env *env = outlet->env;
	struct frame_hello hello;
	struct edge *edge;
	struct outlet_peer *peer;
	int next;

	if (frame_get_hello(data, size, &hello) < 0)
		return -EBADMSG;
	edge = edge_to(outlet, hello.stage);
	if (!edge || hello.instance >= edge->to->processes || routing_size > OUTLET_ROUTING_MAX)
		return -EBADMSG;
	peer = &edge->peers[hello.instance];
	if (hello.outlet_epoch != env->epoch || hello.epoch < peer->min_epoch)
		return 0; /* an older epoch */
	if (peer->state != OUTLET_PEER_ABSENT)
		env->read_words(env->user);
	next = outlet_peer_next(peer->state, OUTLET_PEER_HELLO);
	if (next < 0)
		return -EBADMSG;
	peer->state = next;
	peer->epoch = hello.epoch;
	peer->min_epoch = hello.epoch;
	peer->credit = edge->to->queue;
	peer->heard_ns = clock_now();
	peer->pinged_ns = peer->heard_ns;
	peer->is_silent = false;
	memcpy(peer->routing, routing, routing_size);
	peer->routing_size = routing_size;
	greet_peer(outlet, edge, peer);
	return 0;
}

static struct outlet_peer *peer_named(
	struct outlet *outlet, const char *routing, size_t size, struct edge **ret_edge)
{
	for (uint32_t i = 0; i < outlet->edge_count; i++) {
		for (uint32_t p = 0; p < outlet->edges[i].to->processes; p++) {
			struct outlet_peer *peer = &outlet->edges[i].peers[p];

			if (peer->state == OUTLET_PEER_ABSENT || peer->routing_size != size ||
				memcmp(peer->routing, routing, size) != 0)
				continue;
			*ret_edge = &outlet->edges[i];
			return peer;
		}
	}
	return NULL;
}

/* The duty of that identity which this very peer holds. */
static struct duty *find_duty(struct outlet *outlet, struct edge *edge, struct outlet_peer *peer,
	const struct batch_id *id)
{
	struct duty_key key = { .id = *id, .edge = (uint64_t)(edge - outlet->edges) };
	struct duty *duty = NULL;

	HASH_FIND(hh, outlet->duties, &key, sizeof(key), duty);
	if (!duty || duty->peer == peer)
		return duty;
	/* The same identity twice in flight: it was made again after a death upstream, while the first lives on. */
	DL_FOREACH(peer->sent, duty)
	{
		if (memcmp(&duty->key, &key, sizeof(key)) == 0)
			return duty;
	}
	return NULL;
}

/* ... and of two that it holds, because one was empty and filled a hole above, that with so many records. */
static struct duty *find_settled(struct outlet *outlet, struct edge *edge, struct outlet_peer *peer,
	const struct frame_settled *settled)
{
	struct duty *first = find_duty(outlet, edge, peer, &settled->id);
	struct duty *duty;

	if (!first || first->peer != peer || first->batch->head.count == settled->received)
		return first;
	DL_FOREACH(peer->sent, duty)
	{
		if (memcmp(&duty->key, &first->key, sizeof(duty->key)) == 0 &&
			duty->batch->head.count == settled->received)
			return duty;
	}
	return first;
}

static int count_settled(
	struct outlet *outlet, struct duty *duty, const struct frame_settled *settled)
{
	uint32_t size = tally_size(outlet->env->graph);
	uint64_t *tally = duty->entry->tally;

	for (uint32_t i = 0; i < settled->cell_count; i++)
		if (frame_cell_at(settled, i).index >= size)
			return -EBADMSG;
	for (uint32_t i = 0; i < settled->cell_count; i++) {
		struct frame_cell cell = frame_cell_at(settled, i);

		tally[cell.index] += cell.value;
	}
	tally[tally_sent(duty->edge->link)] += duty->batch->head.count;
	tally[tally_received(duty->edge->link)] += settled->received;
	return 0;
}

static void entry_settled(struct outlet *outlet, struct entry *entry)
{
	outlet->held -= entry->bytes;
	outlet->entry_count--;
	outlet->env->settled(outlet->env->user, entry->cookie, entry->tally);
	outlet_entry_free(entry);
}

static int remember_settled(struct outlet *outlet, struct edge *edge, struct outlet_peer *peer,
	const struct batch_id *id)
{
	struct spans_key key = { .run = id->run, .origin = id->origin, .path = id->path };

	if (id->end <= id->start || id->end <= floors_get(outlet->env->floors, id->origin))
		return 0;
	return spans_add(
		edge->is_partitioned ? &peer->settled : &edge->settled, key, id->start, id->end);
}

static int receive_settled(struct outlet *outlet, struct edge *edge, struct outlet_peer *peer,
	const uint8_t *data, size_t size)
{
	struct frame_settled settled;
	struct duty *duty;
	struct entry *entry;

	if (frame_get_settled(data, size, &settled) < 0)
		return -EBADMSG;
	duty = find_settled(outlet, edge, peer, &settled);
	if (!duty || duty->peer != peer)
		return 0; /* an empty batch that filled a hole */
	/* ... and the batch itself is on its way once more, to the same peer: it will answer for itself. */
	if (settled.received == 0 && duty->batch->head.count > 0)
		return 0;
	if (count_settled(outlet, duty, &settled) < 0)
		return -EBADMSG;
	if (remember_settled(outlet, edge, peer, &settled.id) < 0)
		return -ENOMEM;
	entry = duty->entry;
	DL_DELETE(peer->sent, duty);
	outlet_duty_free(outlet, duty);
	if (--entry->left == 0)
		entry_settled(outlet, entry);
	return 0;
}

/* Puts a duty back, in front of those never sent and behind the other repeated ones. */
static void wait_again(struct duty *duty)
{
	struct edge *edge = duty->edge;
	struct duty *before;

	duty->peer = NULL;
	duty->again = true;
	DL_FOREACH(edge->waiting, before)
	{
		if (!before->again)
			break;
	}
	if (before)
		DL_PREPEND_ELEM(edge->waiting, before, duty);
	else
		DL_APPEND(edge->waiting, duty);
	edge->waiting_count++;
}

static int receive_failed(struct outlet *outlet, struct edge *edge, struct outlet_peer *peer,
	const uint8_t *data, size_t size)
{
	struct frame_failed failed;
	struct duty *duty;
	char reason[FRAME_REASON_MAX + 64];

	if (frame_get_failed(data, size, &failed) < 0)
		return -EBADMSG;
	duty = find_duty(outlet, edge, peer, &failed.id);
	if (!duty || duty->peer != peer)
		return 0;
	DL_DELETE(peer->sent, duty);
	duty->attempt++; /* credit came back when it was begun */
	wait_again(duty);
	if (duty->attempt >= FAILED_MAX) {
		(void)snprintf(reason, sizeof(reason), "%s.%u refuses a batch: %.*s",
			edge->to->name, peer->instance, (int)failed.reason_size, failed.reason);
		outlet->env->failed(outlet->env->user, reason);
	}
	return 0;
}

static int receive_grant(struct outlet_peer *peer, const uint8_t *data, size_t size)
{
	struct frame_grant grant;

	if (frame_get_grant(data, size, &grant) < 0)
		return -EBADMSG;
	peer->credit += grant.count;
	peer->wish = grant.wish;
	return 0;
}

static int receive_bye(struct outlet_peer *peer)
{
	int next = outlet_peer_next(peer->state, OUTLET_PEER_BYE);

	if (next < 0)
		return -EBADMSG;
	peer->state = next;
	return 0;
}

static int receive_frame(struct outlet *outlet, const char *routing, size_t routing_size,
	const uint8_t *data, size_t size)
{
	int type = frame_type(data, size);
	struct edge *edge;
	struct outlet_peer *peer;

	if (type == FRAME_HELLO)
		return receive_hello(outlet, routing, routing_size, data, size);
	peer = peer_named(outlet, routing, routing_size, &edge);
	if (!peer)
		return 0; /* of an older epoch */
	peer->heard_ns = clock_now();
	switch (type) {
	case FRAME_GRANT:
		return receive_grant(peer, data, size);
	case FRAME_SETTLED:
		return receive_settled(outlet, edge, peer, data, size);
	case FRAME_FAILED:
		return receive_failed(outlet, edge, peer, data, size);
	case FRAME_PONG:
		return 0;
	case FRAME_BYE:
		return receive_bye(peer);
	default:
		return -EBADMSG;
	}
}

static void skip_parts(void *socket, zmq_msg_t *part)
{
	while (zmq_msg_more(part)) {
		(void)zmq_msg_close(part);
		(void)zmq_msg_init(part);
		if (zmq_msg_recv(part, socket, ZMQ_DONTWAIT) < 0)
			return;
	}
}

void outlet_receive(struct outlet *outlet)
{
	for (;;) {
		zmq_msg_t routing, frame;
		int r = -EBADMSG;

		(void)zmq_msg_init(&routing);
		(void)zmq_msg_init(&frame);
		if (zmq_msg_recv(&routing, outlet->socket, ZMQ_DONTWAIT) < 0)
			break;
		if (zmq_msg_more(&routing) &&
			zmq_msg_recv(&frame, outlet->socket, ZMQ_DONTWAIT) >= 0)
			r = receive_frame(outlet, zmq_msg_data(&routing), zmq_msg_size(&routing),
				zmq_msg_data(&frame), zmq_msg_size(&frame));
		if (r == -EBADMSG)
			log_write(LOG_LEVEL_WARNING,
				"a frame from %.*s that cannot be (type %d, %zu bytes): dropped",
				(int)zmq_msg_size(&routing), (const char *)zmq_msg_data(&routing),
				frame_type(zmq_msg_data(&frame), zmq_msg_size(&frame)),
				zmq_msg_size(&frame));
		else if (r < 0)
			outlet->env->failed(outlet->env->user, err_name(r));
		skip_parts(outlet->socket, &frame);
		(void)zmq_msg_close(&frame);
		(void)zmq_msg_close(&routing);
	}
	outlet_send_waiting(outlet);
	send_sentinels(outlet);
}

/* --- words and time ----------------------------------------------------------------------------- */

void outlet_peer_gone(struct outlet *outlet, uint32_t stage, uint32_t instance, uint32_t epoch)
{
	struct edge *edge = edge_to(outlet, stage);
	struct outlet_peer *peer;
	struct duty *duty, *next;

	if (!edge)
		return;
	peer = &edge->peers[instance];
	if (peer->min_epoch > epoch)
		return;
	peer->min_epoch = epoch + 1;
	peer->state = outlet_peer_next(peer->state, OUTLET_PEER_GONE);
	peer->routing_size = 0;
	peer->wish = graph_first_wish(edge->to);
	DL_FOREACH_SAFE(peer->sent, duty, next)
	{
		DL_DELETE(peer->sent, duty);
		wait_again(duty);
	}
	outlet_send_waiting(outlet);
}

void outlet_peer_finished(struct outlet *outlet, uint32_t stage, uint32_t instance)
{
	struct edge *edge = edge_to(outlet, stage);
	struct outlet_peer *peer;

	if (!edge)
		return;
	peer = &edge->peers[instance];
	peer->state = outlet_peer_next(peer->state, OUTLET_PEER_FINISH);
	if (peer->min_epoch == 0)
		peer->min_epoch = 1;
}

static void forget_below(void *user, uint64_t origin, uint64_t floor)
{
	struct outlet *outlet = user;

	for (uint32_t i = 0; i < outlet->edge_count; i++) {
		struct edge *edge = &outlet->edges[i];

		spans_forget(&edge->settled, origin, floor);
		for (uint32_t p = 0; edge->is_partitioned && p < edge->to->processes; p++)
			spans_forget(&edge->peers[p].settled, origin, floor);
	}
}

static bool is_known(void *user, uint64_t origin)
{
	struct outlet *outlet = user;

	return floors_knows(outlet->env->floors, origin);
}

void outlet_floors_changed(struct outlet *outlet)
{
	floors_walk(outlet->env->floors, forget_below, outlet);
	for (uint32_t i = 0; i < outlet->edge_count; i++) {
		struct edge *edge = &outlet->edges[i];

		spans_retain(&edge->settled, is_known, outlet);
		for (uint32_t p = 0; p < edge->to->processes; p++)
			spans_retain(&edge->peers[p].settled, is_known, outlet);
	}
	outlet->floors_changed = true;
	outlet_send_waiting(outlet);
}

static void ping_peer(struct outlet *outlet, const struct edge *edge, struct outlet_peer *peer,
	size_t size, int64_t now)
{
	if (peer->state != OUTLET_PEER_LIVE)
		return;
	if (!peer->is_silent && now - peer->heard_ns > SILENCE_LIMIT) {
		peer->is_silent = true;
		outlet->env->silent(outlet->env->user, edge->stage, peer->instance, peer->epoch);
	}
	if (!outlet->floors_changed && now - peer->pinged_ns < PING_INTERVAL)
		return;
	peer->pinged_ns = now;
	(void)outlet_send_to(outlet, peer, outlet->scratch, size, 0);
}

void outlet_tick(struct outlet *outlet, int64_t now)
{
	size_t size = make_ping(outlet);

	if (size == 0)
		return;
	for (uint32_t i = 0; i < outlet->edge_count; i++)
		for (uint32_t p = 0; p < outlet->edges[i].to->processes; p++)
			ping_peer(outlet, &outlet->edges[i], &outlet->edges[i].peers[p], size, now);
	outlet->floors_changed = false;
}
