/* SPDX-License-Identifier: MIT */
/*
 * The groups of all open windows, in memory, and what of them a store must learn at the next commit. Groups of a window stand in the order in
 * which they were seen first: a group's place in its window names it in the store, and a result gives them in that order.
 *
 * In the store (keep.h) each row is a list of entries, each of them u32 size and then
 *
 *     'g' window, index, key, cells    a group as it is now; its key only where the store does not have it
 *     'f' window, count                the first of its groups were given
 *     'c' window                       all of them were, and it is closed
 *
 * and what stands behind counts. When the list has become much longer than what it says, it is written anew. One thread.
 */
#ifndef AGGREGATE_GROUPS_H
#define AGGREGATE_GROUPS_H

#include "../spill/keep.h"
#include "spec.h"

/* The one window where there are none. */
#define WINDOW_ALL INT64_MIN

struct group_state {
	struct group_state *next_changed;
	uint32_t index; /* in the window */
	uint32_t key_size;
	bool is_changed;
	bool is_known; /* to the store, its key too */
	union cell cells[];
	/* Behind them the key. */
};

struct window {
	int64_t start;
	struct group_state **groups;
	uint32_t count, room;
	uint64_t *slots; /* upper half: of the hash; lower half: the group's index and 1; 0: free */
	uint32_t slot_count;
	uint32_t given;                              /* its first groups */
	bool is_given;                               /* ... and the store must learn that */
	bool is_known;                               /* to the store */
	uint64_t live;                               /* see struct groups */
	struct group_state *changed, **changed_tail; /* in the order in which they did first */
};

struct groups {
	const struct spec *spec;
	struct window **windows; /* by start */
	uint32_t count, room;
	struct window *last; /* that was found */
	int64_t *closed;     /* of which the store must learn */
	uint32_t closed_count, closed_room;
	struct sl_writer row; /* being filled */
	int64_t next;         /* number of the store's next row */
	uint64_t kept, live;  /* bytes: in the store; what they would be if written anew */
	int64_t saving_next;  /* as they will be when the transaction is done */
	uint64_t saving_kept;
	bool is_all; /* the transaction writes all anew */
};

void groups_init(struct groups *groups, const struct spec *spec);
void groups_fini(struct groups *groups);

/* Made if need be; NULL: no memory. */
struct window *groups_window(struct groups *groups, int64_t start);
/* The group of that key (fields_put_key of each field, one behind the other), which has changed now; made if need be; NULL: no memory. */
struct group_state *groups_find(
	struct groups *groups, struct window *window, const char *key, size_t size);
const char *group_key(const struct groups *groups, const struct group_state *group);
/* The first window is closed and forgotten. 0 or -ENOMEM. */
int groups_close_first(struct groups *groups);

/* For keep_stage.save and load: see there. `nothing`: all is over, and no row stays. */
int groups_save(struct sl_context *ctx, struct groups *groups, struct keep *keep, bool nothing);
int groups_load(struct groups *groups, int64_t n, const char *bytes, size_t size);
/* The commit was done. */
void groups_saved(struct groups *groups);

#endif
