/* SPDX-License-Identifier: MIT */
/* See outlet.h, outlet_room.h. The batches: taken, held until they are settled, sent under credit. */
#include "link/outlet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>
#include <zmq.h>

#include "link/frame.h"
#include "link/outlet_room.h"
#include "link/tally.h"

#define COPY_MAX 1024 /* smaller payloads are copied into the message */

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

void outlet_duty_free(struct outlet *outlet, struct duty *duty)
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

void outlet_entry_free(struct entry *entry)
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

		outlet_duty_free(outlet, duty);
		if (--entry->left == 0)
			outlet_entry_free(entry);
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

int outlet_send_to(struct outlet *outlet, const struct outlet_peer *peer, const void *data,
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

void outlet_send_batch(struct outlet *outlet, const struct outlet_peer *peer,
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
	if (outlet_send_to(outlet, peer, frame, frame_put_batch(frame, &head, batch->size),
		    ZMQ_SNDMORE) < 0 ||
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
	outlet_send_batch(outlet, peer, duty->batch, duty->again, duty->attempt);
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

void outlet_send_waiting(struct outlet *outlet)
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
	outlet_send_waiting(outlet);
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
