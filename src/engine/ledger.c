/* SPDX-License-Identifier: MIT */
/* See ledger.h. */
#include "engine/ledger.h"

#include <errno.h>
#include <stdlib.h>

#include <uthash.h>
#include <utlist.h>

#include "link/tally.h"

struct origin {
	uint64_t id;
	uint64_t next;  /* where the next cut must begin */
	uint64_t floor; /* all below is settled */
	bool has_floor_risen;
	bool has_cut;                     /* a batch of it was sent */
	bool is_done;                     /* its last batch was cut */
	bool is_apart;                    /* in no chain */
	uint64_t after_origin, after_end; /* the origin read before it */
	struct origin *before;            /* of one that is apart: the same, until it was settled */
	uint32_t awaited;                 /* origins of which it is `before` */
	struct ledger_entry *entries;     /* by position */
	struct origin *prev, *nextp;
	UT_hash_handle hh;
};

struct origins {
	struct link_env *env;
	struct origin *list; /* in the order of reading */
	struct origin *by_id;
};

struct ledger_entry *ledger_entry_new(const struct graph *graph, uint32_t outputs)
{
	struct ledger_entry *entry =
		calloc(1, sizeof(*entry) + tally_size(graph) * sizeof(entry->tally[0]));

	if (entry)
		entry->left = outputs;
	return entry;
}

void ledger_entry_free(struct ledger_entry *entry)
{
	if (!entry)
		return;
	delivery_free(entry->delivery);
	free(entry);
}

struct origins *origins_new(struct link_env *env)
{
	struct origins *origins = calloc(1, sizeof(*origins));

	if (origins)
		origins->env = env;
	return origins;
}

static void let_go(struct origins *origins, struct origin *origin);

static void origin_free(struct origins *origins, struct origin *origin)
{
	struct ledger_entry *entry, *next;

	DL_FOREACH_SAFE(origin->entries, entry, next)
	{
		DL_DELETE(origin->entries, entry);
		ledger_entry_free(entry);
	}
	DL_DELETE2(origins->list, origin, prev, nextp);
	HASH_DEL(origins->by_id, origin);
	let_go(origins, origin);
	free(origin);
}

static void forget_apart(struct origins *origins, struct origin *origin)
{
	if (!origin->is_done || origin->entries || origin->awaited > 0)
		return;
	floors_forget(&origins->env->floors, origin->id);
	origin_free(origins, origin);
}

/* Its first batch will not be sent again. */
static void let_go(struct origins *origins, struct origin *origin)
{
	struct origin *before = origin->before;

	if (!before)
		return;
	origin->before = NULL;
	before->awaited--;
	forget_apart(origins, before);
}

void origins_free(struct origins *origins)
{
	struct origin *origin;

	if (!origins)
		return;
	DL_FOREACH2(origins->list, origin, nextp)
	{
		origin->before = NULL;
	}
	while (origins->list)
		origin_free(origins, origins->list);
	free(origins);
}

static struct origin *origin_find(const struct origins *origins, uint64_t id)
{
	struct origin *origin = NULL;

	HASH_FIND(hh, origins->by_id, &id, sizeof(id), origin);
	return origin;
}

static struct origin *origin_before(const struct origins *origins, bool is_apart, uint64_t after)
{
	struct origin *last = origins->list ? origins->list->prev : NULL;

	if (is_apart)
		return after ? origin_find(origins, after) : NULL;
	return last && !last->is_apart ? last : NULL;
}

static struct origin *origin_get(
	struct origins *origins, uint64_t id, uint64_t start, bool is_apart, uint64_t after)
{
	struct origin *last = origin_before(origins, is_apart, after);
	struct origin *origin = origin_find(origins, id);

	if (origin)
		return origin;
	origin = calloc(1, sizeof(*origin));
	if (!origin)
		return NULL;
	origin->id = id;
	HASH_ADD(hh, origins->by_id, id, sizeof(origin->id), origin);
	if (!origin->hh.tbl) {
		free(origin);
		return NULL;
	}
	origin->next = start;
	origin->floor = start;
	origin->is_apart = is_apart;
	if (last) {
		origin->after_origin = last->id;
		origin->after_end = last->next;
	}
	if (last && is_apart) {
		origin->before = last;
		last->awaited++;
	}
	DL_APPEND2(origins->list, origin, prev, nextp);
	return origin;
}

/* An origin is remembered while the first batch of the one behind it may still be sent again. */
static void forget_settled(struct origins *origins)
{
	struct origin *origin, *behind;

	for (origin = origins->list; origin; origin = behind) {
		behind = origin->nextp;
		if (!origin->is_done || origin->entries || !behind || !behind->has_floor_risen)
			continue;
		floors_forget(&origins->env->floors, origin->id);
		origin_free(origins, origin);
	}
}

/* Nothing is sent. */
static void cut_nothing(struct origins *origins, struct origin *origin)
{
	if (origin->is_apart)
		forget_apart(origins, origin);
	/* Nothing was sent of an empty file: the next one comes behind the file before it. */
	else if (origin->is_done && !origin->has_cut)
		origin_free(origins, origin);
}

int origins_cut(struct origins *origins, struct batch_head *head, bool is_apart, uint64_t after,
	struct ledger_entry *entry)
{
	struct origin *origin =
		origin_get(origins, head->id.origin, head->id.start, is_apart, after);
	bool is_first;

	if (!origin)
		return -ENOMEM;
	if (head->id.start != origin->next || head->id.end < head->id.start ||
		(origin->is_done && !is_apart))
		return -EPROTO;
	is_first = !origin->has_floor_risen && !origin->entries;
	origin->is_done = head->origin_done;
	if (head->id.end == head->id.start && head->count == 0) {
		cut_nothing(origins, origin);
		return 1;
	}
	if (floors_raise(&origins->env->floors, origin->id, origin->floor, UINT64_MAX) < 0)
		return -ENOMEM;
	if (is_first) {
		head->after_origin = origin->after_origin;
		head->after_end = origin->after_end;
	}
	head->floor = origin->floor;
	origin->next = head->id.end;
	origin->has_cut = true;
	entry->origin = origin;
	entry->start = head->id.start;
	entry->end = head->id.end;
	DL_APPEND(origin->entries, entry);
	return 0;
}

void origins_settle(struct origins *origins, struct ledger_entry *entry, uint64_t *totals)
{
	struct origin *origin = entry->origin;

	if (!entry->is_hole)
		tally_add(totals, entry->tally, tally_size(origins->env->graph));
	entry->is_settled = true;
	while (origin->entries && origin->entries->is_settled) {
		struct ledger_entry *first = origin->entries;

		origin->floor = first->end;
		origin->has_floor_risen = true;
		DL_DELETE(origin->entries, first);
		ledger_entry_free(first);
	}
	if (floors_raise(&origins->env->floors, origin->id, origin->floor, UINT64_MAX) > 0)
		origins->env->floors_changed = true;
	if (!origin->is_apart) {
		forget_settled(origins);
		return;
	}
	if (origin->has_floor_risen)
		let_go(origins, origin);
	forget_apart(origins, origin);
}

uint64_t origins_next(const struct origins *origins, uint64_t id)
{
	const struct origin *origin = origin_find(origins, id);

	return origin ? origin->next : 0;
}

bool origins_are_settled(const struct origins *origins)
{
	const struct origin *origin;

	DL_FOREACH2(origins->list, origin, nextp)
	{
		if (origin->entries)
			return false;
	}
	return true;
}

int64_t origins_oldest(const struct origins *origins)
{
	const struct origin *origin;
	int64_t oldest = 0;

	DL_FOREACH2(origins->list, origin, nextp)
	{
		if (origin->entries && (oldest == 0 || origin->entries->made_ns < oldest))
			oldest = origin->entries->made_ns;
	}
	return oldest;
}

uint64_t origins_floor(const struct origins *origins)
{
	return origins->list ? origins->list->prev->floor : 0;
}
