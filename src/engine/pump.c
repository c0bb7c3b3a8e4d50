/* SPDX-License-Identifier: MIT */
/*
 * See pump.h. One turn: wait for any socket, the crew or the words; read the words first (so that who was reaped is known
 * before its successor speaks); then crew, outlets, inlets; then hand out what the gates allow; then see whether
 * the life of this instance moves on.
 */
#include "engine/pump.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/crash.h"
#include "engine/pump_room.h"
#include "link/tally.h"

#define TICK (100 * NSEC_PER_MSEC)
#define EXPIRE_ROUNDS 3

/* --- inlets ------------------------------------------------------------------------------------- */

static void make_ready(struct pump *pump, struct delivery *delivery)
{
	DL_APPEND(pump->ready, delivery);
	pump->ready_count++;
}

void pump_release_ordered(struct pump *pump)
{
	struct delivery *delivery;

	while (pump->order && (delivery = order_next(pump->order)))
		make_ready(pump, delivery);
}

static void read_inlet(struct pump *pump, struct inlet *inlet, uint32_t instance)
{
	struct delivery *delivery;
	int r;

	while ((r = inlet_receive(inlet, instance, &delivery)) > 0) {
		if (pump->order)
			pump_need(pump, order_add(pump->order, delivery));
		else
			make_ready(pump, delivery);
	}
	pump_need(pump, r);
}

static void read_inlets(struct pump *pump)
{
	for (uint32_t i = 0; i < pump->inlet_count; i++)
		for (uint32_t p = 0; p < inlet_peer_count(pump->inlets[i]); p++)
			read_inlet(pump, pump->inlets[i], p);
	pump_release_ordered(pump);
}

static void tell_floors(struct pump *pump)
{
	if (!pump->env.floors_changed)
		return;
	pump->env.floors_changed = false;
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		outlet_floors_changed(pump->outlets[i]);
	pump_release_ordered(pump);
}

/* --- the life ----------------------------------------------------------------------------------- */

static bool input_has_ended(struct pump *pump)
{
	enum word_how how;

	if (pump->host->impl->role == SL_SOURCE)
		return pump->is_source_done && pump->in_work == 0;
	pump->how = WORD_HOW_END;
	for (uint32_t i = 0; i < pump->inlet_count; i++) {
		if (!inlet_has_ended(pump->inlets[i], &how))
			return false;
		if (how == WORD_HOW_STOP)
			pump->how = how;
	}
	return true;
}

static bool is_settled(const struct pump *pump)
{
	return pump->in_work == 0 && pump->ready_count == 0 && pump->unsettled == 0 &&
	       !pump->early && (!pump->order || order_held(pump->order) == 0);
}

static bool outlets_are_done(const struct pump *pump)
{
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		if (!outlet_is_done(pump->outlets[i]))
			return false;
	return true;
}

static void end_outlets(struct pump *pump)
{
	if (pump->keeper)
		keeper_set_ended(pump->keeper, pump->how);
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		outlet_end(pump->outlets[i], pump->how);
}

/* To whoever has sent the sentinel; again to a successor, which does not know that its predecessor heard it. */
static void say_bye(struct pump *pump)
{
	for (uint32_t i = 0; i < pump->inlet_count && pump->state >= INSTANCE_ENDING; i++)
		inlet_bye(pump->inlets[i]);
}

/* Is the event of this state there? And what is done on the way to the next. */
static bool life_event(struct pump *pump, enum instance_event *ret)
{
	switch (pump->state) {
	case INSTANCE_STARTING:
		*ret = INSTANCE_READY;
		return crew_has_started(&pump->crew);
	case INSTANCE_RUNNING:
		*ret = INSTANCE_INPUT_ENDED;
		return input_has_ended(pump);
	case INSTANCE_DRAINING:
		*ret = INSTANCE_SETTLED;
		return is_settled(pump);
	case INSTANCE_FINISHING:
		*ret = INSTANCE_FINISHED;
		return crew_has_stopped(&pump->crew);
	case INSTANCE_ENDING:
		*ret = INSTANCE_LEFT;
		return outlets_are_done(pump);
	default:
		return false;
	}
}

static void life_act(struct pump *pump, enum instance_event event)
{
	switch (event) {
	case INSTANCE_READY:
		pump_say(pump, WORD_READY, NULL, 0);
		break;
	case INSTANCE_INPUT_ENDED:
		if (pump->order)
			order_end(pump->order);
		pump_release_ordered(pump);
		break;
	case INSTANCE_SETTLED:
		crew_finish(&pump->crew, pump->how == WORD_HOW_END);
		break;
	case INSTANCE_FINISHED:
		end_outlets(pump);
		break;
	default:
		break;
	}
}

static void live(struct pump *pump)
{
	enum instance_event event;

	while (life_event(pump, &event)) {
		int next = instance_next(pump->state, event);

		assert(next >= 0);
		pump->state = next;
		life_act(pump, event);
	}
	say_bye(pump);
}

/* A source that reads no more for now says when all is settled; one that has ended is settled anyway. */
static void see_paused(struct pump *pump)
{
	if (!atomic_load(&pump->host->pausing) || pump->has_paused || pump->in_work > 0 ||
		pump->unsettled > 0 || pump->state == INSTANCE_STARTING ||
		(pump_has_more(pump) && !pump->is_source_done))
		return;
	pump->has_paused = true;
	pump_say(pump, WORD_PAUSED, NULL, 0);
}

/* --- the loop ----------------------------------------------------------------------------------- */

static void add_item(struct pump *pump, void *socket, int fd)
{
	pump->items[pump->item_count++] =
		(zmq_pollitem_t){ .socket = socket, .fd = fd, .events = ZMQ_POLLIN };
}

void pump_collect_items(struct pump *pump)
{
	pump->item_count = 0;
	add_item(pump, NULL, pump->words);
	add_item(pump, NULL, pump->crew.wake_fd);
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		add_item(pump, outlet_socket(pump->outlets[i]), 0);
	for (uint32_t i = 0; i < pump->inlet_count; i++)
		for (uint32_t p = 0; p < inlet_peer_count(pump->inlets[i]); p++)
			if (inlet_socket(pump->inlets[i], p))
				add_item(pump, inlet_socket(pump->inlets[i], p), 0);
}

static void show(struct pump *pump)
{
	struct page *page = pump->host->page;
	uint64_t held = 0;

	for (uint32_t i = 0; i < pump->outlet_count; i++)
		held += outlet_held(pump->outlets[i]);
	page_set(page->held_bytes, held);
	page_set(page->settled, origins_floor(pump->origins));
	page_set(page->oldest_ns, origins_oldest(pump->origins));
	page_set(page->queued, pump->ready_count + (pump->order ? order_held(pump->order) : 0));
	crew_show_cpu(&pump->crew);
	crash_sample(pump->host);
}

static void count_blocked(struct pump *pump)
{
	struct page *page = pump->host->page;
	int64_t now = clock_now();

	(void)page_add(page->blocked_ns[page_get(page->blocked)], now - pump->noted);
	pump->noted = now;
}

/* Gates hold up only what is there to be begun, and somebody to begin it. */
static void see_blocked(struct pump *pump)
{
	if (pump->host->impl->role == SL_SOURCE || (pump->ready && pump_has_hands(pump)))
		return;
	page_set(pump->host->page->blocked,
		!pump->ready && pump->in_work == 0 ? PAGE_NO_INPUT : PAGE_FREE);
}

/* Forgets origins that nobody upstream has named for some rounds of PINGs. */
static void expire_floors(struct pump *pump)
{
	uint64_t round = UINT64_MAX;

	for (uint32_t i = 0; i < pump->inlet_count; i++) {
		uint64_t one = inlet_round(pump->inlets[i]);

		if (one < round)
			round = one;
	}
	if (round == UINT64_MAX || round <= EXPIRE_ROUNDS ||
		!floors_expire(&pump->env.floors, round - EXPIRE_ROUNDS))
		return;
	pump->env.floors_changed = true;
	if (pump->order)
		order_forget(pump->order);
}

static void tick(struct pump *pump)
{
	struct err err;
	int64_t now = clock_now();

	if (now - pump->ticked < TICK)
		return;
	pump->ticked = now;
	page_set(pump->host->page->pump_beat_ns, now);
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		outlet_tick(pump->outlets[i], now);
	expire_floors(pump);
	if (pump->keeper && keeper_failed(pump->keeper, &err) < 0)
		pump_die(pump, err.text, true);
	show(pump);
}

static void enter(struct pump *pump, const char *phase)
{
	atomic_store_explicit(&pump->host->phase, phase, memory_order_relaxed);
}

static void turn(struct pump *pump)
{
	if (zmq_poll(pump->items, (int)pump->item_count, TICK / NSEC_PER_MSEC) < 0 &&
		errno != EINTR)
		pump_die(pump, zmq_strerror(errno), false);
	enter(pump, "reading the supervisor's words");
	pump_read_words(pump);
	enter(pump, "reading what the workers have done");
	pump_read_crew(pump);
	enter(pump, "reading and writing its outlets");
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		outlet_receive(pump->outlets[i]);
	enter(pump, "reading its inlets");
	read_inlets(pump);
	tell_floors(pump);
	enter(pump, "handing out batches");
	count_blocked(pump);
	pump_hand_out(pump);
	see_blocked(pump);
	enter(pump, "seeing whether it is at its end");
	live(pump);
	see_paused(pump);
	tick(pump);
	enter(pump, "waiting for its sockets");
}

/* --- beginning and end -------------------------------------------------------------------------- */

static bool restores_order(const struct graph_stage *stage)
{
	return stage->order == GRAPH_ORDER_KEEP && stage->role != SL_SOURCE &&
	       (stage->processes == 1 || stage->partition_count > 0);
}

static int open_links(struct pump *pump, struct err *err)
{
	const struct graph_stage *stage = pump->host->stage;
	uint32_t sockets = 2 + stage->port_count;
	int r = 0;

	pump->outlets = calloc(stage->port_count + 1, sizeof(struct outlet *));
	pump->inlets = calloc(stage->input_count + 1, sizeof(struct inlet *));
	if (!pump->outlets || !pump->inlets)
		return err_set(err, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < stage->port_count && r == 0; i++) {
		r = outlet_open(&pump->env, i, &pump->outlets[i], err);
		pump->outlet_count += r == 0;
	}
	for (uint32_t i = 0; i < stage->input_count && r == 0; i++) {
		r = inlet_open(&pump->env, stage->inputs[i], &pump->inlets[i], err);
		if (r < 0)
			break;
		pump->inlet_count++;
		sockets += inlet_peer_count(pump->inlets[i]);
	}
	pump->items = calloc(sockets, sizeof(*pump->items));
	return r < 0 ? r : pump->items ? 0 : err_set(err, -ENOMEM, "no memory");
}

static int pump_open(struct pump *pump, const char *runtime, struct err *err)
{
	struct host *host = pump->host;
	int r;

	pump->env = (struct link_env){
		.zmq = zmq_ctx_new(),
		.graph = host->graph,
		.runtime = runtime,
		.stage = host->stage_index,
		.instance = host->instance,
		.epoch = host->epoch,
		.run = host->run,
		.read_words = pump_read_words,
		.silent = pump_silent,
		.settled = pump_settled,
		.failed = pump_failed,
		.user = pump,
	};
	if (!pump->env.zmq)
		return err_set(err, -errno, "no ZeroMQ context: %s", zmq_strerror(errno));
	pump->totals = calloc(tally_size(host->graph), sizeof(*pump->totals));
	pump->origins = origins_new(&pump->env);
	if (restores_order(host->stage))
		pump->order = order_new(&pump->env);
	if (!pump->totals || !pump->origins || (restores_order(host->stage) && !pump->order))
		return err_set(err, -ENOMEM, "no memory");
	if (host->impl->role == SL_SOURCE && (host->stage->flags & SL_RESUMES)) {
		r = keeper_open(host, pump->totals, &pump->keeper, err);
		if (r < 0)
			return r;
		host->keeper = pump->keeper;
		pump->is_source_done = keeper_has_ended(pump->keeper, &pump->how);
	}
	if (host->impl->role == SL_SOURCE && !(host->stage->flags & (SL_RESUMES | GRAPH_DURABLE)))
		log_write(LOG_LEVEL_INFO,
			"what it has read and is not settled is lost when its process dies "
			"(intake = \"durable\"; keeps it on disk)");
	r = open_links(pump, err);
	return r < 0 ? r : crew_start(host, &pump->crew, err);
}

static void pump_close(struct pump *pump)
{
	crew_join(&pump->crew);
	keeper_close(pump->keeper);
	for (uint32_t i = 0; i < pump->inlet_count; i++)
		inlet_close(pump->inlets[i]);
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		outlet_close(pump->outlets[i]);
	order_free(pump->order);
	origins_free(pump->origins);
	floors_free(&pump->env.floors);
	free(pump->totals);
	free(pump->items);
	free(pump->inlets);
	free(pump->outlets);
	(void)zmq_ctx_term(pump->env.zmq);
	free(pump);
}

int pump_run(struct host *host, int words, const char *runtime)
{
	struct pump *pump = calloc(1, sizeof(*pump));
	struct err err = { 0 };

	if (!pump) {
		log_write(LOG_LEVEL_ERROR, "no memory");
		return EXIT_FAILURE;
	}
	pump->host = host;
	pump->words = words;
	page_set(host->page->pump_beat_ns, clock_now());
	pump->noted = clock_now();
	if (pump_open(pump, runtime, &err) < 0)
		pump_die(pump, err.text, true);
	pump_collect_items(pump);
	while (pump->state != INSTANCE_DONE)
		turn(pump);
	show(pump);
	if (pump->keeper && keeper_finish(pump->keeper, &err) < 0)
		pump_die(pump, err.text, true);
	if (host->impl->role == SL_SOURCE)
		pump_say(pump, WORD_TALLY, pump->totals,
			tally_size(host->graph) * sizeof(*pump->totals));
	pump_say(pump, WORD_DONE, NULL, 0);
	pump_close(pump);
	return EXIT_SUCCESS;
}
