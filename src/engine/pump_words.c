/* SPDX-License-Identifier: MIT */
/*
 * The pump and the supervisor: what it says of the peers, of a stop and of a pause is done here, and what it must know is told. A process that fails
 * says why, and ends.
 */
#include "engine/pump_room.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "link/tally.h"

/* --- failing ------------------------------------------------------------------------------------ */

/* Says why and ends the process at once: what it had begun is given to another. */
void pump_die_of(struct pump *pump, int error, const char *reason, bool is_final)
{
	struct word word = {
		.type = WORD_FAILED,
		.stage = pump->host->stage_index,
		.instance = pump->host->instance,
		.how = is_final,
		.error = (uint32_t)-error,
	};

	(void)word_send(pump->words, &word, reason, strnlen(reason, WORD_PAYLOAD_MAX), NULL, 0);
	_exit(EXIT_FAILURE);
}

void pump_die(struct pump *pump, const char *reason, bool is_final)
{
	pump_die_of(pump, 0, reason, is_final);
}

void pump_failed(void *user, const char *reason)
{
	pump_die(user, reason, false);
}

void pump_need(struct pump *pump, int r)
{
	if (r < 0)
		pump_die(pump, err_name(r), false);
}

void pump_silent(void *user, uint32_t stage, uint32_t instance, uint32_t epoch)
{
	struct pump *pump = user;
	struct word word = {
		.type = WORD_SILENT, .stage = stage, .instance = instance, .epoch = epoch
	};

	(void)word_send(pump->words, &word, NULL, 0, NULL, 0);
}

/* --- words -------------------------------------------------------------------------------------- */

/* What is dropped comes again, and nothing behind it may be begun before. */
static void drop_ordered(
	struct pump *pump, const struct inlet *inlet, uint32_t instance, uint32_t epoch)
{
	while (pump->ready) {
		struct delivery *last = pump->ready->prev;

		DL_DELETE(pump->ready, last);
		pump_need(pump, order_take_back(pump->order, last));
	}
	pump->ready_count = 0;
	order_drop(pump->order, inlet, instance, epoch);
	pump_release_ordered(pump);
}

static void drop_ready(
	struct pump *pump, const struct inlet *inlet, uint32_t instance, uint32_t epoch)
{
	struct delivery *delivery, *next;

	DL_FOREACH_SAFE(pump->ready, delivery, next)
	{
		if (delivery->inlet != inlet || delivery->instance != instance ||
			delivery->epoch != epoch)
			continue;
		DL_DELETE(pump->ready, delivery);
		pump->ready_count--;
		delivery_free(delivery);
	}
}

static void word_for_inlet(struct pump *pump, struct inlet *inlet, const struct word *word)
{
	struct err err = { 0 };

	switch (word->type) {
	case WORD_PEER_UP:
		if (inlet_peer_up(inlet, word->instance, word->epoch, &err) < 0)
			pump_die(pump, err.text, false);
		break;
	case WORD_PEER_GONE:
		inlet_peer_gone(inlet, word->instance, word->epoch);
		if (pump->order)
			drop_ordered(pump, inlet, word->instance, word->epoch);
		else
			drop_ready(pump, inlet, word->instance, word->epoch);
		break;
	case WORD_PEER_DONE:
		inlet_peer_finished(inlet, word->instance, word->how);
		break;
	default:
		break;
	}
}

static void word_for_outlet(struct outlet *outlet, const struct word *word)
{
	if (word->type == WORD_PEER_GONE)
		outlet_peer_gone(outlet, word->stage, word->instance, word->epoch);
	else if (word->type == WORD_PEER_DONE)
		outlet_peer_finished(outlet, word->stage, word->instance);
}

static void stop_source(struct pump *pump)
{
	atomic_store(&pump->host->stopping, true);
	crew_cancel(&pump->crew);
}

/* An answer that finds no room is left out: who asked has a deadline. */
static void tell_tally(struct pump *pump)
{
	struct word word = {
		.type = WORD_TALLY_NOW,
		.stage = pump->host->stage_index,
		.instance = pump->host->instance,
		.epoch = pump->host->epoch,
	};

	(void)word_send(pump->words, &word, pump->totals,
		tally_size(pump->host->graph) * sizeof(*pump->totals), NULL, 0);
}

static void hear_word(struct pump *pump, const struct word *word)
{
	const struct graph *graph = pump->host->graph;

	switch (word->type) {
	case WORD_STOP:
		stop_source(pump);
		return;
	case WORD_PAUSE:
		atomic_store(&pump->host->pausing, true);
		pump->has_paused = false;
		crew_cancel(&pump->crew);
		return;
	case WORD_RESUME:
		atomic_store(&pump->host->pausing, false);
		pump->is_drained = false;
		return;
	default:
		break;
	}
	if (word->type == WORD_ASK_TALLY) {
		tell_tally(pump);
		return;
	}
	for (uint32_t i = 0; i < pump->inlet_count; i++)
		if (graph->links[inlet_link(pump->inlets[i])].upstream == word->stage)
			word_for_inlet(pump, pump->inlets[i], word);
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		word_for_outlet(pump->outlets[i], word);
	pump_collect_items(pump);
}

void pump_read_words(void *user)
{
	struct pump *pump = user;
	struct word word;
	size_t size;
	int fds[WORD_FDS_MAX];
	int r;

	while ((r = word_receive(pump->words, &word, pump->payload, &size, fds)) > 0)
		hear_word(pump, &word);
	/* Without a supervisor nobody would ever tell us anything again. */
	if (r == 0)
		_exit(EXIT_FAILURE);
}

void pump_say(struct pump *pump, enum word_type type, const void *payload, size_t size)
{
	struct word word = {
		.type = type,
		.stage = pump->host->stage_index,
		.instance = pump->host->instance,
		.epoch = pump->host->epoch,
		.how = pump->how,
	};
	int r = word_send(pump->words, &word, payload, size, NULL, 0);

	if (r < 0)
		pump_die(pump, "the supervisor does not listen", false);
}
