/* SPDX-License-Identifier: MIT */
/*
 * See outlet.h. An entry is one batch held; a duty is its delivery to one downstream stage (or to one lane of a
 * partitioned one). A duty waits, is sent to a peer, and is settled by that peer:
 *
 *     outlet_take -> [waiting] -- credit --> [sent to peer] -- SETTLED --> gone
 *                        ^------ peer reaped, FAILED ----'
 */
#include "link/outlet.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/log.h"
#include "link/frame.h"
#include "link/tally.h"

#define PING_INTERVAL (1 * NSEC_PER_SEC) /* when nothing changed */
#define SILENCE_LIMIT (5 * NSEC_PER_SEC) /* without any frame while PINGs go out */
#define FAILED_MAX 5                     /* times that a batch is given again for FAILED */
#define COPY_MAX 1024                    /* smaller payloads are copied into the message */
#define ROUTING_MAX 128

struct duty_key {
	struct batch_id id;
	uint64_t edge;
};

struct entry {
	void *cookie;
	uint64_t bytes;
	uint32_t left; /* duties not settled */
	uint64_t *tally;
};

struct duty {
	struct duty_key key;
	struct entry *entry;
	struct sl_batch *batch; /* owned */
	struct edge *edge;
	struct outlet_peer *peer; /* sent to; NULL while waiting */
	uint32_t lane;            /* of a partitioned edge: the instance */
	uint16_t attempt;
	bool again;
	struct duty *prev, *next; /* in edge->waiting or peer->sent */
	UT_hash_handle hh;
};

struct outlet_peer {
	enum outlet_peer_state state;
	uint32_t instance;
	uint32_t epoch;     /* of the process that is there, or was last */
	uint32_t min_epoch; /* older ones were reaped */
	int64_t credit;
	uint32_t wish;
	int64_t heard_ns;
	int64_t pinged_ns;
	bool is_silent; /* reported */
	char routing[ROUTING_MAX];
	size_t routing_size;
	struct duty *sent;
	struct spans *settled; /* partitioned edges: this lane's */
};

/* One link: this port to one downstream stage. */
struct edge {
	uint32_t link;
	uint32_t stage;
	const struct graph_stage *to;
	bool is_partitioned;
	struct duty *waiting; /* urgent ones (again) first */
	uint32_t waiting_count;
	struct spans *settled;
	bool has_met_all; /* every instance has said HELLO, or was reaped, once */
	uint32_t turn;    /* where the search for the least busy peer begins */
	struct outlet_peer *peers;
};

struct outlet {
	struct link_env *env;
	const struct graph_stage *stage;
	uint32_t port;
	void *socket;
	uint64_t held; /* bytes */
	uint32_t entry_count;
	struct duty *duties; /* hash of all */
	bool is_ending;
	enum word_how how;
	bool floors_changed;
	uint8_t *scratch;
	size_t scratch_size;
	uint32_t edge_count;
	struct edge edges[];
};

void outlet_output_fini(struct outlet_output *output)
{
	batch_unref(output->whole);
	for (uint32_t i = 0; i < output->lane_count; i++)
		batch_unref(output->lanes[i]);
	free(output->lanes);
	*output = (struct outlet_output){ 0 };
}

/* --- opening and closing ----------------------------------------------------------------------- */

static int edge_init(struct outlet *outlet, struct edge *edge, uint32_t link)
{
	const struct graph *graph = outlet->env->graph;

	edge->link = link;
	edge->stage = graph->links[link].downstream;
	edge->to = &graph->stages[edge->stage];
	edge->is_partitioned = edge->to->partition_count > 0;
	edge->peers = calloc(edge->to->processes, sizeof(*edge->peers));
	if (!edge->peers)
		return -ENOMEM;
	for (uint32_t i = 0; i < edge->to->processes; i++) {
		edge->peers[i].instance = i;
		edge->peers[i].wish = graph_first_wish(edge->to);
	}
	return 0;
}

static int outlet_bind(struct outlet *outlet, struct err *err)
{
	const struct link_env *env = outlet->env;
	struct graph_link link = { .upstream = env->stage, .port = outlet->port };
	char endpoint[256];
	int none = 0, yes = 1;

	if (link_endpoint(env, &link, env->instance, endpoint, sizeof(endpoint)) < 0)
		return err_set(err, -ENAMETOOLONG,
			"the socket path %s is too long: use a shorter --runtime", endpoint);
	outlet->socket = zmq_socket(env->zmq, ZMQ_ROUTER);
	if (!outlet->socket)
		return err_set(err, -errno, "no ZeroMQ socket: %s", zmq_strerror(errno));
	if (zmq_setsockopt(outlet->socket, ZMQ_ROUTER_MANDATORY, &yes, sizeof(yes)) < 0 ||
		zmq_setsockopt(outlet->socket, ZMQ_SNDHWM, &none, sizeof(none)) < 0 ||
		zmq_setsockopt(outlet->socket, ZMQ_RCVHWM, &none, sizeof(none)) < 0 ||
		zmq_setsockopt(outlet->socket, ZMQ_LINGER, &none, sizeof(none)) < 0 ||
		zmq_bind(outlet->socket, endpoint) < 0)
		return err_set(err, -errno, "cannot bind %s: %s", endpoint, zmq_strerror(errno));
	return 0;
}

int outlet_open(struct link_env *env, uint32_t port, struct outlet **ret_outlet, struct err *err)
{
	const struct graph_stage *stage = &env->graph->stages[env->stage];
	struct outlet *outlet =
		calloc(1, sizeof(*outlet) + stage->output_count * sizeof(outlet->edges[0]));
	int r = 0;

	if (!outlet)
		return err_set(err, -ENOMEM, "no memory for an outlet");
	outlet->env = env;
	outlet->stage = stage;
	outlet->port = port;
	for (uint32_t i = 0; i < stage->output_count && r == 0; i++)
		if (env->graph->links[stage->outputs[i]].port == port)
			r = edge_init(
				outlet, &outlet->edges[outlet->edge_count++], stage->outputs[i]);
	if (r < 0)
		(void)err_set(err, r, "no memory for an outlet");
	else
		r = outlet_bind(outlet, err);
	if (r < 0) {
		outlet_close(outlet);
		return r;
	}
	*ret_outlet = outlet;
	return 0;
}

static void duty_free(struct outlet *outlet, struct duty *duty)
{
	HASH_DEL(outlet->duties, duty);
	batch_unref(duty->batch);
	free(duty);
}

static void edge_fini(struct edge *edge)
{
	for (uint32_t i = 0; edge->peers && i < edge->to->processes; i++)
		spans_free(&edge->peers[i].settled);
	spans_free(&edge->settled);
	free(edge->peers);
}

static void entry_free(struct entry *entry)
{
	free(entry->tally);
	free(entry);
}

void outlet_close(struct outlet *outlet)
{
	struct duty *duty, *next;

	if (!outlet)
		return;
	HASH_ITER (hh, outlet->duties, duty, next) {
		struct entry *entry = duty->entry;

		duty_free(outlet, duty);
		if (--entry->left == 0)
			entry_free(entry);
	}
	for (uint32_t i = 0; i < outlet->edge_count; i++)
		edge_fini(&outlet->edges[i]);
	if (outlet->socket)
		(void)zmq_close(outlet->socket);
	free(outlet->scratch);
	free(outlet);
}

void *outlet_socket(const struct outlet *outlet)
{
	return outlet->socket;
}

/* --- sending ------------------------------------------------------------------------------------ */

static int send_to(struct outlet *outlet, const struct outlet_peer *peer, const void *data,
	size_t size, int flags)
{
	/* A peer that vanished (EHOSTUNREACH) keeps its duties until the supervisor says that it was reaped. */
	if (zmq_send(outlet->socket, peer->routing, peer->routing_size,
		    ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
		return -errno;
	return zmq_send(outlet->socket, data, size, ZMQ_DONTWAIT | flags) < 0 ? -errno : 0;
}

static void payload_release(void *data, void *batch)
{
	(void)data;
	batch_unref(batch);
}

static int payload_message(zmq_msg_t *message, struct sl_batch *batch)
{
	if (batch->size <= COPY_MAX) {
		if (zmq_msg_init_size(message, batch->size) < 0)
			return -ENOMEM;
		if (batch->size > 0)
			memcpy(zmq_msg_data(message), batch->data, batch->size);
		return 0;
	}
	(void)batch_ref(batch);
	if (zmq_msg_init_data(message, (void *)batch->data, batch->size, payload_release, batch) <
		0) {
		batch_unref(batch);
		return -ENOMEM;
	}
	return 0;
}

static void send_batch(struct outlet *outlet, const struct outlet_peer *peer,
	struct sl_batch *batch, bool again, uint16_t attempt)
{
	struct batch_head head = batch->head;
	uint8_t frame[FRAME_FIXED_MAX];
	zmq_msg_t payload;

	head.again = head.again || again;
	head.attempt = (uint16_t)(head.attempt + attempt);
	head.floor = floors_get(outlet->env->floors, head.id.origin);
	if (payload_message(&payload, batch) < 0) {
		outlet->env->failed(outlet->env->user, "no memory");
		return;
	}
	if (send_to(outlet, peer, frame, frame_put_batch(frame, &head, batch->size), ZMQ_SNDMORE) <
			0 ||
		zmq_msg_send(&payload, outlet->socket, ZMQ_DONTWAIT) < 0)
		(void)zmq_msg_close(&payload);
}

static void send_duty(struct outlet *outlet, struct duty *duty, struct outlet_peer *peer)
{
	DL_DELETE(duty->edge->waiting, duty);
	duty->edge->waiting_count--;
	DL_APPEND(peer->sent, duty);
	duty->peer = peer;
	peer->credit--;
	send_batch(outlet, peer, duty->batch, duty->again, duty->attempt);
}

/* At the start whoever is there first must not get what the others could begin at once: all have been there. */
static bool has_met_all(struct edge *edge)
{
	for (uint32_t p = 0; p < edge->to->processes && !edge->has_met_all; p++)
		if (edge->peers[p].min_epoch == 0)
			return false;
	edge->has_met_all = true;
	return true;
}

/* The live peer with the most credit (at least `least`); NULL: none. */
static struct outlet_peer *choose_peer(struct edge *edge, int64_t least)
{
	struct outlet_peer *best = NULL;
	uint32_t count = edge->to->processes;

	for (uint32_t i = 0; i < count; i++) {
		struct outlet_peer *peer = &edge->peers[(edge->turn + i) % count];

		if (peer->state == OUTLET_PEER_LIVE && peer->credit >= least &&
			(!best || peer->credit > best->credit))
			best = peer;
	}
	if (best)
		edge->turn = (best->instance + 1) % count;
	return best;
}

static struct outlet_peer *peer_for(struct outlet *outlet, const struct duty *duty)
{
	struct batch_head head = duty->batch->head;
	bool is_urgent;

	head.again = head.again || duty->again;
	is_urgent = link_is_urgent(outlet->env, &head);
	if (duty->edge->is_partitioned) {
		struct outlet_peer *peer = &duty->edge->peers[duty->lane];

		return peer->state == OUTLET_PEER_LIVE && (is_urgent || peer->credit > 0) ? peer
											  : NULL;
	}
	if (!has_met_all(duty->edge))
		return NULL;
	return choose_peer(duty->edge, is_urgent ? INT64_MIN : 1);
}

static void send_waiting(struct outlet *outlet)
{
	for (uint32_t i = 0; i < outlet->edge_count; i++) {
		struct duty *duty, *next;

		DL_FOREACH_SAFE(outlet->edges[i].waiting, duty, next)
		{
			struct outlet_peer *peer = peer_for(outlet, duty);

			if (peer)
				send_duty(outlet, duty, peer);
		}
	}
}

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
		(void)send_to(outlet, peer, outlet->scratch, size, 0);
	(void)send_to(outlet, peer, frame, frame_put_sentinel(frame, outlet->how), 0);
}

static void send_sentinels(struct outlet *outlet)
{
	if (!outlet->is_ending || outlet->entry_count > 0)
		return;
	for (uint32_t i = 0; i < outlet->edge_count; i++)
		for (uint32_t p = 0; p < outlet->edges[i].to->processes; p++)
			send_sentinel(outlet, &outlet->edges[i].peers[p]);
}

/* --- the peers ---------------------------------------------------------------------------------- */

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
	send_batch(hole->outlet, hole->peer, &empty, true, 0);
}

static void greet_peer(struct outlet *outlet, struct edge *edge, struct outlet_peer *peer)
{
	struct hole hole = { outlet, peer };
	size_t size = make_ping(outlet);

	if (size > 0)
		(void)send_to(outlet, peer, outlet->scratch, size, 0);
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
	if (!edge || hello.instance >= edge->to->processes || routing_size > ROUTING_MAX)
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
	entry_free(entry);
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
	duty_free(outlet, duty);
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
	send_waiting(outlet);
	send_sentinels(outlet);
}

/* --- taking ------------------------------------------------------------------------------------- */

static int add_duty(struct outlet *outlet, struct entry *entry, struct edge *edge,
	struct sl_batch *batch, uint32_t lane)
{
	struct duty *duty = calloc(1, sizeof(*duty));

	if (!duty)
		return -ENOMEM;
	duty->key.id = batch->head.id;
	duty->key.edge = (uint64_t)(edge - outlet->edges);
	HASH_ADD(hh, outlet->duties, key, sizeof(duty->key), duty);
	if (!duty->hh.tbl) {
		free(duty);
		return -ENOMEM;
	}
	duty->entry = entry;
	duty->batch = batch_ref(batch);
	duty->edge = edge;
	duty->lane = lane;
	DL_APPEND(edge->waiting, duty);
	edge->waiting_count++;
	entry->left++;
	return 0;
}

static int add_duties(
	struct outlet *outlet, struct entry *entry, const struct outlet_output *output)
{
	uint64_t lanes_bytes = 0;
	uint32_t lane = 0;
	int r = 0;

	for (uint32_t i = 0; i < outlet->edge_count && r == 0; i++) {
		struct edge *edge = &outlet->edges[i];

		if (!edge->is_partitioned) {
			entry->bytes = output->whole->size;
			r = add_duty(outlet, entry, edge, output->whole, 0);
		}
		for (uint32_t p = 0; edge->is_partitioned && p < edge->to->processes && r == 0;
			p++) {
			lanes_bytes += output->lanes[lane]->size;
			r = add_duty(outlet, entry, edge, output->lanes[lane++], p);
		}
	}
	/* Nothing held is free, not even an empty batch. */
	entry->bytes += lanes_bytes + sizeof(*entry) +
			entry->left * (sizeof(struct duty) + sizeof(struct sl_batch));
	return r;
}

int outlet_take(struct outlet *outlet, struct outlet_output *output, void *cookie)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (entry)
		entry->tally = calloc(tally_size(outlet->env->graph), sizeof(*entry->tally));
	if (!entry || !entry->tally) {
		free(entry);
		return -ENOMEM;
	}
	entry->cookie = cookie;
	if (add_duties(outlet, entry, output) < 0) {
		/* Without memory this instance cannot go on: what was begun goes with it. */
		outlet->env->failed(outlet->env->user, "no memory");
		return -ENOMEM;
	}
	outlet->held += entry->bytes;
	outlet->entry_count++;
	outlet_output_fini(output);
	send_waiting(outlet);
	return 0;
}

bool outlet_has_room(const struct outlet *outlet, uint64_t in_work_bytes)
{
	return outlet->held + in_work_bytes < outlet->stage->retain;
}

bool outlet_has_credit(const struct outlet *outlet, uint32_t in_work)
{
	for (uint32_t i = 0; i < outlet->edge_count; i++) {
		const struct edge *edge = &outlet->edges[i];
		int64_t all = 0;
		int64_t least = INT64_MAX;

		for (uint32_t p = 0; p < edge->to->processes; p++) {
			const struct outlet_peer *peer = &edge->peers[p];
			int64_t credit = peer->state == OUTLET_PEER_LIVE && peer->credit > 0
						 ? peer->credit
						 : 0;

			all += credit;
			if (credit < least)
				least = credit;
		}
		if (edge->waiting_count > 0 || (edge->is_partitioned ? least : all) <= in_work)
			return false;
	}
	return true;
}

static uint32_t edge_wish(const struct edge *edge)
{
	uint64_t wish = UINT32_MAX;
	bool is_live = false;

	for (uint32_t p = 0; p < edge->to->processes; p++) {
		if (edge->peers[p].state != OUTLET_PEER_LIVE)
			continue;
		is_live = true;
		if (edge->peers[p].wish < wish)
			wish = edge->peers[p].wish;
	}
	if (!is_live)
		return 1;
	/* Each lane gets its share of a batch. */
	if (edge->is_partitioned)
		wish *= edge->to->processes;
	return wish < UINT32_MAX ? (uint32_t)wish : UINT32_MAX;
}

uint32_t outlet_wish(const struct outlet *outlet)
{
	uint32_t wish = UINT32_MAX;

	for (uint32_t i = 0; i < outlet->edge_count; i++) {
		uint32_t one = edge_wish(&outlet->edges[i]);

		if (one < wish)
			wish = one;
	}
	return wish;
}

uint64_t outlet_held(const struct outlet *outlet)
{
	return outlet->held;
}

bool outlet_is_settled(const struct outlet *outlet)
{
	return outlet->entry_count == 0;
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
	send_waiting(outlet);
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
	send_waiting(outlet);
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
	(void)send_to(outlet, peer, outlet->scratch, size, 0);
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
