/* SPDX-License-Identifier: MIT */
/* See groups.h; the store's side of it is groups_store.c. */
#include "groups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_FIRST 64
#define UPPER UINT64_C(0xffffffff00000000)

/* --- beginning and end -------------------------------------------------------------------------- */

void groups_init(struct groups *groups, const struct spec *spec)
{
	*groups = (struct groups){ .spec = spec };
	sl_writer_init(&groups->row);
}

static void window_free(struct groups *groups, struct window *window)
{
	for (uint32_t i = 0; i < window->count; i++) {
		for (uint32_t k = 0; k < groups->spec->count; k++)
			function_free(
				groups->spec->terms[k].function, &window->groups[i]->cells[k]);
		free(window->groups[i]);
	}
	free(window->groups);
	free(window->slots);
	free(window);
}

void groups_fini(struct groups *groups)
{
	for (uint32_t i = 0; i < groups->count; i++)
		window_free(groups, groups->windows[i]);
	free(groups->windows);
	free(groups->closed);
	sl_writer_fini(&groups->row);
}

/* --- windows ------------------------------------------------------------------------------------ */

/* The place of the first window that does not begin before `start`. */
static uint32_t place_of(const struct groups *groups, int64_t start)
{
	uint32_t low = 0, high = groups->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (groups->windows[middle]->start < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int reserve_window(struct groups *groups)
{
	uint32_t room = 2 * groups->room + 8;
	struct window **grown;

	if (groups->count < groups->room)
		return 0;
	grown = realloc(groups->windows, room * sizeof(struct window *));
	if (!grown)
		return -ENOMEM;
	groups->windows = grown;
	groups->room = room;
	return 0;
}

static struct window *add_window(struct groups *groups, uint32_t place, int64_t start)
{
	struct window *window = calloc(1, sizeof(*window));

	if (!window || reserve_window(groups) < 0) {
		free(window);
		return NULL;
	}
	window->start = start;
	window->changed_tail = &window->changed;
	memmove(groups->windows + place + 1, groups->windows + place,
		(groups->count - place) * sizeof(struct window *));
	groups->windows[place] = window;
	groups->count++;
	return window;
}

struct window *groups_window(struct groups *groups, int64_t start)
{
	uint32_t place;

	if (groups->last && groups->last->start == start)
		return groups->last;
	place = place_of(groups, start);
	groups->last = place < groups->count && groups->windows[place]->start == start
			       ? groups->windows[place]
			       : add_window(groups, place, start);
	return groups->last;
}

static int note_closed(struct groups *groups, int64_t start)
{
	if (groups->closed_count == groups->closed_room) {
		uint32_t room = 2 * groups->closed_room + 8;
		int64_t *grown = realloc(groups->closed, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		groups->closed = grown;
		groups->closed_room = room;
	}
	groups->closed[groups->closed_count++] = start;
	return 0;
}

int groups_close_first(struct groups *groups)
{
	struct window *window = groups->windows[0];

	if (window->is_known && note_closed(groups, window->start) < 0)
		return -ENOMEM;
	groups->count--;
	memmove(groups->windows, groups->windows + 1, groups->count * sizeof(struct window *));
	groups->last = NULL;
	groups->live -= window->live;
	window_free(groups, window);
	return 0;
}

/* --- groups ------------------------------------------------------------------------------------- */

const char *group_key(const struct groups *groups, const struct group_state *group)
{
	return (const char *)(group->cells + groups->spec->count);
}

static void put_slot(struct window *window, uint64_t hash, uint32_t index)
{
	uint32_t mask = window->slot_count - 1;
	uint32_t at = (uint32_t)hash & mask;

	while (window->slots[at])
		at = (at + 1) & mask;
	window->slots[at] = (hash & UPPER) | (index + 1);
}

/* The slots are half full at most. */
static int reserve_group(const struct groups *groups, struct window *window)
{
	uint32_t count = window->slot_count ? 2 * window->slot_count : SLOTS_FIRST;
	struct group_state **grown;
	uint64_t *slots;

	if (window->count < window->room)
		return 0;
	if (count == 0)
		return -ENOMEM;
	grown = realloc(window->groups, count / 2 * sizeof(*grown));
	if (grown)
		window->groups = grown;
	slots = grown ? calloc(count, sizeof(*slots)) : NULL;
	if (!slots)
		return -ENOMEM;
	free(window->slots);
	window->slots = slots;
	window->slot_count = count;
	window->room = count / 2;
	for (uint32_t i = 0; i < window->count; i++)
		put_slot(window,
			XXH3_64bits(
				group_key(groups, window->groups[i]), window->groups[i]->key_size),
			i);
	return 0;
}

static struct group_state *add_group(
	struct groups *groups, struct window *window, const char *key, size_t size, uint64_t hash)
{
	size_t cells = groups->spec->count * sizeof(union cell);
	struct group_state *group;

	if (reserve_group(groups, window) < 0)
		return NULL;
	group = malloc(sizeof(*group) + cells + size);
	if (!group)
		return NULL;
	memset(group, 0, sizeof(*group) + cells);
	group->index = window->count;
	group->key_size = (uint32_t)size;
	memcpy((char *)(group->cells + groups->spec->count), key, size);
	window->groups[window->count++] = group;
	put_slot(window, hash, group->index);
	window->live += sizeof(*group) + cells + size;
	groups->live += sizeof(*group) + cells + size;
	return group;
}

static struct group_state *look_up(const struct groups *groups, const struct window *window,
	const char *key, size_t size, uint64_t hash)
{
	uint32_t mask = window->slot_count - 1;

	for (uint32_t at = (uint32_t)hash & mask; window->slot_count && window->slots[at];
		at = (at + 1) & mask) {
		struct group_state *group;

		if ((window->slots[at] ^ hash) & UPPER)
			continue;
		group = window->groups[(uint32_t)window->slots[at] - 1];
		if (group->key_size == size && memcmp(group_key(groups, group), key, size) == 0)
			return group;
	}
	return NULL;
}

struct group_state *groups_find(
	struct groups *groups, struct window *window, const char *key, size_t size)
{
	uint64_t hash = XXH3_64bits(key, size);
	struct group_state *group;

	/* Of the one group without `by` it is nothing. */
	key = key ? key : "";
	group = look_up(groups, window, key, size, hash);
	if (!group)
		group = add_group(groups, window, key, size, hash);
	if (group && !group->is_changed) {
		group->is_changed = true;
		*window->changed_tail = group;
		window->changed_tail = &group->next_changed;
	}
	return group;
}
