/* SPDX-License-Identifier: MIT */
/* See inlet.h. */
#include "link/inlet.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "base/log.h"
#include "link/frame.h"
#include "link/tally.h"

struct inlet_peer {
	enum inlet_peer_state state;
	enum word_how how;
	uint32_t epoch;
	void *socket;
	uint64_t pings;
	uint32_t wish; /* the last one told */
};

struct inlet {
	struct link_env *env;
	uint32_t link;
	const struct graph_stage *upstream;
	uint8_t *scratch; /* room for one SETTLED */
	uint32_t peer_count;
	struct inlet_peer peers[];
};

void delivery_free(struct delivery *delivery)
{
	if (!delivery)
		return;
	batch_unref(delivery->batch);
	free(delivery);
}

int inlet_open(struct link_env *env, uint32_t link, struct inlet **ret_inlet, struct err *err)
{
	const struct graph_stage *upstream = &env->graph->stages[env->graph->links[link].upstream];
	struct inlet *inlet =
		calloc(1, sizeof(*inlet) + upstream->processes * sizeof(inlet->peers[0]));

	if (inlet)
		inlet->scratch = malloc(frame_settled_size(tally_size(env->graph)));
	if (!inlet || !inlet->scratch) {
		free(inlet);
		return err_set(err, -ENOMEM, "no memory for an inlet");
	}
	inlet->env = env;
	inlet->link = link;
	inlet->upstream = upstream;
	inlet->peer_count = upstream->processes;
	*ret_inlet = inlet;
	return 0;
}

static void peer_disconnect(struct inlet_peer *peer)
{
	if (peer->socket)
		(void)zmq_close(peer->socket);
	peer->socket = NULL;
}

void inlet_close(struct inlet *inlet)
{
	if (!inlet)
		return;
	for (uint32_t i = 0; i < inlet->peer_count; i++)
		peer_disconnect(&inlet->peers[i]);
	free(inlet->scratch);
	free(inlet);
}

uint32_t inlet_peer_count(const struct inlet *inlet)
{
	return inlet->peer_count;
}

void *inlet_socket(const struct inlet *inlet, uint32_t instance)
{
	return inlet->peers[instance].socket;
}

uint32_t inlet_link(const struct inlet *inlet)
{
	return inlet->link;
}

static void peer_send(struct inlet_peer *peer, const uint8_t *data, size_t size)
{
	/* Without a bound on the queue this cannot block; a process that died is the supervisor's news. */
	if (peer->socket)
		(void)zmq_send(peer->socket, data, size, ZMQ_DONTWAIT);
}

static int peer_connect(struct inlet *inlet, uint32_t instance, struct err *err)
{
	const struct link_env *env = inlet->env;
	struct inlet_peer *peer = &inlet->peers[instance];
	char endpoint[256], name[128];
	int none = 0;
	int size;

	if (link_endpoint(
		    env, &env->graph->links[inlet->link], instance, endpoint, sizeof(endpoint)) < 0)
		return err_set(err, -ENAMETOOLONG, "the socket path of %s.%u is too long",
			inlet->upstream->name, instance);
	peer->socket = zmq_socket(env->zmq, ZMQ_DEALER);
	if (!peer->socket)
		return err_set(err, -errno, "no ZeroMQ socket: %s", zmq_strerror(errno));
	size = snprintf(name, sizeof(name), "%s.%u.%u", env->graph->stages[env->stage].name,
		env->instance, env->epoch);
	if (zmq_setsockopt(peer->socket, ZMQ_ROUTING_ID, name, (size_t)size) < 0 ||
		zmq_setsockopt(peer->socket, ZMQ_SNDHWM, &none, sizeof(none)) < 0 ||
		zmq_setsockopt(peer->socket, ZMQ_RCVHWM, &none, sizeof(none)) < 0 ||
		zmq_setsockopt(peer->socket, ZMQ_LINGER, &none, sizeof(none)) < 0 ||
		zmq_connect(peer->socket, endpoint) < 0)
		return err_set(
			err, -errno, "cannot connect to %s: %s", endpoint, zmq_strerror(errno));
	return 0;
}

int inlet_peer_up(struct inlet *inlet, uint32_t instance, uint32_t epoch, struct err *err)
{
	struct inlet_peer *peer = &inlet->peers[instance];
	struct frame_hello hello = {
		.stage = inlet->env->stage,
		.instance = inlet->env->instance,
		.epoch = inlet->env->epoch,
		.outlet_epoch = epoch,
	};
	uint8_t frame[FRAME_FIXED_MAX];
	int next = inlet_peer_next(peer->state, INLET_PEER_UP);
	int r;

	if (next < 0)
		return 0;
	r = peer_connect(inlet, instance, err);
	if (r < 0)
		return r;
	peer->state = next;
	peer->epoch = epoch;
	peer->pings = 0;
	peer->wish = graph_first_wish(&inlet->env->graph->stages[inlet->env->stage]);
	peer_send(peer, frame, frame_put_hello(frame, &hello));
	return 0;
}

void inlet_peer_gone(struct inlet *inlet, uint32_t instance, uint32_t epoch)
{
	struct inlet_peer *peer = &inlet->peers[instance];

	if (peer->epoch > epoch)
		return;
	peer->state = inlet_peer_next(peer->state, INLET_PEER_GONE);
	peer_disconnect(peer);
}

void inlet_peer_finished(struct inlet *inlet, uint32_t instance, enum word_how how)
{
	struct inlet_peer *peer = &inlet->peers[instance];

	if (peer->state == INLET_PEER_ABSENT || peer->state == INLET_PEER_OPEN)
		peer->how = how;
	peer->state = inlet_peer_next(peer->state, INLET_PEER_FINISH);
	peer_disconnect(peer);
}

static void refuse_frame(const struct inlet *inlet, uint32_t instance, const char *what)
{
	log_write(
		LOG_LEVEL_WARNING, "%s from %s.%u: dropped", what, inlet->upstream->name, instance);
}

static void message_release(void *owner)
{
	zmq_msg_t *message = owner;

	(void)zmq_msg_close(message);
	free(message);
}

static bool has_more(void *socket)
{
	int more = 0;
	size_t size = sizeof(more);

	return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more;
}

static void skip_parts(void *socket)
{
	zmq_msg_t part;

	while (has_more(socket)) {
		(void)zmq_msg_init(&part);
		(void)zmq_msg_recv(&part, socket, ZMQ_DONTWAIT);
		(void)zmq_msg_close(&part);
	}
}

/* The payload part, as a batch over its own message. NULL: none came, or no memory (*ret_error). */
static struct sl_batch *receive_payload(
	struct inlet_peer *peer, const struct batch_head *head, uint64_t size, int *ret_error)
{
	zmq_msg_t *message = malloc(sizeof(*message));
	struct sl_batch *batch = NULL;

	*ret_error = -ENOMEM;
	if (!message)
		return NULL;
	(void)zmq_msg_init(message);
	*ret_error = -EBADMSG;
	if (has_more(peer->socket) && zmq_msg_recv(message, peer->socket, ZMQ_DONTWAIT) >= 0 &&
		zmq_msg_size(message) == size) {
		*ret_error = -ENOMEM;
		batch = batch_over(head, zmq_msg_data(message), size, message_release, message);
	}
	if (!batch)
		message_release(message);
	return batch;
}

static int raise_floor(
	struct link_env *env, const struct inlet_peer *peer, uint64_t origin, uint64_t floor)
{
	int r = floors_raise(&env->floors, origin, floor, peer->pings);

	if (r > 0)
		env->floors_changed = true;
	return r;
}

static int receive_batch(struct inlet *inlet, uint32_t instance, const uint8_t *data, size_t size,
	struct delivery **ret)
{
	struct inlet_peer *peer = &inlet->peers[instance];
	struct link_env *env = inlet->env;
	struct batch_head head;
	uint64_t payload_size;
	struct delivery *delivery;
	int r = frame_get_batch(data, size, &head, &payload_size);

	if (r < 0 || head.id.run != env->run || peer->state != INLET_PEER_OPEN)
		return -EBADMSG;
	delivery = calloc(1, sizeof(*delivery));
	if (!delivery)
		return -ENOMEM;
	delivery->batch = receive_payload(peer, &head, payload_size, &r);
	if (!delivery->batch) {
		delivery_free(delivery);
		return r;
	}
	if (raise_floor(env, peer, head.id.origin, head.floor) < 0) {
		delivery_free(delivery);
		return -ENOMEM;
	}
	delivery->inlet = inlet;
	delivery->instance = instance;
	delivery->epoch = peer->epoch;
	*ret = delivery;
	return 1;
}

static int receive_ping(struct inlet *inlet, uint32_t instance, const uint8_t *data, size_t size)
{
	struct inlet_peer *peer = &inlet->peers[instance];
	uint8_t pong[FRAME_FIXED_MAX];
	struct frame_ping ping;

	if (frame_get_ping(data, size, &ping) < 0)
		return -EBADMSG;
	peer->pings++;
	for (uint32_t i = 0; i < ping.floor_count; i++) {
		struct frame_floor floor = frame_floor_at(&ping, i);

		if (raise_floor(inlet->env, peer, floor.origin, floor.floor) < 0)
			return -ENOMEM;
	}
	peer_send(peer, pong, frame_put_bare(pong, FRAME_PONG));
	return 0;
}

static int receive_sentinel(
	struct inlet *inlet, uint32_t instance, const uint8_t *data, size_t size)
{
	struct inlet_peer *peer = &inlet->peers[instance];
	int next = inlet_peer_next(peer->state, INLET_PEER_SENTINEL);
	uint32_t how;

	if (next < 0 || frame_get_sentinel(data, size, &how) < 0)
		return -EBADMSG;
	peer->state = next;
	peer->how = how;
	return 0;
}

/* 1 and *ret: a batch; 0: something else, handled; -EBADMSG; -ENOMEM. */
static int receive_frame(
	struct inlet *inlet, uint32_t instance, zmq_msg_t *frame, struct delivery **ret)
{
	const uint8_t *data = zmq_msg_data(frame);
	size_t size = zmq_msg_size(frame);

	switch (frame_type(data, size)) {
	case FRAME_BATCH:
		return receive_batch(inlet, instance, data, size, ret);
	case FRAME_PING:
		return receive_ping(inlet, instance, data, size);
	case FRAME_SENTINEL:
		return receive_sentinel(inlet, instance, data, size);
	default:
		return -EBADMSG;
	}
}

int inlet_receive(struct inlet *inlet, uint32_t instance, struct delivery **ret)
{
	struct inlet_peer *peer = &inlet->peers[instance];

	while (peer->socket) {
		zmq_msg_t frame;
		int r;

		(void)zmq_msg_init(&frame);
		if (zmq_msg_recv(&frame, peer->socket, ZMQ_DONTWAIT) < 0) {
			(void)zmq_msg_close(&frame);
			return 0;
		}
		r = receive_frame(inlet, instance, &frame, ret);
		(void)zmq_msg_close(&frame);
		skip_parts(peer->socket);
		if (r == -EBADMSG)
			refuse_frame(inlet, instance, "a malformed frame");
		else if (r != 0)
			return r;
	}
	return 0;
}

/* The peer that a delivery came from, if it is still that process. */
static struct inlet_peer *peer_of(struct inlet *inlet, const struct delivery *delivery)
{
	struct inlet_peer *peer = &inlet->peers[delivery->instance];

	return peer->epoch == delivery->epoch && peer->socket ? peer : NULL;
}

/* A wish at most doubles, and a small change is not worth a word. */
static uint32_t wish_step(uint32_t told, uint32_t wish)
{
	if (wish > 2 * (uint64_t)told)
		return told > UINT32_MAX / 2 ? UINT32_MAX : 2 * told;
	if (wish > told / 2 && wish < 2 * (uint64_t)told)
		return told;
	return wish > 0 ? wish : 1;
}

void inlet_grant(struct inlet *inlet, const struct delivery *delivery, uint32_t wish)
{
	struct inlet_peer *peer = peer_of(inlet, delivery);
	struct frame_grant grant = { .count = 1 };
	uint8_t frame[FRAME_FIXED_MAX];

	if (!peer)
		return;
	peer->wish = wish_step(peer->wish, wish);
	grant.wish = peer->wish;
	peer_send(peer, frame, frame_put_grant(frame, &grant));
}

void inlet_settle(struct inlet *inlet, const struct delivery *delivery, uint64_t received,
	const uint64_t *cells)
{
	struct inlet_peer *peer = peer_of(inlet, delivery);

	if (!peer)
		return;
	peer_send(peer, inlet->scratch,
		frame_put_settled(inlet->scratch, &delivery->batch->head.id, received, cells,
			tally_size(inlet->env->graph)));
}

void inlet_fail(struct inlet *inlet, const struct delivery *delivery, const char *reason)
{
	struct inlet_peer *peer = peer_of(inlet, delivery);
	uint8_t frame[FRAME_FIXED_MAX + FRAME_REASON_MAX];

	if (peer)
		peer_send(peer, frame, frame_put_failed(frame, &delivery->batch->head.id, reason));
}

bool inlet_has_ended(const struct inlet *inlet, enum word_how *ret_how)
{
	enum word_how how = WORD_HOW_END;

	for (uint32_t i = 0; i < inlet->peer_count; i++) {
		const struct inlet_peer *peer = &inlet->peers[i];

		if (peer->state != INLET_PEER_ENDED && peer->state != INLET_PEER_LEFT)
			return false;
		if (peer->how == WORD_HOW_STOP)
			how = WORD_HOW_STOP;
	}
	*ret_how = how;
	return true;
}

void inlet_bye(struct inlet *inlet)
{
	uint8_t frame[FRAME_FIXED_MAX];
	size_t size = frame_put_bare(frame, FRAME_BYE);

	for (uint32_t i = 0; i < inlet->peer_count; i++) {
		struct inlet_peer *peer = &inlet->peers[i];
		int next = inlet_peer_next(peer->state, INLET_PEER_BYE);

		if (next < 0)
			continue;
		peer->state = next;
		peer_send(peer, frame, size);
	}
}

uint64_t inlet_round(const struct inlet *inlet)
{
	uint64_t round = UINT64_MAX;

	for (uint32_t i = 0; i < inlet->peer_count; i++)
		if (inlet->peers[i].socket && inlet->peers[i].pings < round)
			round = inlet->peers[i].pings;
	return round;
}
