/* SPDX-License-Identifier: MIT */
/* Batches that a commit writes in one transaction, copied: so it can be tried again. One thread. */
#ifndef SPILL_GROUP_H
#define SPILL_GROUP_H

#include <sluice/stage.h>

struct group_batch {
	struct sl_identity id;
	uint64_t hash; /* of the bytes */
	size_t at;     /* in group.bytes */
	size_t size;
	uint32_t count;
	uint32_t dead; /* all of its records, or none */
};

struct group {
	struct group_batch *batches;
	size_t count, batches_room;
	char *bytes;
	size_t size, room;
};

/* Copies the batch, and `batch->size` bytes of records; fills in hash and at. 0 or -ENOMEM. */
int group_add(struct group *group, const struct group_batch *batch, const void *records);
/* The one of that name, or NULL. */
const struct group_batch *group_find(const struct group *group, const struct sl_identity *id);
/* Empty; the memory is kept. */
void group_reset(struct group *group);
void group_fini(struct group *group);

#endif
