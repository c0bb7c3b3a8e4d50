/* SPDX-License-Identifier: MIT */
/*
 * See follow.h: files that came and were renamed while nobody looked. What stood at a name, and has its rotated name now, and is not known, and is younger
 * than what is known of that name, was missed.
 */
#include "follow.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "beside.h"

#define CHANGED_SLACK (60 * SL_SECOND)

int64_t follow_changed(const struct sl_origin *kept)
{
	return kept->changed * SL_SECOND - CHANGED_SLACK;
}

/* Has anybody read of it, or meant to? */
static bool is_kept(struct sl_context *ctx, const struct file_id *id)
{
	struct sl_origin kept;
	struct file_id old;

	return sl_checkpoint_begin(
		       ctx, &(struct sl_origin){ .origin = input_origin("", id, 0) }, &kept) != 0 ||
	       (input_by_device(id, &old) && is_kept(ctx, &old));
}

/* --- of one name -------------------------------------------------------------------------------- */

struct sibling {
	char *path;
	struct file_id id;
	int64_t born;
};

struct siblings {
	const struct follow *follow;
	const struct follow_gap *gap;
	const char *base; /* of the name */
	struct sibling *items;
	size_t count;
};

static bool is_in_gap(const struct siblings *all, const char *file, int64_t born)
{
	const struct follow_gap *gap = all->gap;

	if (born == gap->since && gap->behind)
		return by_rotation(gap->behind, file, all->base) < 0;
	if (born == gap->until && gap->before)
		return by_rotation(file, gap->before, all->base) < 0;
	return born > gap->since && born < gap->until;
}

static bool is_listed(const struct siblings *all, const struct file_id *id)
{
	for (size_t i = 0; i < all->count; i++)
		if (input_is_same(&all->items[i].id, id))
			return true;
	return false;
}

static bool is_sibling(void *user, const char *path, const struct statx *st)
{
	struct siblings *all = user;
	struct file_id id = input_id(-1, path, st);
	const char *file = input_base(path);
	struct sibling *items;

	if (!is_rotated(file, all->base) || !is_in_gap(all, file, born_at(st)) ||
		tail_find(all->follow, &id) || is_listed(all, &id))
		return false;
	items = reallocarray(all->items, all->count + 1, sizeof(*items));
	if (!items)
		return true;
	all->items = items;
	items[all->count] = (struct sibling){ strdup(path), id, born_at(st) };
	all->count += items[all->count].path != NULL;
	return false;
}

static int by_birth(const void *a, const void *b, void *base)
{
	const struct sibling *first = a, *second = b;

	if (first->born != second->born)
		return first->born < second->born ? -1 : 1;
	return by_rotation(input_base(first->path), input_base(second->path), base);
}

struct tail *follow_missed(struct sl_context *ctx, struct follow *follow, const char *name,
	const struct follow_gap *gap, struct tail *tail)
{
	struct siblings all = { .follow = follow, .gap = gap, .base = input_base(name) };

	(void)walk_beside(name, is_sibling, &all);
	if (all.count > 0)
		qsort_r(all.items, all.count, sizeof(*all.items), by_birth, (void *)all.base);
	for (size_t i = 0; i < all.count; i++) {
		struct sibling *file = &all.items[i];
		struct tail *next = NULL;
		int r;

		if (!is_kept(ctx, &file->id))
			next = follow_adopt(ctx, follow, name, file->path, &file->id, &r);
		free(file->path);
		if (!next)
			continue;
		sl_log(ctx, SL_LOG_INFO, "%s was %s before anybody looked: it is read, too",
			next->path, name);
		next->is_gone = true;
		next->changed = sl_now();
		(void)tail_open(ctx, follow, next);
		if (tail)
			tail_chain(follow, tail, next);
		tail = next;
	}
	free(all.items);
	return tail;
}

/* --- of all names ------------------------------------------------------------------------------- */

/* What is known of a name that files were read under. */
struct name {
	char *path;
	char *key;       /* as walk_folder would say it */
	int64_t changed; /* nothing of it was known for longer */
	int64_t born;    /* the youngest of its files that is known; 0: none is there */
	char *youngest;  /* its name */
	bool has_unknown;
	UT_hash_handle hh;
};

struct names {
	struct sl_context *ctx;
	struct name *names;   /* by key */
	struct name *folders; /* by path */
};

static struct name *add_name(struct name **names, const char *path, const char *key)
{
	struct name *name = NULL;

	HASH_FIND_STR(*names, key, name);
	if (name)
		return name;
	name = calloc(1, sizeof(*name));
	if (!name)
		return NULL;
	name->path = strdup(path);
	if (name->path) {
		name->key = name->path + (strlen(path) - strlen(key));
		HASH_ADD_KEYPTR(hh, *names, name->key, strlen(name->key), name);
	}
	if (name->hh.tbl)
		return name;
	free(name->path);
	free(name);
	return NULL;
}

static void free_names(struct name **names)
{
	struct name *name, *next;

	HASH_ITER (hh, *names, name, next) {
		HASH_DEL(*names, name);
		free(name->path);
		free(name->youngest);
		free(name);
	}
}

static int know(struct names *all, const struct sl_origin *kept)
{
	char *folder = input_folder(kept->name);
	bool is_here = folder && strcmp(folder, ".") == 0;
	struct name *name = NULL;

	if (folder && add_name(&all->folders, folder, folder))
		name = add_name(
			&all->names, kept->name, is_here ? input_base(kept->name) : kept->name);
	free(folder);
	if (!name)
		return sl_error(all->ctx, -ENOMEM, "%s: no memory", kept->name);
	if (follow_changed(kept) > name->changed)
		name->changed = follow_changed(kept);
	return 0;
}

static int know_all(struct names *all)
{
	struct sl_origin kept, *after = NULL;
	int r = 0;

	while (r == 0 && sl_checkpoint_next(all->ctx, after, &kept)) {
		if (follow_is_mine(all->ctx, kept.name))
			r = know(all, &kept);
		after = &kept;
	}
	return r;
}

static void see_sibling(
	struct names *all, struct name *name, const char *path, const struct statx *st)
{
	struct file_id id = input_id(-1, path, st);
	const char *file = input_base(path);

	if (!is_kept(all->ctx, &id)) {
		name->has_unknown = true;
		return;
	}
	if (name->youngest &&
		(born_at(st) < name->born ||
			(born_at(st) == name->born &&
				by_rotation(name->youngest, file, input_base(name->key)) > 0)))
		return;
	free(name->youngest);
	name->youngest = strdup(file);
	name->born = born_at(st);
}

/* "app.log-2026-07-31" may have been "app.log", "app.log-2026" or "app.log-2026-07". */
static bool see_rotated(void *user, const char *path, const struct statx *st)
{
	struct names *all = user;
	const char *base = input_base(path);

	for (const char *at = path + strlen(path) - 1;
		at > base && strchr("0123456789.-_", *at) != NULL; at--) {
		struct name *name = NULL;

		HASH_FIND(hh, all->names, path, (size_t)(at - path), name);
		if (name && is_rotated(base, input_base(name->key)))
			see_sibling(all, name, path, st);
	}
	return false;
}

/* What stands at the name now is known, so nothing between it and what is known was missed. */
static bool is_known(struct sl_context *ctx, const struct name *name)
{
	struct file_id id;
	struct statx st;

	if (statx(AT_FDCWD, name->path, 0, INPUT_STATX, &st) < 0)
		return false;
	id = input_id(-1, name->path, &st);
	return is_kept(ctx, &id);
}

int follow_find_missed(struct sl_context *ctx, struct follow *follow)
{
	struct names all = { .ctx = ctx };
	struct name *name, *next;
	int r = know_all(&all);

	HASH_ITER (hh, all.folders, name, next)
		if (r == 0)
			(void)walk_folder(name->path, see_rotated, &all);
	HASH_ITER (hh, all.names, name, next) {
		struct follow_gap gap = { .since = name->youngest ? name->born : name->changed,
			.behind = name->youngest,
			.until = INT64_MAX };

		if (r == 0 && name->has_unknown && !is_known(ctx, name))
			(void)follow_missed(ctx, follow, name->path, &gap, NULL);
	}
	free_names(&all.names);
	free_names(&all.folders);
	return r;
}
