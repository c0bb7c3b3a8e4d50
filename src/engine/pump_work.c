/* SPDX-License-Identifier: MIT */
/*
 * Batches on their way through the crew: which are handed out and how large a source's are, as the gates and the wishes below say; what the workers hand
 * back goes into the outlets, in order where that is kept; and what is settled there settles its input.
 */
#include "engine/pump_room.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "engine/quarantine.h"
#include "link/tally.h"

#define WORK_TARGET (20 * NSEC_PER_MSEC) /* of work in one batch */
#define BATCH_BYTES_MAX (512u << 10)
#define RATE_SLICE (50 * NSEC_PER_MSEC) /* of what a source may read, in one cut */
#define CUTS_AHEAD 2                    /* cuts that a source makes before the first is taken */

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

void pump_settled(void *user, void *cookie, const uint64_t *tally)
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
		pump_need(pump, outlet_take(pump->outlets[i], &job->outputs[i], entry));
}

static void job_done_sink(struct pump *pump, struct job *job)
{
	struct ledger_entry *entry = ledger_entry_new(pump->host->graph, 0);

	pump_need(pump, entry ? 0 : -ENOMEM);
	count_own(pump, entry->tally, job);
	entry->delivery = job->delivery;
	job->delivery = NULL;
	pump->unsettled++;
	settle_input(pump, entry);
}

static void job_done_transform(struct pump *pump, struct job *job)
{
	struct ledger_entry *entry = ledger_entry_new(pump->host->graph, pump->outlet_count);

	pump_need(pump, entry ? 0 : -ENOMEM);
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
	pump_need(pump, entry ? 0 : -ENOMEM);
	count_own(pump, entry->tally, job);
	entry->made_ns = clock_now();
	head = job->outputs[0].whole->head;
	r = origins_cut(pump->origins, &head, job->cut.is_apart,
		job->cut.after ? host_origin(pump->host, job->cut.after) : 0, entry);
	if (r == -EPROTO)
		die_of_positions(pump, &head);
	pump_need(pump, r);
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

void pump_read_crew(struct pump *pump)
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

	pump_need(pump, job ? 0 : -ENOMEM);
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

	pump_need(pump, job ? 0 : -ENOMEM);
	DL_DELETE(pump->ready, delivery);
	pump->ready_count--;
	job->delivery = delivery;
	job->bytes = delivery->batch->size;
	job->records = delivery->batch->head.count;
	pump_need(pump, quarantine_look(pump->host, &delivery->batch->head.id, &job->quarantine));
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
bool pump_has_more(const struct pump *pump)
{
	return (pump->keeper && keeper_has_repeats(pump->keeper)) ||
	       ((pump->host->impl->flags & SL_TAKES_OVER) && !pump->is_drained);
}

/* A source that was told to stop has ended as soon as no cut is out, or to be made again. */
static void source_stops(struct pump *pump)
{
	if (pump->is_source_done || pump->in_work > 0 || pump_has_more(pump))
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
		(!is_held || pump_has_more(pump)) && gates_are_open(pump))
		give_cut(pump);
	if (is_stopping)
		source_stops(pump);
}

/* A batch for each thread; with coroutines, as many records as there are tasks. A sink takes all, to group its commits. */
bool pump_has_hands(const struct pump *pump)
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

void pump_hand_out(struct pump *pump)
{
	struct delivery *delivery;

	if (pump->state != INSTANCE_RUNNING && pump->state != INSTANCE_DRAINING)
		return;
	if (pump->host->impl->role == SL_SOURCE) {
		hand_out_cuts(pump);
		return;
	}
	while (pump_has_hands(pump) && (delivery = next_delivery(pump)) &&
		may_begin(pump, delivery))
		give_delivery(pump, delivery);
}
