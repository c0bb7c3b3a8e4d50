/* SPDX-License-Identifier: MIT */
/* See group.h. */
#include "group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static int reserve_batch(struct group *group)
{
	size_t room = 2 * group->batches_room + 64;
	struct group_batch *grown;

	if (group->count < group->batches_room)
		return 0;
	grown = realloc(group->batches, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	group->batches = grown;
	group->batches_room = room;
	return 0;
}

static int reserve_bytes(struct group *group, size_t size)
{
	size_t room = 2 * (group->size + size);
	char *grown;

	if (size <= group->room - group->size)
		return 0;
	grown = realloc(group->bytes, room);
	if (!grown)
		return -ENOMEM;
	group->bytes = grown;
	group->room = room;
	return 0;
}

int group_add(struct group *group, const struct group_batch *batch, const void *records)
{
	struct group_batch *added;

	if (reserve_batch(group) < 0 || reserve_bytes(group, batch->size) < 0)
		return -ENOMEM;
	added = &group->batches[group->count++];
	*added = *batch;
	added->at = group->size;
	if (batch->size > 0) {
		memcpy(group->bytes + group->size, records, batch->size);
		added->hash = XXH3_64bits(records, batch->size);
	}
	group->size += batch->size;
	return 0;
}

static bool is_same(const struct sl_identity *a, const struct sl_identity *b)
{
	return a->start == b->start && a->origin == b->origin && a->path == b->path &&
	       a->run == b->run;
}

const struct group_batch *group_find(const struct group *group, const struct sl_identity *id)
{
	for (size_t i = group->count; i > 0; i--)
		if (is_same(&group->batches[i - 1].id, id))
			return &group->batches[i - 1];
	return NULL;
}

void group_reset(struct group *group)
{
	group->count = 0;
	group->size = 0;
}

void group_fini(struct group *group)
{
	free(group->batches);
	free(group->bytes);
}
