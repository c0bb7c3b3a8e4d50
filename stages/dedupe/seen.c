/* SPDX-License-Identifier: MIT */
/* See seen.h. */
#include "seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BITS 40
#define NUMBER_MASK ((UINT64_C(1) << NUMBER_BITS) - 1)
#define ROOM_FIRST 1024

const struct seen_key *seen_at(const struct seen *seen, uint64_t number)
{
	return &seen->keys[number & (seen->room - 1)];
}

static uint64_t slot_of(const struct seen_key *key, uint64_t number)
{
	return (key->high & ~NUMBER_MASK) | ((number + 1) & NUMBER_MASK);
}

/* Numbers have more bits than a slot: those that are there are near to each other. */
static const struct seen_key *key_of(const struct seen *seen, uint64_t slot)
{
	return seen_at(seen, (slot & NUMBER_MASK) - 1);
}

static bool is_same(const struct seen_key *a, const struct seen_key *b)
{
	return a->low == b->low && a->high == b->high;
}

/* Where the key stands, or a free slot. */
static uint64_t find(const struct seen *seen, const struct seen_key *key)
{
	uint64_t mask = seen->slot_count - 1;
	uint64_t at = key->low & mask;

	while (seen->slots[at]) {
		if (((seen->slots[at] ^ key->high) & ~NUMBER_MASK) == 0 &&
			is_same(key_of(seen, seen->slots[at]), key))
			return at;
		at = (at + 1) & mask;
	}
	return at;
}

bool seen_has(const struct seen *seen, const struct seen_key *key)
{
	return seen->slot_count > 0 && seen->slots[find(seen, key)] != 0;
}

/* --- growing ------------------------------------------------------------------------------------ */

static int grow_slots(struct seen *seen)
{
	uint64_t count = seen->slot_count ? 2 * seen->slot_count : 2 * ROOM_FIRST;
	uint64_t *slots = calloc(count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(seen->slots);
	seen->slots = slots;
	seen->slot_count = count;
	for (uint64_t n = seen->first; n < seen->end; n++)
		slots[find(seen, seen_at(seen, n))] = slot_of(seen_at(seen, n), n);
	return 0;
}

static int grow_keys(struct seen *seen)
{
	uint64_t room = seen->room ? 2 * seen->room : ROOM_FIRST;
	struct seen_key *keys = malloc(room * sizeof(*keys));

	if (!keys)
		return -ENOMEM;
	for (uint64_t n = seen->first; n < seen->end; n++)
		keys[n & (room - 1)] = *seen_at(seen, n);
	free(seen->keys);
	seen->keys = keys;
	seen->room = room;
	return 0;
}

int seen_add(struct seen *seen, const struct seen_key *key)
{
	uint64_t count = seen->end - seen->first;

	if (count == seen->room && grow_keys(seen) < 0)
		return -ENOMEM;
	if (2 * (count + 1) > seen->slot_count && grow_slots(seen) < 0)
		return -ENOMEM;
	seen->keys[seen->end & (seen->room - 1)] = *key;
	seen->slots[find(seen, key)] = slot_of(key, seen->end);
	seen->end++;
	return 0;
}

/* --- forgetting --------------------------------------------------------------------------------- */

const struct seen_key *seen_oldest(const struct seen *seen)
{
	return seen->first < seen->end ? seen_at(seen, seen->first) : NULL;
}

/* Those behind it that would not be found over a free slot move up. */
static void free_slot(struct seen *seen, uint64_t at)
{
	uint64_t mask = seen->slot_count - 1;

	for (uint64_t next = (at + 1) & mask; seen->slots[next]; next = (next + 1) & mask) {
		uint64_t home = key_of(seen, seen->slots[next])->low & mask;

		if (((next - home) & mask) < ((next - at) & mask))
			continue;
		seen->slots[at] = seen->slots[next];
		at = next;
	}
	seen->slots[at] = 0;
}

void seen_forget(struct seen *seen)
{
	free_slot(seen, find(seen, seen_oldest(seen)));
	seen->first++;
}

void seen_fini(struct seen *seen)
{
	free(seen->keys);
	free(seen->slots);
	*seen = (struct seen){ 0 };
}
