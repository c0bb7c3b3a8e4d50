/* SPDX-License-Identifier: MIT */
/*
 * See follow.h: files that came and were renamed while nobody looked. What stood at a name, and has its rotated name now, and is not known, and was born in
 * the gap between two that are, was missed. A folder is walked once for all names in it.
 */
#include "follow.h"

#include <errno.h>
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

/* --- names and their folders -------------------------------------------------------------------- */

struct sibling {
	char *path;
	struct file_id id;
	int64_t born;
};

struct name {
	char *path;
	const char *key; /* as walk_folder would say it */
	UT_hash_handle hh;

	/* of a gap */
	struct follow_gap *gap;
	char *behind; /* what was born at its begin, without folder */
	struct sibling *items;
	size_t count;

	/* of what is known */
	int64_t changed; /* nothing of it was known for longer */
	int64_t born;    /* the youngest of its files that is known */
	char *youngest;  /* its name; NULL: none is there */
	bool has_unknown;
};

struct names {
	struct sl_context *ctx;
	struct follow *follow;
	struct name *names;   /* by key */
	struct name *folders; /* by path */
};

static struct name *add(struct name **names, const char *path, const char *key)
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

static struct name *add_name(struct names *all, const char *path)
{
	char *folder = input_folder(path);
	bool is_here = folder && strcmp(folder, ".") == 0;
	struct name *name = NULL;

	if (folder && add(&all->folders, folder, folder))
		name = add(&all->names, path, is_here ? input_base(path) : path);
	free(folder);
	if (!name)
		(void)sl_error(all->ctx, -ENOMEM, "%s: no memory", path);
	return name;
}

static void free_names(struct name **names)
{
	struct name *name, *next;

	HASH_ITER (hh, *names, name, next) {
		HASH_DEL(*names, name);
		for (size_t i = 0; i < name->count; i++)
			free(name->items[i].path);
		free(name->items);
		free(name->behind);
		free(name->youngest);
		free(name->path);
		free(name);
	}
}

static void walk_all(struct names *all, beside_fn *each)
{
	struct name *folder, *next;

	HASH_ITER (hh, all->folders, folder, next)
		(void)walk_folder(folder->path, each, all);
	free_names(&all->folders);
}

/*
 * Of the names that a file may have had before it was rotated the one behind `*at`, the end of the path to begin with: "app.log-2026-07-31" may have been
 * "app.log-2026-07", "app.log-2026" and "app.log". NULL: no more.
 */
static struct name *next_name(const struct names *all, const char *path, const char **at)
{
	const char *base = input_base(path);
	struct name *name = NULL;

	while (!name && --*at > base && strchr("0123456789.-_", **at)) {
		HASH_FIND(hh, all->names, path, (size_t)(*at - path), name);
		if (name && !is_rotated(base, input_base(name->key)))
			name = NULL;
	}
	return name;
}

/* --- gaps --------------------------------------------------------------------------------------- */

static struct sibling *find_listed(const struct name *name, const struct file_id *id)
{
	for (size_t i = 0; i < name->count; i++)
		if (input_is_same(&name->items[i].id, id))
			return &name->items[i];
	return NULL;
}

/* One that is met once more has been renamed meanwhile. */
static void list(struct name *name, const char *path, const struct file_id *id, int64_t born)
{
	struct sibling *items, *known = find_listed(name, id);
	char *text = strdup(path);

	if (text && known) {
		free(known->path);
		known->path = text;
		return;
	}
	items = text ? reallocarray(name->items, name->count + 1, sizeof(*items)) : NULL;
	if (!items) {
		free(text);
		return;
	}
	name->items = items;
	items[name->count++] = (struct sibling){ text, *id, born };
}

static bool see_sibling(void *user, const char *path, const struct statx *st)
{
	struct names *all = user;
	const char *at = path + strlen(path);
	struct name *name;

	while ((name = next_name(all, path, &at))) {
		const struct follow_gap *gap = name->gap;
		struct file_id id = input_id(-1, path, st);
		int64_t born = born_at(st);

		if (gap->tail && input_is_same(&id, &gap->tail->id)) {
			free(name->behind);
			name->behind = strdup(input_base(path));
		} else if (born >= gap->since && born <= gap->until &&
			   !tail_find(all->follow, &id)) {
			list(name, path, &id, born);
		}
	}
	return false;
}

static bool is_in_gap(const struct name *name, const struct sibling *file)
{
	const struct follow_gap *gap = name->gap;
	const char *base = input_base(name->key), *known = input_base(file->path);

	if (file->born == gap->since)
		return name->behind && by_rotation(name->behind, known, base) < 0;
	if (file->born == gap->until)
		return gap->before && by_rotation(known, gap->before, base) < 0;
	return true;
}

static int by_birth(const void *a, const void *b, void *base)
{
	const struct sibling *first = a, *second = b;

	if (first->born != second->born)
		return first->born < second->born ? -1 : 1;
	return by_rotation(input_base(first->path), input_base(second->path), base);
}

static void read_too(struct names *all, struct follow_gap *gap, const struct sibling *file)
{
	struct tail *tail;
	int r;

	if (is_kept(all->ctx, &file->id))
		return;
	tail = follow_adopt(all->ctx, all->follow, gap->name, file->path, &file->id, &r);
	if (!tail)
		return;
	sl_log(all->ctx, SL_LOG_INFO, "%s was %s before anybody looked: it is read, too",
		tail->path, gap->name);
	tail->is_gone = true;
	tail->changed = sl_now();
	(void)tail_open(all->ctx, all->follow, tail);
	if (gap->tail)
		tail_chain(all->follow, gap->tail, tail);
	gap->tail = tail;
}

int follow_fill(
	struct sl_context *ctx, struct follow *follow, struct follow_gap *gaps, size_t count)
{
	struct names all = { .ctx = ctx, .follow = follow };
	struct name *name, *next;
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		name = add_name(&all, gaps[i].name);
		r = name ? 0 : -ENOMEM;
		if (!name || name->gap)
			continue;
		name->gap = &gaps[i];
		name->behind = gaps[i].behind ? strdup(gaps[i].behind) : NULL;
	}
	if (r == 0)
		walk_all(&all, see_sibling);
	HASH_ITER (hh, all.names, name, next) {
		if (name->count > 0)
			qsort_r(name->items, name->count, sizeof(*name->items), by_birth,
				(void *)input_base(name->key));
		for (size_t i = 0; i < name->count; i++)
			if (is_in_gap(name, &name->items[i]))
				read_too(&all, name->gap, &name->items[i]);
	}
	free_names(&all.names);
	free_names(&all.folders);
	return r;
}

/* --- behind what is known ----------------------------------------------------------------------- */

static int know_all(struct names *all)
{
	struct sl_origin kept, *after = NULL;

	while (sl_checkpoint_next(all->ctx, after, &kept)) {
		struct name *name;

		after = &kept;
		if (!follow_is_mine(all->ctx, kept.name))
			continue;
		name = add_name(all, kept.name);
		if (!name)
			return -ENOMEM;
		if (follow_changed(&kept) > name->changed)
			name->changed = follow_changed(&kept);
	}
	return 0;
}

static bool is_younger(const struct name *name, const char *file, int64_t born)
{
	if (!name->youngest || born != name->born)
		return !name->youngest || born > name->born;
	return by_rotation(name->youngest, file, input_base(name->key)) < 0;
}

static bool see_rotated(void *user, const char *path, const struct statx *st)
{
	struct names *all = user;
	const char *at = path + strlen(path);
	struct name *name;

	while ((name = next_name(all, path, &at))) {
		struct file_id id = input_id(-1, path, st);

		if (!is_kept(all->ctx, &id)) {
			name->has_unknown = true;
		} else if (is_younger(name, input_base(path), born_at(st))) {
			free(name->youngest);
			name->youngest = strdup(input_base(path));
			name->born = born_at(st);
		}
	}
	return false;
}

/* What stands at the name now is known: then nothing between it and what is known was missed. */
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
	struct names all = { .ctx = ctx, .follow = follow };
	struct name *name, *next;
	int r = know_all(&all);

	if (r == 0)
		walk_all(&all, see_rotated);
	HASH_ITER (hh, all.names, name, next) {
		struct follow_gap gap = { .name = name->path,
			.since = name->youngest ? name->born : name->changed,
			.until = INT64_MAX,
			.behind = name->youngest };

		if (r == 0 && name->has_unknown && !is_known(ctx, name))
			r = follow_fill(ctx, follow, &gap, 1);
	}
	free_names(&all.names);
	free_names(&all.folders);
	return r;
}
