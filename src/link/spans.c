/* SPDX-License-Identifier: MIT */
/* See spans.h. A set is a sorted array; additions mostly touch its last interval. */
#include "link/spans.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

struct spans {
	struct spans_key key;
	struct span *items;
	uint32_t count;
	uint32_t capacity;
	UT_hash_handle hh;
};

struct floors {
	uint64_t origin;
	uint64_t floor;
	uint64_t round;
	UT_hash_handle hh;
};

/* The first interval that ends at or behind `start`. */
static uint32_t spans_search(const struct spans *set, uint64_t start)
{
	uint32_t low = 0;
	uint32_t high = set->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (set->items[middle].end < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int spans_insert(struct spans *set, uint32_t at, struct span span)
{
	if (set->count == set->capacity) {
		uint32_t capacity = set->capacity ? 2 * set->capacity : 8;
		struct span *items = reallocarray(set->items, capacity, sizeof(*items));

		if (!items)
			return -ENOMEM;
		set->items = items;
		set->capacity = capacity;
	}
	memmove(&set->items[at + 1], &set->items[at], (set->count - at) * sizeof(span));
	set->items[at] = span;
	set->count++;
	return 0;
}

static int spans_merge(struct spans *set, uint64_t start, uint64_t end)
{
	uint32_t first = spans_search(set, start);
	uint32_t behind = first;

	while (behind < set->count && set->items[behind].start <= end)
		behind++;
	if (behind == first)
		return spans_insert(set, first, (struct span){ start, end });
	struct span *into = &set->items[first];

	if (start < into->start)
		into->start = start;
	into->end = set->items[behind - 1].end > end ? set->items[behind - 1].end : end;
	memmove(into + 1, &set->items[behind], (set->count - behind) * sizeof(*into));
	set->count -= behind - first - 1;
	return 0;
}

int spans_add(struct spans **all, struct spans_key key, uint64_t start, uint64_t end)
{
	struct spans *set = NULL;

	HASH_FIND(hh, *all, &key, sizeof(key), set);
	if (!set) {
		set = calloc(1, sizeof(*set));
		if (!set)
			return -ENOMEM;
		set->key = key;
		HASH_ADD(hh, *all, key, sizeof(key), set);
		if (!set->hh.tbl) {
			free(set);
			return -ENOMEM;
		}
	}
	return spans_merge(set, start, end);
}

static void spans_drop(struct spans **all, struct spans *set)
{
	HASH_DEL(*all, set);
	free(set->items);
	free(set);
}

static void spans_cut(struct spans *set, uint64_t floor)
{
	uint32_t gone = 0;

	while (gone < set->count && set->items[gone].end <= floor)
		gone++;
	memmove(set->items, set->items + gone, (set->count - gone) * sizeof(*set->items));
	set->count -= gone;
	if (set->count > 0 && set->items[0].start < floor)
		set->items[0].start = floor;
}

void spans_forget(struct spans **all, uint64_t origin, uint64_t floor)
{
	struct spans *set, *next;

	HASH_ITER (hh, *all, set, next) {
		if (set->key.origin != origin)
			continue;
		spans_cut(set, floor);
		if (set->count == 0)
			spans_drop(all, set);
	}
}

void spans_retain(struct spans **all, bool (*keep)(void *user, uint64_t origin), void *user)
{
	struct spans *set, *next;

	HASH_ITER (hh, *all, set, next) {
		if (!keep(user, set->key.origin))
			spans_drop(all, set);
	}
}

void spans_walk(struct spans *all, void (*each)(void *user, struct spans_key key, struct span span),
	void *user)
{
	for (struct spans *set = all; set; set = set->hh.next)
		for (uint32_t i = 0; i < set->count; i++)
			each(user, set->key, set->items[i]);
}

uint32_t spans_count(const struct spans *all)
{
	uint32_t count = 0;

	for (const struct spans *set = all; set; set = set->hh.next)
		count += set->count;
	return count;
}

void spans_free(struct spans **all)
{
	struct spans *set, *next;

	HASH_ITER (hh, *all, set, next)
		spans_drop(all, set);
}

static struct floors *floors_find(struct floors *all, uint64_t origin)
{
	struct floors *item = NULL;

	HASH_FIND(hh, all, &origin, sizeof(origin), item);
	return item;
}

int floors_raise(struct floors **all, uint64_t origin, uint64_t floor, uint64_t round)
{
	struct floors *item = floors_find(*all, origin);

	if (item) {
		bool rose = floor > item->floor;

		if (rose)
			item->floor = floor;
		if (round > item->round)
			item->round = round;
		return rose;
	}
	item = calloc(1, sizeof(*item));
	if (!item)
		return -ENOMEM;
	item->origin = origin;
	item->floor = floor;
	item->round = round;
	HASH_ADD(hh, *all, origin, sizeof(item->origin), item);
	if (!item->hh.tbl) {
		free(item);
		return -ENOMEM;
	}
	return 1;
}

bool floors_expire(struct floors **all, uint64_t round)
{
	struct floors *item, *next;
	bool any = false;

	HASH_ITER (hh, *all, item, next) {
		if (item->round >= round)
			continue;
		HASH_DEL(*all, item);
		free(item);
		any = true;
	}
	return any;
}

uint64_t floors_get(struct floors *all, uint64_t origin)
{
	struct floors *item = floors_find(all, origin);

	return item ? item->floor : 0;
}

bool floors_knows(struct floors *all, uint64_t origin)
{
	return floors_find(all, origin) != NULL;
}

void floors_forget(struct floors **all, uint64_t origin)
{
	struct floors *item = floors_find(*all, origin);

	if (item) {
		HASH_DEL(*all, item);
		free(item);
	}
}

uint32_t floors_count(const struct floors *all)
{
	return HASH_COUNT(all);
}

void floors_walk(
	struct floors *all, void (*each)(void *user, uint64_t origin, uint64_t floor), void *user)
{
	for (struct floors *item = all; item; item = item->hh.next)
		each(user, item->origin, item->floor);
}

void floors_free(struct floors **all)
{
	struct floors *item, *next;

	HASH_ITER (hh, *all, item, next) {
		HASH_DEL(*all, item);
		free(item);
	}
}
