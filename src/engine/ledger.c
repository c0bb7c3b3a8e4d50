/* SPDX-License-Identifier: MIT */
/* See ledger.h. */
#include "engine/ledger.h"

#include <errno.h>
#include <stdlib.h>

#include <utlist.h>

#include "link/tally.h"

struct origin {
	uint64_t id;
	uint64_t next;  /* where the next cut must begin */
	uint64_t floor; /* all below is settled */
	bool has_floor_risen;
	bool has_cut;                     /* a batch of it was sent */
	bool is_done;                     /* its last batch was cut */
	uint64_t after_origin, after_end; /* the origin read before it */
	struct ledger_entry *entries;     /* by position */
	struct origin *prev, *nextp;
};

struct origins {
	struct link_env *env;
	struct origin *list; /* in the order of reading */
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

static void origin_free(struct origins *origins, struct origin *origin)
{
	struct ledger_entry *entry, *next;

	DL_FOREACH_SAFE(origin->entries, entry, next)
	{
		DL_DELETE(origin->entries, entry);
		ledger_entry_free(entry);
	}
	DL_DELETE2(origins->list, origin, prev, nextp);
	free(origin);
}

void origins_free(struct origins *origins)
{
	if (!origins)
		return;
	while (origins->list)
		origin_free(origins, origins->list);
	free(origins);
}

static struct origin *origin_get(struct origins *origins, uint64_t id, uint64_t start)
{
	struct origin *last = origins->list ? origins->list->prev : NULL;
	struct origin *origin;

	DL_FOREACH2(origins->list, origin, nextp)
	{
		if (origin->id == id)
			return origin;
	}
	origin = calloc(1, sizeof(*origin));
	if (!origin)
		return NULL;
	origin->id = id;
	origin->next = start;
	origin->floor = start;
	if (last) {
		origin->after_origin = last->id;
		origin->after_end = last->next;
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

int origins_cut(struct origins *origins, struct batch_head *head, struct ledger_entry *entry)
{
	struct origin *origin = origin_get(origins, head->id.origin, head->id.start);
	bool is_first;

	if (!origin)
		return -ENOMEM;
	if (head->id.start != origin->next || head->id.end < head->id.start || origin->is_done)
		return -EPROTO;
	is_first = !origin->has_floor_risen && !origin->entries;
	origin->is_done = head->origin_done;
	if (head->id.end == head->id.start && head->count == 0) {
		/* Nothing was sent of an empty file: the next one comes behind the file before it. */
		if (origin->is_done && !origin->has_cut)
			origin_free(origins, origin);
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
	forget_settled(origins);
}

uint64_t origins_next(const struct origins *origins, uint64_t id)
{
	const struct origin *origin;

	DL_FOREACH2(origins->list, origin, nextp)
	{
		if (origin->id == id)
			return origin->next;
	}
	return 0;
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

uint64_t origins_floor(const struct origins *origins)
{
	return origins->list ? origins->list->prev->floor : 0;
}
