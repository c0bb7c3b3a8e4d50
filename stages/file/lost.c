/* SPDX-License-Identifier: MIT */
/* See follow.h: files that no pattern leads to any more are looked for in their folder, by what they are. */
#include "follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "beside.h"

#define GENERATIONS_MAX 1000

/* --- by what it is ------------------------------------------------------------------------------ */

struct wanted_file {
	const struct file_id *id;
	char *path;
};

static bool is_file(void *user, const char *path, const struct statx *st)
{
	struct wanted_file *wanted = user;
	struct file_id id = input_id(-1, path, st);

	if (!input_is_same(&id, wanted->id))
		return false;
	wanted->path = strdup(path);
	return true;
}

char *follow_locate(const char *path, const struct file_id *id)
{
	struct wanted_file wanted = { .id = id };

	(void)walk_beside(path, is_file, &wanted);
	return wanted.path;
}

/* --- by its origin ------------------------------------------------------------------------------ */

struct wanted_origin {
	struct sl_context *ctx;
	uint64_t origin;
	uint64_t generation;
	char *path;
	struct file_id id;
	int64_t born;
};

static bool has_generation(struct wanted_origin *wanted, const struct file_id *id)
{
	struct sl_place place;
	uint64_t generation = 0;
	uint64_t origin;

	do {
		origin = input_origin("", id, generation);
		wanted->generation = generation++;
		if (origin == wanted->origin)
			return true;
	} while (generation < GENERATIONS_MAX && sl_checkpoint(wanted->ctx, origin, &place));
	return false;
}

static bool is_origin(void *user, const char *path, const struct statx *st)
{
	struct wanted_origin *wanted = user;

	struct file_id old;

	wanted->id = input_id(-1, path, st);
	if (!has_generation(wanted, &wanted->id) &&
		!(input_by_device(&wanted->id, &old) && has_generation(wanted, &old)))
		return false;
	wanted->path = strdup(path);
	wanted->born = born_at(st);
	return true;
}

static struct tail *find_tail(struct sl_context *ctx, const struct follow *follow, uint64_t origin)
{
	struct wanted_origin wanted = { .ctx = ctx, .origin = origin };

	for (struct tail *tail = follow->tails; tail; tail = tail->hh.next)
		if (tail->at.origin == origin || tail->at.past == origin)
			return tail;
	for (struct tail *tail = follow->tails; tail; tail = tail->hh.next)
		if (tail->at.generation > 0 && has_generation(&wanted, &tail->id))
			return tail;
	return NULL;
}

static struct tail *find_path(const struct follow *follow, const char *path)
{
	for (struct tail *tail = follow->tails; tail; tail = tail->hh.next)
		if (!tail->is_foreign && !tail->is_ignored && strcmp(tail->path, path) == 0)
			return tail;
	return NULL;
}

/* It will not be asked for again. */
static void is_ended(struct follow *follow, const struct sl_origin *kept)
{
	struct ended *ended = calloc(1, sizeof(*ended));

	if (!ended)
		return;
	ended->origin = kept->origin;
	ended->place = kept->place;
	ended->name = strdup(kept->name);
	ended->next = follow->ended;
	follow->ended = ended;
}

/* What became of a file that had been read and is not where it was. */
struct lost {
	char *name;
	struct tail *tail; /* NULL: it is not there any more */
	int64_t since;     /* what stood at the name after it was born later */
};

struct all_lost {
	struct lost *items;
	size_t count;
};

static int add_lost(struct sl_context *ctx, struct all_lost *all, const char *name,
	struct tail *tail, int64_t since)
{
	struct lost *items = reallocarray(all->items, all->count + 1, sizeof(*items));

	if (items)
		all->items = items;
	if (!items || !(items[all->count].name = strdup(name)))
		return sl_error(ctx, -ENOMEM, "%s: no memory", name);
	items[all->count].tail = tail;
	items[all->count].since = since;
	all->count++;
	return 0;
}

static int take_up(struct sl_context *ctx, struct follow *follow, const struct sl_origin *kept,
	const struct wanted_origin *found, struct all_lost *all)
{
	int r;
	struct tail *tail = follow_adopt(ctx, follow, kept->name, found->path, &found->id, &r);

	if (!tail)
		return r;
	tail->is_gone = true;
	tail->changed = sl_now();
	(void)tail_open(ctx, follow, tail);
	if (tail->at.origin != kept->origin)
		is_ended(follow, kept);
	return add_lost(ctx, all, kept->name, tail, found->born);
}

static int say_lost(struct sl_context *ctx, struct follow *follow, const struct sl_origin *kept,
	struct all_lost *all)
{
	sl_log_about(ctx, SL_ABOUT_MISSED, SL_LOG_WARNING,
		"%s: the file that stood there is not there any more: what it held behind byte "
		"%llu was not read",
		kept->name, (unsigned long long)kept->place.position);
	is_ended(follow, kept);
	return add_lost(ctx, all, kept->name, NULL, follow_changed(kept));
}

/* It goes on under another name that a pattern matches, too: what took its place waits for it. */
static int has_left(struct sl_context *ctx, const struct sl_origin *kept, struct tail *tail,
	struct all_lost *all)
{
	const uint64_t *part = tail->id.part;

	if (!input_is_born(&tail->id) || strcmp(tail->path, kept->name) == 0)
		return 0;
	return add_lost(ctx, all, kept->name, tail, (int64_t)(part[3] * SL_SECOND + part[4]));
}

/* A tail has the origin already, or it is looked for. */
static int find_one(struct sl_context *ctx, struct follow *follow, const struct sl_origin *kept,
	struct all_lost *all)
{
	struct wanted_origin wanted = { .ctx = ctx, .origin = kept->origin };
	struct tail *tail = find_tail(ctx, follow, kept->origin);
	int r = 0;

	if (tail && tail->at.origin == kept->origin)
		return has_left(ctx, kept, tail, all);
	if (tail)
		/* A generation before a truncation, or what it was known by before. */
		is_ended(follow, kept);
	else if (!walk_beside(kept->name, is_origin, &wanted))
		r = say_lost(ctx, follow, kept, all);
	else
		r = take_up(ctx, follow, kept, &wanted, all);
	free(wanted.path);
	return r;
}

static int find_all(struct sl_context *ctx, struct follow *follow, struct all_lost *all)
{
	struct sl_origin kept, *after = NULL;
	int r = 0;

	while (r == 0 && sl_checkpoint_next(ctx, after, &kept)) {
		char *name;

		after = &kept;
		if (kept.place.is_done)
			continue;
		name = strdup(kept.name);
		if (!name)
			return sl_error(ctx, -ENOMEM, "%s: no memory", kept.name);
		kept.name = name;
		if (follow_is_mine(ctx, name))
			r = find_one(ctx, follow, &kept, all);
		free(name);
	}
	return r;
}

/* By name; what is not there any more first; then as they were born. */
static int by_name(const void *a, const void *b)
{
	const struct lost *first = a, *second = b;
	int order = strcmp(first->name, second->name);

	if (order == 0)
		order = (first->tail != NULL) - (second->tail != NULL);
	if (order != 0 || first->since != second->since)
		return order != 0 ? order : first->since < second->since ? -1 : 1;
	return first->tail ? by_rotation(input_base(first->tail->path),
				     input_base(second->tail->path), input_base(first->name))
			   : 0;
}

/* Files that stood at one name are read one after the other, and then what stands there now; what was missed in between, too. */
static int chain_all(struct sl_context *ctx, struct follow *follow, const struct all_lost *all)
{
	int r = 0;

	for (size_t i = 0; i < all->count && r == 0; i++) {
		const struct lost *lost = &all->items[i], *next = NULL;
		struct follow_gap gap = { .name = lost->name,
			.since = lost->since,
			.until = INT64_MAX,
			.tail = lost->tail };
		struct tail *behind;

		if (i + 1 < all->count && strcmp(lost->name, lost[1].name) == 0)
			next = &lost[1];
		/* Of what is not there any more one says when it was. */
		if (next && !next->tail)
			continue;
		if (next) {
			gap.until = next->since;
			gap.before = input_base(next->tail->path);
		}
		r = follow_fill(ctx, follow, &gap, 1);
		behind = next ? next->tail : find_path(follow, lost->name);
		if (gap.tail && behind)
			tail_chain(follow, gap.tail, behind);
	}
	return r;
}

int follow_find_lost(struct sl_context *ctx, struct follow *follow)
{
	struct all_lost all = { 0 };
	int r = find_all(ctx, follow, &all);

	if (all.count > 0)
		qsort(all.items, all.count, sizeof(*all.items), by_name);
	if (r == 0)
		r = chain_all(ctx, follow, &all);
	for (size_t i = 0; i < all.count; i++)
		free(all.items[i].name);
	free(all.items);
	return r;
}
