/* SPDX-License-Identifier: MIT */
/*
 * See pump.h. One turn: wait for any socket, the crew or the words; read the words first (so that who was reaped is known
 * before its successor speaks); then crew, outlets, inlets; then hand out what the gates allow; then see whether
 * the life of this instance moves on.
 */
#include "engine/pump.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/word.h"
#include "engine/crash.h"
#include "engine/crew.h"
#include "engine/ledger.h"
#include "engine/quarantine.h"
#include "link/order.h"
#include "link/tally.h"

#define TICK (100 * NSEC_PER_MSEC)
#define WORK_TARGET (20 * NSEC_PER_MSEC) /* of work in one batch */
#define BATCH_BYTES_MAX (512u << 10)
#define RATE_SLICE (50 * NSEC_PER_MSEC) /* of what a source may read, in one cut */
#define CUTS_AHEAD 2                    /* cuts that a source makes before the first is taken */
#define EXPIRE_ROUNDS 3

struct pump {
	struct host *host;
	struct link_env env;
	int words;
	enum instance_state state;
	enum word_how how; /* how the input ended */
	bool is_source_done;
	bool has_paused; /* said so */
	bool is_drained; /* a source with SL_TAKES_OVER that is held has given all that it had read */

	struct crew crew;
	struct outlet **outlets; /* one per port */
	uint32_t outlet_count;
	struct inlet **inlets; /* one per input link */
	uint32_t inlet_count;
	struct order *order;    /* NULL: batches pass one another */
	struct delivery *ready; /* in order, not begun */
	uint32_t ready_count;
	uint32_t in_work; /* jobs out */
	uint64_t records_in_work;
	bool is_alone; /* a suspected batch is in work, and nothing else may be */
	uint64_t in_work_bytes;
	uint64_t given;    /* jobs ever handed out: their sequence */
	uint64_t taken;    /* the sequence that leaves next, under order = "keep" */
	struct job *early; /* done before their turn, by sequence */
	double ns_per_record;
	uint32_t unsettled;      /* ledger entries */
	struct origins *origins; /* source */
	struct keeper *keeper;   /* source that resumes */
	uint64_t *totals;        /* source: tally of all that is settled */

	zmq_pollitem_t *items;
	size_t item_count;
	int64_t ticked;
	int64_t noted; /* until when blocked_ns counts */
	_Alignas(uint64_t) char payload[WORD_PAYLOAD_MAX];
};

/* --- failing ------------------------------------------------------------------------------------ */

/* Says why and ends the process at once: what it had begun is given to another. */
static void pump_die_of(struct pump *pump, int error, const char *reason, bool is_final)
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

static void pump_die(struct pump *pump, const char *reason, bool is_final)
{
	pump_die_of(pump, 0, reason, is_final);
}

static void on_failed(void *user, const char *reason)
{
	pump_die(user, reason, false);
}

static void need(struct pump *pump, int r)
{
	if (r < 0)
		pump_die(pump, err_name(r), false);
}

static void on_silent(void *user, uint32_t stage, uint32_t instance, uint32_t epoch)
{
	struct pump *pump = user;
	struct word word = {
		.type = WORD_SILENT, .stage = stage, .instance = instance, .epoch = epoch
	};

	(void)word_send(pump->words, &word, NULL, 0, NULL, 0);
}

/* --- settling ----------------------------------------------------------------------------------- */

static void settle_input(struct pump *pump, struct ledger_entry *entry)
{
	pump->unsettled--;
	if (entry->delivery) {
		inlet_settle(entry->delivery->inlet, entry->delivery,
			entry->delivery->batch->head.count, entry->tally);
		ledger_entry_free(entry);
		return;
	}
	if (pump->keeper && !entry->is_hole)
		keeper_settle(pump->keeper, entry->slot, entry->tally);
	origins_settle(pump->origins, entry, pump->totals);
}

static void on_settled(void *user, void *cookie, const uint64_t *tally)
{
	struct pump *pump = user;
	struct ledger_entry *entry = cookie;

	tally_add(entry->tally, tally, tally_size(pump->host->graph));
	if (--entry->left == 0)
		settle_input(pump, entry);
}

static void count_own(const struct pump *pump, uint64_t *tally, const struct job *job)
{
	tally[tally_consumed(pump->host->graph, pump->host->stage_index)] += job->consumed;
	tally[tally_dead(pump->host->graph, pump->host->stage_index)] += job->dead;
}

static void take_outputs(struct pump *pump, struct job *job, struct ledger_entry *entry)
{
	pump->unsettled++;
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		need(pump, outlet_take(pump->outlets[i], &job->outputs[i], entry));
}

static void job_done_sink(struct pump *pump, struct job *job)
{
	struct ledger_entry *entry = ledger_entry_new(pump->host->graph, 0);

	need(pump, entry ? 0 : -ENOMEM);
	count_own(pump, entry->tally, job);
	entry->delivery = job->delivery;
	job->delivery = NULL;
	pump->unsettled++;
	settle_input(pump, entry);
}

static void job_done_transform(struct pump *pump, struct job *job)
{
	struct ledger_entry *entry = ledger_entry_new(pump->host->graph, pump->outlet_count);

	need(pump, entry ? 0 : -ENOMEM);
	count_own(pump, entry->tally, job);
	entry->delivery = job->delivery;
	job->delivery = NULL;
	take_outputs(pump, job, entry);
}

/* The names that only the origin's history knows go into every batch of the cut. */
static void name_outputs(struct job *job, const struct batch_head *head)
{
	for (uint32_t i = 0; i < job->port_count; i++) {
		struct outlet_output *output = &job->outputs[i];

		output->whole->head.after_origin = head->after_origin;
		output->whole->head.after_end = head->after_end;
		for (uint32_t lane = 0; lane < output->lane_count; lane++) {
			output->lanes[lane]->head.after_origin = head->after_origin;
			output->lanes[lane]->head.after_end = head->after_end;
		}
	}
}

static struct cut cut_of(const struct job *job)
{
	const struct batch_head *head = &job->outputs[0].whole->head;

	return (struct cut){
		.run = head->id.run,
		.origin = head->id.origin,
		.start = head->id.start,
		.end = head->id.end,
		.line = job->cut.line,
		.mark = job->cut.mark,
		.is_done = head->origin_done,
	};
}

/* Nothing is sent, but a successor should know that the origin was read to its end. */
static void keep_done(struct pump *pump, struct job *job)
{
	const struct cut cut = cut_of(job);

	if (!pump->keeper || !cut.is_done || job->is_repeat)
		return;
	keeper_origin_done(pump->keeper, &cut, job->origin_name);
	job->origin_name = NULL;
}

/* The cut is written down before its batch leaves. */
static void keep_cut(struct pump *pump, struct job *job, struct ledger_entry *entry)
{
	const struct cut cut = cut_of(job);
	char *name = job->origin_name;

	if (!pump->keeper)
		return;
	job->origin_name = NULL;
	if (!job->is_repeat) {
		entry->slot = keeper_cut(pump->keeper, &cut, name);
		return;
	}
	entry->slot = job->repeat.slot;
	entry->is_hole = job->repeat.is_settled;
	if (entry->is_hole)
		free(name);
	else
		keeper_name(pump->keeper, entry->slot, name);
}

static void die_of_positions(struct pump *pump, const struct batch_head *head)
{
	char text[256];

	(void)snprintf(text, sizeof(text),
		"the source's positions do not continue where its last batch ended: [%" PRIu64
		", %" PRIu64 ") of origin %016" PRIx64 " instead of %" PRIu64
		": a fault of the stage",
		head->id.start, head->id.end, head->id.origin,
		origins_next(pump->origins, head->id.origin));
	pump_die(pump, text, true);
}

static void job_done_source(struct pump *pump, struct job *job)
{
	struct ledger_entry *entry;
	struct batch_head head;
	int r;

	pump->is_drained = job->is_canceled;
	/* A source that ends before it has made all cuts again is asked once more, and says so. */
	if (!pump->is_source_done &&
		((job->is_canceled && atomic_load(&pump->host->stopping)) ||
			(job->is_end && !(pump->keeper && keeper_has_repeats(pump->keeper))))) {
		pump->is_source_done = true;
		pump->how = job->is_end ? WORD_HOW_END : WORD_HOW_STOP;
	}
	if (job->is_canceled)
		return;
	entry = ledger_entry_new(pump->host->graph, pump->outlet_count);
	need(pump, entry ? 0 : -ENOMEM);
	count_own(pump, entry->tally, job);
	entry->made_ns = clock_now();
	head = job->outputs[0].whole->head;
	r = origins_cut(pump->origins, &head, job->cut.is_apart,
		job->cut.after ? host_origin(pump->host, job->cut.after) : 0, entry);
	if (r == -EPROTO)
		die_of_positions(pump, &head);
	need(pump, r);
	if (r > 0) {
		tally_add(pump->totals, entry->tally, tally_size(pump->host->graph));
		ledger_entry_free(entry);
		keep_done(pump, job);
		return;
	}
	page_set(pump->host->page->position, head.id.end);
	keep_cut(pump, job, entry);
	name_outputs(job, &head);
	take_outputs(pump, job, entry);
}

static void job_done(struct pump *pump, struct job *job)
{
	switch (pump->host->impl->role) {
	case SL_SOURCE:
		job_done_source(pump, job);
		break;
	case SL_TRANSFORM:
		job_done_transform(pump, job);
		break;
	case SL_SINK:
		job_done_sink(pump, job);
		break;
	}
	job_free(job);
}

/* --- the crew ----------------------------------------------------------------------------------- */

/*
 * About 20 ms of this instance's work: what it does at once, by how long one record takes.
 */
static uint32_t own_wish(const struct pump *pump)
{
	const struct graph_stage *stage = pump->host->stage;
	double wish;

	if (pump->ns_per_record <= 0)
		return graph_first_wish(stage);
	wish = WORK_TARGET * (double)graph_concurrency(stage) / pump->ns_per_record;
	return wish > UINT32_MAX ? UINT32_MAX : (uint32_t)wish;
}

/* ... but not more than downstream wishes. */
static uint32_t pump_wish(const struct pump *pump)
{
	uint32_t wish = own_wish(pump);

	for (uint32_t i = 0; i < pump->outlet_count; i++) {
		uint32_t below = outlet_wish(pump->outlets[i]);

		if (below < wish)
			wish = below;
	}
	return wish > 0 ? wish : 1;
}

static void measure(struct pump *pump, const struct job *job)
{
	uint64_t count = job->consumed + job->dead;
	double one;

	if (count == 0)
		return;
	one = (double)job->work_ns / (double)count;
	pump->ns_per_record =
		pump->ns_per_record > 0 ? 0.75 * pump->ns_per_record + 0.25 * one : one;
}

static int by_sequence(const struct job *a, const struct job *b)
{
	return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

/* A batch that could not even be read: somebody else may try it. */
static void job_refused(struct job *job)
{
	inlet_fail(job->delivery->inlet, job->delivery, "malformed payload");
	job_free(job);
}

static void job_leaves(struct pump *pump, struct job *job)
{
	pump->in_work_bytes -= job->bytes;
	if (job->is_refused)
		job_refused(job);
	else
		job_done(pump, job);
}

/* Under order = "keep" the workers' results leave in the order in which their inputs were handed out. */
static void job_back(struct pump *pump, struct job *job)
{
	pump->in_work--;
	pump->records_in_work -= job->records;
	if (job->quarantine && job->quarantine->is_suspected) {
		quarantine_clear(
			pump->host, &job->delivery->batch->head.id, PAGE_ANY_RECORD, false);
		pump->is_alone = false;
	}
	measure(pump, job);
	if (pump->host->stage->order == GRAPH_ORDER_ANY || pump->host->impl->role == SL_SINK) {
		job_leaves(pump, job);
		return;
	}
	LL_INSERT_INORDER2(pump->early, job, by_sequence, next_in_list);
	while (pump->early && pump->early->sequence == pump->taken) {
		struct job *first = pump->early;

		LL_DELETE2(pump->early, first, next_in_list);
		pump->taken++;
		job_leaves(pump, first);
	}
}

static void read_crew(struct pump *pump)
{
	struct job *begun, *done, *next;
	struct err err;
	bool is_final;
	int error;

	crew_collect(&pump->crew, &begun, &done);
	for (struct job *job = begun; job; job = job->next_begun)
		if (job->delivery)
			inlet_grant(job->delivery->inlet, job->delivery, pump_wish(pump));
	for (struct job *job = done; job; job = next) {
		next = job->next_in_list;
		job_back(pump, job);
	}
	if (crew_has_failed(&pump->crew, &err, &error, &is_final))
		pump_die_of(pump, error, err.text, is_final);
}

static bool gates_are_open(const struct pump *pump)
{
	if (pump->keeper && !keeper_has_room(pump->keeper, pump->in_work)) {
		page_set(pump->host->page->blocked, PAGE_NO_ROOM);
		return false;
	}
	for (uint32_t i = 0; i < pump->outlet_count; i++) {
		if (!outlet_has_room(pump->outlets[i], pump->in_work_bytes)) {
			page_set(pump->host->page->blocked, PAGE_NO_ROOM);
			return false;
		}
		/* The threads' own batches may be one ahead of credit: they are begun, not queued. */
		if (!outlet_has_credit(pump->outlets[i],
			    pump->host->impl->role == SL_SOURCE ? pump->in_work : 0)) {
			page_set(pump->host->page->blocked, PAGE_NO_CREDIT);
			return false;
		}
	}
	page_set(pump->host->page->blocked, PAGE_FREE);
	return true;
}

static void give(struct pump *pump, struct job *job)
{
	job->sequence = pump->given++;
	pump->in_work++;
	pump->records_in_work += job->records;
	pump->in_work_bytes += job->bytes;
	crew_give(&pump->crew, job);
}

/* A cut is paid for when the next one is begun: so it is as small as the source's `rate` is. */
static uint32_t rate_wish(const struct pump *pump)
{
	int64_t rate_ns = pump->host->stage->rate_ns;
	int64_t wish = rate_ns > 0 ? RATE_SLICE / rate_ns : UINT32_MAX;

	return wish < 1 ? 1 : wish > UINT32_MAX ? UINT32_MAX : (uint32_t)wish;
}

static void give_cut(struct pump *pump)
{
	struct job *job = calloc(1, sizeof(*job));
	uint64_t share = pump->host->stage->retain / 8;

	need(pump, job ? 0 : -ENOMEM);
	job->is_repeat = pump->keeper && keeper_next_repeat(pump->keeper, &job->repeat);
	job->want = UINT32_MAX;
	for (uint32_t i = 0; i < pump->outlet_count; i++) {
		uint32_t wish = outlet_wish(pump->outlets[i]);

		if (wish < job->want)
			job->want = wish;
	}
	if (job->want > rate_wish(pump))
		job->want = rate_wish(pump);
	job->size_max = share < BATCH_BYTES_MAX ? share : BATCH_BYTES_MAX;
	job->bytes = job->size_max;
	if (job->is_repeat) {
		job->want = UINT32_MAX;
		job->size_max = SIZE_MAX;
	}
	give(pump, job);
}

static void give_delivery(struct pump *pump, struct delivery *delivery)
{
	struct job *job = calloc(1, sizeof(*job));

	need(pump, job ? 0 : -ENOMEM);
	DL_DELETE(pump->ready, delivery);
	pump->ready_count--;
	job->delivery = delivery;
	job->bytes = delivery->batch->size;
	job->records = delivery->batch->head.count;
	need(pump, quarantine_look(pump->host, &delivery->batch->head.id, &job->quarantine));
	pump->is_alone = job->quarantine && job->quarantine->is_suspected;
	if (delivery->batch->head.again)
		(void)page_add(pump->host->page->batches_again, 1);
	give(pump, job);
}

/*
 * The next delivery that may be begun: the first if the gates are open, else the first urgent one. In order only what was begun before may pass
 * others: what the outlets hold came before all that is ready, so nothing below waits for what is behind the first.
 */
static struct delivery *next_delivery(struct pump *pump)
{
	struct delivery *delivery;

	if (!pump->ready || gates_are_open(pump))
		return pump->ready;
	DL_FOREACH(pump->ready, delivery)
	{
		if (link_is_urgent(&pump->env, &delivery->batch->head) &&
			(!pump->order || order_may_pass(pump->ready, delivery)))
			return delivery;
	}
	return NULL;
}

/* Has a source that reads no more something to give all the same? */
static bool has_more(const struct pump *pump)
{
	return (pump->keeper && keeper_has_repeats(pump->keeper)) ||
	       ((pump->host->impl->flags & SL_TAKES_OVER) && !pump->is_drained);
}

/* A source that was told to stop has ended as soon as no cut is out, or to be made again. */
static void source_stops(struct pump *pump)
{
	if (pump->is_source_done || pump->in_work > 0 || has_more(pump))
		return;
	pump->is_source_done = true;
	pump->how = WORD_HOW_STOP;
}

static void hand_out_cuts(struct pump *pump)
{
	bool is_stopping = atomic_load(&pump->host->stopping);
	bool is_held = is_stopping || atomic_load(&pump->host->pausing);

	/* What was read by a predecessor is settled first, stop or no stop. */
	while (!pump->is_source_done && pump->in_work < CUTS_AHEAD &&
		(!is_held || has_more(pump)) && gates_are_open(pump))
		give_cut(pump);
	if (is_stopping)
		source_stops(pump);
}

/* A batch for each thread; with coroutines, as many records as there are tasks. A sink takes all, to group its commits. */
static bool has_hands(const struct pump *pump)
{
	const struct graph_stage *stage = pump->host->stage;

	if (pump->host->impl->role == SL_SINK || pump->in_work < stage->threads)
		return true;
	return stage->coroutines > 0 && pump->records_in_work < graph_concurrency(stage);
}

/* What is suspected of having ended a process is worked on alone. */
static bool may_begin(const struct pump *pump, const struct delivery *delivery)
{
	return pump->in_work == 0 ||
	       (!pump->is_alone && !quarantine_is_suspected(pump->host, &delivery->batch->head.id));
}

static void hand_out(struct pump *pump)
{
	struct delivery *delivery;

	if (pump->state != INSTANCE_RUNNING && pump->state != INSTANCE_DRAINING)
		return;
	if (pump->host->impl->role == SL_SOURCE) {
		hand_out_cuts(pump);
		return;
	}
	while (has_hands(pump) && (delivery = next_delivery(pump)) && may_begin(pump, delivery))
		give_delivery(pump, delivery);
}

/* --- inlets ------------------------------------------------------------------------------------- */

static void make_ready(struct pump *pump, struct delivery *delivery)
{
	DL_APPEND(pump->ready, delivery);
	pump->ready_count++;
}

static void release_ordered(struct pump *pump)
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
			need(pump, order_add(pump->order, delivery));
		else
			make_ready(pump, delivery);
	}
	need(pump, r);
}

static void read_inlets(struct pump *pump)
{
	for (uint32_t i = 0; i < pump->inlet_count; i++)
		for (uint32_t p = 0; p < inlet_peer_count(pump->inlets[i]); p++)
			read_inlet(pump, pump->inlets[i], p);
	release_ordered(pump);
}

static void tell_floors(struct pump *pump)
{
	if (!pump->env.floors_changed)
		return;
	pump->env.floors_changed = false;
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		outlet_floors_changed(pump->outlets[i]);
	release_ordered(pump);
}

/* --- words -------------------------------------------------------------------------------------- */

/* What is dropped comes again, and nothing behind it may be begun before. */
static void drop_ordered(
	struct pump *pump, const struct inlet *inlet, uint32_t instance, uint32_t epoch)
{
	while (pump->ready) {
		struct delivery *last = pump->ready->prev;

		DL_DELETE(pump->ready, last);
		need(pump, order_take_back(pump->order, last));
	}
	pump->ready_count = 0;
	order_drop(pump->order, inlet, instance, epoch);
	release_ordered(pump);
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

static void collect_items(struct pump *pump);

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
	collect_items(pump);
}

static void read_words(void *user)
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

static void say(struct pump *pump, enum word_type type, const void *payload, size_t size)
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
		say(pump, WORD_READY, NULL, 0);
		break;
	case INSTANCE_INPUT_ENDED:
		if (pump->order)
			order_end(pump->order);
		release_ordered(pump);
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
		(has_more(pump) && !pump->is_source_done))
		return;
	pump->has_paused = true;
	say(pump, WORD_PAUSED, NULL, 0);
}

/* --- the loop ----------------------------------------------------------------------------------- */

static void add_item(struct pump *pump, void *socket, int fd)
{
	pump->items[pump->item_count++] =
		(zmq_pollitem_t){ .socket = socket, .fd = fd, .events = ZMQ_POLLIN };
}

static void collect_items(struct pump *pump)
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
	if (pump->host->impl->role == SL_SOURCE || (pump->ready && has_hands(pump)))
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
	read_words(pump);
	enter(pump, "reading what the workers have done");
	read_crew(pump);
	enter(pump, "reading and writing its outlets");
	for (uint32_t i = 0; i < pump->outlet_count; i++)
		outlet_receive(pump->outlets[i]);
	enter(pump, "reading its inlets");
	read_inlets(pump);
	tell_floors(pump);
	enter(pump, "handing out batches");
	count_blocked(pump);
	hand_out(pump);
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
		.read_words = read_words,
		.silent = on_silent,
		.settled = on_settled,
		.failed = on_failed,
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
	collect_items(pump);
	while (pump->state != INSTANCE_DONE)
		turn(pump);
	show(pump);
	if (pump->keeper && keeper_finish(pump->keeper, &err) < 0)
		pump_die(pump, err.text, true);
	if (host->impl->role == SL_SOURCE)
		say(pump, WORD_TALLY, pump->totals,
			tally_size(host->graph) * sizeof(*pump->totals));
	say(pump, WORD_DONE, NULL, 0);
	pump_close(pump);
	return EXIT_SUCCESS;
}
