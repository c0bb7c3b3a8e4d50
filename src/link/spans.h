/* SPDX-License-Identifier: MIT */
/*
 * Sets of positions as merged intervals [start, end), one set per key; and floors, one position per origin. Both are
 * small: what lies below a floor is forgotten. One thread.
 */
#ifndef LINK_SPANS_H
#define LINK_SPANS_H

#include <stdbool.h>
#include <stdint.h>

struct span {
	uint64_t start;
	uint64_t end;
};

struct spans_key {
	uint64_t run;
	uint64_t origin;
	uint64_t path;
};

/* A hash of sets; NULL is the empty one. */
struct spans;

/* 0 or -ENOMEM. Overlapping and touching intervals merge. */
int spans_add(struct spans **all, struct spans_key key, uint64_t start, uint64_t end);
/* Forgets what lies below `floor` in every set of that origin. */
void spans_forget(struct spans **all, uint64_t origin, uint64_t floor);
/* Forgets every set of an origin for which keep(user, origin) is false. */
void spans_retain(struct spans **all, bool (*keep)(void *user, uint64_t origin), void *user);
/* Calls `each` for every interval. */
void spans_walk(struct spans *all, void (*each)(void *user, struct spans_key key, struct span span),
	void *user);
uint32_t spans_count(const struct spans *all); /* intervals in all sets */
void spans_free(struct spans **all);

/*
 * Floors: what is known of each origin. They only rise. `round` counts the PINGs that everybody upstream has sent:
 * an origin that nothing has named for some rounds is settled to its end, and forgotten.
 */
struct floors;
/* 1: it rose (or is new), 0: known, -ENOMEM. Either way the origin was named in this round. */
int floors_raise(struct floors **all, uint64_t origin, uint64_t floor, uint64_t round);
uint64_t floors_get(struct floors *all, uint64_t origin); /* 0 when unknown */
bool floors_knows(struct floors *all, uint64_t origin);
void floors_forget(struct floors **all, uint64_t origin);
/* Forgets what was last named before `round`; true when anything was. */
bool floors_expire(struct floors **all, uint64_t round);
uint32_t floors_count(const struct floors *all);
void floors_walk(
	struct floors *all, void (*each)(void *user, uint64_t origin, uint64_t floor), void *user);
void floors_free(struct floors **all);

#endif
