/* SPDX-License-Identifier: MIT */
/* See keeper.h. `lock` is held for a few stores at a time, never over the disk. */
#include "engine/keeper.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "link/tally.h"
#include "state/checkpoint.h"
#include "state/point.h"

#define INTERVAL_MS 100
#define RETRY_MS 1000
#define TRIES 8    /* of what may pass, but need not: some seconds */
#define GROUP 1024 /* cuts in one transaction */

struct keeper {
	const struct host *host;
	uint32_t cells;
	struct cuts *cuts;
	struct checkpoint *checkpoint; /* the thread's */
	struct checkpoint *reader;     /* keeper_place's */
	uint64_t *totals;              /* the thread's: of all cuts in the checkpoint */
	uint64_t *nothing;             /* counts of a cut without records */
	uint64_t head;                 /* ... and the last of them */
	struct checkpoint_origin *origins;
	uint32_t *group;
	uint32_t next_repeat;
	pthread_t thread;
	bool has_thread;
	unsigned tries;       /* the thread's: failed, in a row */
	unsigned begin_tries; /* keeper_begin's, as above */
	bool has_bounds;      /* constant */

	pthread_mutex_t lock; /* of all below, and of taking and freeing slots */
	pthread_cond_t wake;
	uint32_t order[CUTS_MAX]; /* slots not in the checkpoint, as they were cut: a ring */
	char *names[CUTS_MAX];    /* by slot */
	uint32_t begin, count;
	bool is_finishing;
	int failed;
	struct err err;
};

/* --- the checkpoint ------------------------------------------------------------------------------- */

/* The settled cuts at the front: their number, slots in keeper->group. */
static uint32_t collect(struct keeper *keeper)
{
	uint32_t count = 0;

	(void)pthread_mutex_lock(&keeper->lock);
	while (count < GROUP && count < keeper->count) {
		uint32_t slot = keeper->order[(keeper->begin + count) % CUTS_MAX];

		if (!cuts_tally(keeper->cuts, slot))
			break;
		keeper->group[count++] = slot;
	}
	(void)pthread_mutex_unlock(&keeper->lock);
	return count;
}

/* Where the cuts leave each of their origins; the number of these. */
static uint32_t merge(struct keeper *keeper, uint32_t count)
{
	uint32_t origins = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct cut cut = cuts_get(keeper->cuts, keeper->group[i]);
		uint32_t at = origins;

		while (at > 0 && keeper->origins[at - 1].origin != cut.origin)
			at--;
		at = at > 0 ? at - 1 : origins++;
		keeper->origins[at] = (struct checkpoint_origin){
			.origin = cut.origin,
			.place = { cut.end, cut.line, cut.is_done, cut.mark },
			.name = keeper->names[keeper->group[i]],
		};
	}
	return origins;
}

static void release(struct keeper *keeper, uint32_t count)
{
	(void)pthread_mutex_lock(&keeper->lock);
	for (uint32_t i = 0; i < count; i++) {
		free(keeper->names[keeper->group[i]]);
		keeper->names[keeper->group[i]] = NULL;
		cuts_free(keeper->cuts, keeper->group[i]);
	}
	keeper->begin = (keeper->begin + count) % CUTS_MAX;
	keeper->count -= count;
	(void)pthread_mutex_unlock(&keeper->lock);
}

/* Brings the checkpoint forward by a group: their number; 0: none is settled; negative errno: all is as it was. */
static int advance(struct keeper *keeper, struct err *err)
{
	uint32_t count = collect(keeper);
	uint64_t head;
	int r;

	if (count == 0)
		return 0;
	head = cuts_sequence(keeper->cuts, keeper->group[count - 1]);
	for (uint32_t i = 0; i < count; i++)
		tally_add(
			keeper->totals, cuts_tally(keeper->cuts, keeper->group[i]), keeper->cells);
	r = checkpoint_put(keeper->checkpoint, keeper->host->run, keeper->origins,
		merge(keeper, count), head, keeper->totals, keeper->cells, err);
	if (r < 0) {
		for (uint32_t i = 0; i < count; i++)
			tally_subtract(keeper->totals, cuts_tally(keeper->cuts, keeper->group[i]),
				keeper->cells);
		return r;
	}
	keeper->head = head;
	release(keeper, count);
	return (int)count;
}

/* --- the thread ----------------------------------------------------------------------------------- */

/* How often in a row it is tried. What is full is emptied some day; a disk that cannot write will not heal. */
static unsigned tries_for(int error)
{
	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
	case -EROFS:
	case -EBUSY:
		return UINT_MAX;
	case -EIO:
	case -EACCES:
		return TRIES;
	default:
		return 1;
	}
}

/* True: it is to be tried again. */
static bool held_up(struct keeper *keeper, int error, const struct err *err)
{
	keeper->tries++;
	if (keeper->tries >= tries_for(error))
		return false;
	if (keeper->tries == 1)
		log_event(LOG_EVENT_HELD_UP, LOG_LEVEL_WARNING, "the checkpoint waits: %s",
			err->text);
	return true;
}

static void goes_on(struct keeper *keeper)
{
	if (keeper->tries > 0)
		log_event(
			LOG_EVENT_DISK_AGAIN, LOG_LEVEL_WARNING, "the checkpoint is written again");
	keeper->tries = 0;
}

static int64_t retry_ms(const struct keeper *keeper)
{
	return keeper->tries < 5 ? INTERVAL_MS << (keeper->tries - 1) : RETRY_MS;
}

/* Sleeps until there may be something to do; true: the last round has begun. */
static bool rest(struct keeper *keeper, int64_t ms)
{
	struct timespec until;
	int64_t at = clock_now() + ms * NSEC_PER_MSEC;
	bool is_finishing;

	until.tv_sec = at / NSEC_PER_SEC;
	until.tv_nsec = at % NSEC_PER_SEC;
	(void)pthread_mutex_lock(&keeper->lock);
	if (!keeper->is_finishing || keeper->tries > 0)
		(void)pthread_cond_timedwait(&keeper->wake, &keeper->lock, &until);
	is_finishing = keeper->is_finishing;
	(void)pthread_mutex_unlock(&keeper->lock);
	return is_finishing;
}

static void give_up(struct keeper *keeper, int error, const struct err *err)
{
	(void)pthread_mutex_lock(&keeper->lock);
	keeper->failed = error;
	(void)err_set(&keeper->err, error,
		"the checkpoint cannot be written (tried %u time%s): %.900s", keeper->tries,
		keeper->tries == 1 ? "" : "s", err->text);
	(void)pthread_mutex_unlock(&keeper->lock);
}

static void *keep(void *user)
{
	struct keeper *keeper = user;
	bool is_last = false;

	for (;;) {
		struct err err = { 0 };
		int r = advance(keeper, &err);

		if (r < 0 && !held_up(keeper, r, &err)) {
			give_up(keeper, r, &err);
			return NULL;
		}
		if (r >= 0)
			goes_on(keeper);
		if (r == 0 && is_last)
			return NULL;
		if (r <= 0)
			is_last = rest(keeper, r < 0 ? retry_ms(keeper) : INTERVAL_MS);
	}
}

/* --- opening -------------------------------------------------------------------------------------- */

static int make(struct keeper *keeper, struct err *err)
{
	const struct host *host = keeper->host;
	const char *stage = host->stage->name;
	int r;

	keeper->totals = calloc(keeper->cells, sizeof(*keeper->totals));
	keeper->nothing = calloc(keeper->cells, sizeof(*keeper->nothing));
	keeper->origins = calloc(GROUP, sizeof(*keeper->origins));
	keeper->group = calloc(GROUP, sizeof(*keeper->group));
	if (!keeper->totals || !keeper->nothing || !keeper->origins || !keeper->group)
		return err_set(err, -ENOMEM, "no memory");
	r = checkpoint_open(host->state, stage, host->instance, host->series, host->graph->shape,
		&keeper->checkpoint, err);
	if (r == 0)
		r = checkpoint_open(host->state, stage, host->instance, host->series,
			host->graph->shape, &keeper->reader, err);
	if (r == 0)
		r = checkpoint_has_bounds(keeper->reader, err);
	keeper->has_bounds = r > 0;
	if (r >= 0)
		r = checkpoint_counts(keeper->checkpoint, host->run, &keeper->head, keeper->totals,
			keeper->cells, err);
	if (r < 0)
		return r;
	return cuts_open(&(struct cuts_for){ .state = host->state,
				 .stage = stage,
				 .instance = host->instance,
				 .run = host->run,
				 .head = keeper->head,
				 .shape = host->graph->shape,
				 .cells = keeper->cells,
				 .accept_mixed = host->accept_mixed },
		&keeper->cuts, err);
}

static void settle_with_nothing(struct keeper *keeper, uint32_t slot)
{
	memset(keeper->nothing, 0, keeper->cells * sizeof(*keeper->nothing));
	cuts_settle(keeper->cuts, slot, keeper->nothing);
}

/* A cut of no records was settled when it was made, or a moment later. */
static void pass_empty(struct keeper *keeper)
{
	while (keeper->next_repeat < cuts_left(keeper->cuts)) {
		uint32_t slot = cuts_slot(keeper->cuts, keeper->next_repeat);
		struct cut cut = cuts_get(keeper->cuts, slot);

		if (cut.start < cut.end)
			break;
		if (!cuts_tally(keeper->cuts, slot))
			settle_with_nothing(keeper, slot);
		keeper->next_repeat++;
	}
}

/*
 * What was settled up to the first cut that was not belongs to the checkpoint; the others stand in the ring. On a full disk those do, too: their
 * places are filled once more, and the thread brings the checkpoint forward when there is space.
 */
static int take_over(struct keeper *keeper, uint64_t *totals, struct err *err)
{
	int r;

	keeper->count = cuts_left(keeper->cuts);
	for (uint32_t i = 0; i < keeper->count; i++)
		keeper->order[i] = cuts_slot(keeper->cuts, i);
	do
		r = advance(keeper, err);
	while (r > 0);
	keeper->next_repeat = cuts_left(keeper->cuts) - keeper->count;
	tally_add(totals, keeper->totals, keeper->cells);
	for (uint32_t i = 0; i < keeper->count; i++) {
		uint32_t slot = keeper->order[(keeper->begin + i) % CUTS_MAX];

		if (cuts_tally(keeper->cuts, slot))
			tally_add(totals, cuts_tally(keeper->cuts, slot), keeper->cells);
	}
	pass_empty(keeper);
	return r < 0 && tries_for(r) < UINT_MAX ? r : 0;
}

static int start_thread(struct keeper *keeper, struct err *err)
{
	int r = pthread_create(&keeper->thread, NULL, keep, keeper);

	if (r != 0)
		return err_set(err, -r, "cannot start a thread: %s", err_name(r));
	keeper->has_thread = true;
	(void)pthread_setname_np(keeper->thread, "keeper");
	return 0;
}

int keeper_open(const struct host *host, uint64_t *totals, struct keeper **ret, struct err *err)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	pthread_condattr_t monotonic;
	int r;

	if (!keeper)
		return err_set(err, -ENOMEM, "no memory");
	keeper->host = host;
	keeper->cells = tally_size(host->graph);
	(void)pthread_mutex_init(&keeper->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&keeper->wake, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	r = make(keeper, err);
	if (r == 0)
		r = take_over(keeper, totals, err);
	if (r == 0)
		r = start_thread(keeper, err);
	if (r < 0) {
		keeper_close(keeper);
		return r;
	}
	*ret = keeper;
	return 0;
}

static int join(struct keeper *keeper)
{
	if (!keeper->has_thread)
		return 0;
	(void)pthread_mutex_lock(&keeper->lock);
	keeper->is_finishing = true;
	(void)pthread_cond_signal(&keeper->wake);
	(void)pthread_mutex_unlock(&keeper->lock);
	(void)pthread_join(keeper->thread, NULL);
	keeper->has_thread = false;
	return keeper->failed;
}

int keeper_finish(struct keeper *keeper, struct err *err)
{
	int r = join(keeper);

	return r < 0 ? err_set(err, r, "%s", keeper->err.text) : 0;
}

void keeper_close(struct keeper *keeper)
{
	if (!keeper)
		return;
	(void)join(keeper);
	for (uint32_t i = 0; i < CUTS_MAX; i++)
		free(keeper->names[i]);
	cuts_close(keeper->cuts);
	checkpoint_close(keeper->checkpoint);
	checkpoint_close(keeper->reader);
	(void)pthread_mutex_destroy(&keeper->lock);
	(void)pthread_cond_destroy(&keeper->wake);
	free(keeper->totals);
	free(keeper->nothing);
	free(keeper->origins);
	free(keeper->group);
	free(keeper);
}

/* --- the pump's side ------------------------------------------------------------------------------ */

bool keeper_has_repeats(const struct keeper *keeper)
{
	return keeper->next_repeat < cuts_left(keeper->cuts);
}

bool keeper_next_repeat(struct keeper *keeper, struct keeper_repeat *ret)
{
	uint32_t slot;

	if (!keeper_has_repeats(keeper))
		return false;
	slot = cuts_slot(keeper->cuts, keeper->next_repeat++);
	*ret = (struct keeper_repeat){
		.cut = cuts_get(keeper->cuts, slot),
		.slot = slot,
		.is_settled = cuts_tally(keeper->cuts, slot) != NULL,
	};
	pass_empty(keeper);
	return true;
}

bool keeper_has_room(struct keeper *keeper, uint32_t cuts)
{
	bool has_room;

	(void)pthread_mutex_lock(&keeper->lock);
	has_room = cuts_free_count(keeper->cuts) > cuts;
	/* It would look only now and then. */
	if (cuts_free_count(keeper->cuts) < CUTS_MAX / 2)
		(void)pthread_cond_signal(&keeper->wake);
	(void)pthread_mutex_unlock(&keeper->lock);
	return has_room;
}

uint32_t keeper_cut(struct keeper *keeper, const struct cut *cut, char *name)
{
	uint32_t slot;

	(void)pthread_mutex_lock(&keeper->lock);
	slot = cuts_take(keeper->cuts, cut);
	keeper->order[(keeper->begin + keeper->count++) % CUTS_MAX] = slot;
	keeper->names[slot] = name;
	(void)pthread_mutex_unlock(&keeper->lock);
	return slot;
}

void keeper_origin_done(struct keeper *keeper, const struct cut *cut, char *name)
{
	settle_with_nothing(keeper, keeper_cut(keeper, cut, name));
}

void keeper_name(struct keeper *keeper, uint32_t slot, char *name)
{
	(void)pthread_mutex_lock(&keeper->lock);
	free(keeper->names[slot]);
	keeper->names[slot] = name;
	(void)pthread_mutex_unlock(&keeper->lock);
}

void keeper_settle(struct keeper *keeper, uint32_t slot, const uint64_t *tally)
{
	cuts_settle(keeper->cuts, slot, tally);
}

void keeper_set_ended(struct keeper *keeper, enum word_how how)
{
	cuts_set_ended(keeper->cuts, (int)how, keeper->host->term);
}

bool keeper_has_ended(struct keeper *keeper, enum word_how *ret_how)
{
	uint64_t term;
	int how;

	if (!cuts_has_ended(keeper->cuts, &how, &term))
		return false;
	*ret_how = (enum word_how)how;
	return how == WORD_HOW_END || term == keeper->host->term;
}

int keeper_failed(struct keeper *keeper, struct err *err)
{
	int r;

	(void)pthread_mutex_lock(&keeper->lock);
	r = keeper->failed;
	if (r < 0)
		*err = keeper->err;
	(void)pthread_mutex_unlock(&keeper->lock);
	return r;
}

static struct sl_place place_of(const struct checkpoint_place *place)
{
	return (struct sl_place){ place->position, place->line, place->is_done, place->mark };
}

int keeper_place(struct keeper *keeper, uint64_t origin, struct sl_place *ret, struct err *err)
{
	struct checkpoint_place place;
	int r = checkpoint_get(keeper->reader, origin, &place, err);

	if (r > 0)
		*ret = place_of(&place);
	return r;
}

int keeper_bound(
	struct keeper *keeper, uint64_t origin, uint64_t position, uint64_t *ret, struct err *err)
{
	*ret = 0;
	return keeper->has_bounds ? checkpoint_bound(keeper->reader, origin, position, ret, err)
				  : 0;
}

int keeper_safe(struct keeper *keeper, uint64_t origin, uint64_t *ret, struct err *err)
{
	const struct host *host = keeper->host;
	struct point_place point, now;
	uint64_t position = 0;
	int r;

	*ret = UINT64_MAX;
	if (host->graph->sync_interval_ns == 0)
		return 0;
	r = point_last(host->state, &point, err);
	if (r == 0 && point.series == host->series)
		r = checkpoint_safe(keeper->reader, origin, point.number, &position, err);
	/* The slot may have been taken for another point in between. */
	if (r == 0)
		r = point_last(host->state, &now, err);
	if (r == 0)
		*ret = now.number == point.number ? position : 0;
	return r;
}

static struct sl_origin origin_of(const struct checkpoint_origin *from)
{
	return (struct sl_origin){
		.origin = from->origin,
		.place = place_of(&from->place),
		.name = from->name ? from->name : "",
		.changed = from->changed,
	};
}

int keeper_begin(struct keeper *keeper, const struct sl_origin *origin, struct sl_origin *ret,
	struct err *err)
{
	struct checkpoint_origin row = {
		.origin = origin->origin,
		.place = { origin->place.position, origin->place.line, origin->place.is_done,
			origin->place.mark },
		.name = origin->name,
	};
	int r = origin->name ? checkpoint_begin(keeper->reader, &row, err) : 0;

	if (r == 0)
		r = checkpoint_find(keeper->reader, origin->origin, &row, err);
	if (r > 0)
		*ret = origin_of(&row);
	keeper->begin_tries = r < 0 ? keeper->begin_tries + 1 : 0;
	return r < 0 && keeper->begin_tries < tries_for(r) ? -EAGAIN : r;
}

int keeper_next(struct keeper *keeper, const struct sl_origin *after, struct sl_origin *ret,
	struct err *err)
{
	struct checkpoint_origin row;
	int r = checkpoint_next(keeper->reader, after ? &after->origin : NULL, &row, err);

	if (r > 0)
		*ret = origin_of(&row);
	return r;
}
