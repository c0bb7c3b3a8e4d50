/* SPDX-License-Identifier: MIT */
/*
 * Keys that were seen, the oldest forgotten first: 128 bits of hash each, and when. A queue, numbered from the first key there ever was, and a table of
 * where a key stands in it. 24 bytes a key in the queue and 16 to 32 in the table. One thread.
 */
#ifndef DEDUPE_SEEN_H
#define DEDUPE_SEEN_H

#include <stdbool.h>
#include <stdint.h>

struct seen_key {
	uint64_t low, high;
	int64_t when;
};

struct seen {
	struct seen_key *keys; /* number n stands at n % room */
	uint64_t first, end;   /* numbers */
	uint64_t room;         /* a power of two, or 0 */
	uint64_t *slots;       /* 24 bits of the hash, 40 of the number and 1; 0: free */
	uint64_t slot_count;   /* a power of two, or 0 */
};

/* Is it there? */
bool seen_has(const struct seen *seen, const struct seen_key *key);
/* Behind the others; it is not there. 0 or -ENOMEM. */
int seen_add(struct seen *seen, const struct seen_key *key);
/* NULL: there is none. */
const struct seen_key *seen_oldest(const struct seen *seen);
const struct seen_key *seen_at(const struct seen *seen, uint64_t number);
/* The oldest goes; there is one. */
void seen_forget(struct seen *seen);
void seen_fini(struct seen *seen);

#endif
