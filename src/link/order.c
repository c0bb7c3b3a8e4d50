/* SPDX-License-Identifier: MIT */
/* See order.h. Held batches of a lane are a list sorted by position; most arrive at its end. */
#include "link/order.h"

#include <errno.h>
#include <stdlib.h>

#include <uthash.h>
#include <utlist.h>

struct lane {
	struct spans_key key;
	uint64_t next;         /* the position that must come now */
	struct delivery *held; /* doubly linked, by start */
	UT_hash_handle hh;
};

struct order {
	struct link_env *env;
	struct lane *lanes;
	uint32_t held;
	bool has_ended;
};

struct order *order_new(struct link_env *env)
{
	struct order *order = calloc(1, sizeof(*order));

	if (order)
		order->env = env;
	return order;
}

static void lane_free(struct order *order, struct lane *lane)
{
	struct delivery *delivery, *next;

	DL_FOREACH_SAFE(lane->held, delivery, next)
	{
		DL_DELETE(lane->held, delivery);
		order->held--;
		delivery_free(delivery);
	}
	HASH_DEL(order->lanes, lane);
	free(lane);
}

void order_free(struct order *order)
{
	struct lane *lane, *next;

	if (!order)
		return;
	HASH_ITER (hh, order->lanes, lane, next)
		lane_free(order, lane);
	free(order);
}

static struct lane *lane_find(const struct order *order, const struct spans_key *key)
{
	struct lane *lane = NULL;

	HASH_FIND(hh, order->lanes, key, sizeof(*key), lane);
	return lane;
}

static struct lane *lane_get(struct order *order, const struct batch_id *id)
{
	struct spans_key key = { .run = id->run, .origin = id->origin, .path = id->path };
	struct lane *lane = lane_find(order, &key);

	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->key = key;
	HASH_ADD(hh, order->lanes, key, sizeof(lane->key), lane);
	if (!lane->hh.tbl) {
		free(lane);
		return NULL;
	}
	return lane;
}

int order_add(struct order *order, struct delivery *delivery)
{
	const struct batch_id *id = &delivery->batch->head.id;
	struct lane *lane = lane_get(order, id);
	struct delivery *behind;

	if (!lane)
		return -ENOMEM;
	/* Found from the end: the batch it stands behind, if any. */
	behind = lane->held ? lane->held->prev : NULL;
	while (behind && behind->batch->head.id.start > id->start)
		behind = behind == lane->held ? NULL : behind->prev;
	if (behind)
		DL_APPEND_ELEM(lane->held, behind, delivery);
	else
		DL_PREPEND(lane->held, delivery);
	order->held++;
	return 0;
}

/* Has the origin before this one reached its end on this path? */
static bool lane_may_begin(
	const struct order *order, const struct lane *lane, const struct batch_head *head)
{
	struct spans_key before = {
		.run = lane->key.run, .origin = head->after_origin, .path = lane->key.path
	};
	const struct lane *other;

	if (head->after_origin == 0 || lane->next > head->id.start)
		return true;
	if (floors_get(order->env->floors, head->after_origin) >= head->after_end)
		return true;
	other = lane_find(order, &before);
	return other && other->next >= head->after_end;
}

static struct delivery *lane_next(struct order *order, struct lane *lane)
{
	struct delivery *first = lane->held;
	uint64_t floor = floors_get(order->env->floors, lane->key.origin);

	if (floor > lane->next)
		lane->next = floor;
	if (!first)
		return NULL;
	if (!order->has_ended && (first->batch->head.id.start > lane->next ||
					 !lane_may_begin(order, lane, &first->batch->head)))
		return NULL;
	first->came_at = lane->next;
	if (first->batch->head.id.end > lane->next)
		lane->next = first->batch->head.id.end;
	DL_DELETE(lane->held, first);
	first->prev = first->next = NULL;
	order->held--;
	return first;
}

struct delivery *order_next(struct order *order)
{
	struct lane *lane, *next;

	HASH_ITER (hh, order->lanes, lane, next) {
		struct delivery *delivery = lane_next(order, lane);

		if (delivery)
			return delivery;
	}
	return NULL;
}

static bool is_of_lane(const struct delivery *delivery, const struct batch_id *id)
{
	const struct batch_id *own = &delivery->batch->head.id;

	return own->run == id->run && own->origin == id->origin && own->path == id->path;
}

bool order_may_pass(const struct delivery *list, const struct delivery *delivery)
{
	const struct batch_id *id = &delivery->batch->head.id;
	const struct delivery *before = list;

	if (list == delivery)
		return true;
	/* The first of its lane that moved it: there the lane stood when the last of it was begun. */
	while (before != delivery &&
		(!is_of_lane(before, id) || before->batch->head.id.end <= before->came_at))
		before = before->next;
	return id->end <= before->came_at;
}

/* What repeats what was begun has not moved its lane, and does not move it back. */
int order_take_back(struct order *order, struct delivery *delivery)
{
	int r = order_add(order, delivery);

	if (r == 0)
		lane_get(order, &delivery->batch->head.id)->next = delivery->came_at;
	return r;
}

void order_end(struct order *order)
{
	order->has_ended = true;
}

void order_drop(struct order *order, const struct inlet *inlet, uint32_t instance, uint32_t epoch)
{
	struct lane *lane, *next;
	struct delivery *delivery, *behind;

	HASH_ITER (hh, order->lanes, lane, next) {
		DL_FOREACH_SAFE(lane->held, delivery, behind)
		{
			if (delivery->inlet != inlet || delivery->instance != instance ||
				delivery->epoch != epoch)
				continue;
			DL_DELETE(lane->held, delivery);
			order->held--;
			delivery_free(delivery);
		}
	}
}

void order_forget(struct order *order)
{
	struct lane *lane, *next;

	HASH_ITER (hh, order->lanes, lane, next) {
		if (!lane->held && !floors_knows(order->env->floors, lane->key.origin))
			lane_free(order, lane);
	}
}

uint32_t order_held(const struct order *order)
{
	return order->held;
}
