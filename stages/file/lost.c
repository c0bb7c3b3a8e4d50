/* SPDX-License-Identifier: MIT */
/* See follow.h: files that no pattern leads to any more are looked for in their folder, by what they are and by how rotation names them. */
#include "follow.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANGED_SLACK (60 * SL_SECOND)
#define GENERATIONS_MAX 1000
#define COUNT_DIGITS 4

/* A regular file in a folder. False: it is none. */
static bool look(const char *folder, const char *name, char *path, struct statx *st)
{
	bool is_here = strcmp(folder, ".") == 0;

	if (snprintf(path, PATH_MAX, "%s%s%s", is_here ? "" : folder,
		    is_here || strcmp(folder, "/") == 0 ? "" : "/", name) >= PATH_MAX)
		return false;
	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, INPUT_STATX, st) == 0 &&
	       S_ISREG(st->stx_mode);
}

/* Calls `each` for the regular files beside `path`, until it answers true. */
typedef bool beside_fn(void *user, const char *path, const struct statx *st);
static bool walk_beside(const char *path, beside_fn *each, void *user)
{
	char *folder = input_folder(path);
	DIR *dir = folder ? opendir(folder) : NULL;
	struct dirent *entry;
	bool is_found = false;

	while (dir && !is_found && (entry = readdir(dir))) {
		char file[PATH_MAX];
		struct statx st;

		is_found = look(folder, entry->d_name, file, &st) && each(user, file, &st);
	}
	if (dir)
		(void)closedir(dir);
	free(folder);
	return is_found;
}

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

/* --- by its name -------------------------------------------------------------------------------- */

static int64_t time_of(const struct statx *st)
{
	const struct statx_timestamp *at =
		st->stx_mask & STATX_BTIME ? &st->stx_btime : &st->stx_mtime;

	return at->tv_sec * SL_SECOND + at->tv_nsec;
}

struct sibling {
	char *path;
	struct file_id id;
	int64_t born;
};

struct siblings {
	const struct follow *follow;
	const char *base;   /* of the name */
	const char *behind; /* behind this one of its names; NULL: any that was born later */
	int64_t since;
	struct sibling *items;
	size_t count;
};

/* "app.log.1", "app.log-20260731" for "app.log". */
static bool is_rotated(const char *file, const char *base)
{
	size_t size = strlen(base);
	const char *rest = file + size;

	return strncmp(file, base, size) == 0 && strchr(".-_", *rest) && *rest != '\0' &&
	       strspn(rest, "0123456789.-_") == strlen(rest) && strpbrk(rest, "0123456789");
}

/* ".1": how often it was rotated; what is longer is a time. */
static bool is_count(const char *rest)
{
	size_t size = strlen(rest + 1);

	return *rest == '.' && size <= COUNT_DIGITS && strspn(rest + 1, "0123456789") == size;
}

/*
 * Of two files that were born at one tick of the clock, by their names: below 0: `a` is older. Counts grow with age, times do not; the name itself is
 * the newest.
 */
static int by_rotation(const char *a, const char *b, const char *base)
{
	const char *first = a + strlen(base), *second = b + strlen(base);

	if (!is_rotated(a, base) || !is_rotated(b, base))
		return is_rotated(b, base) - is_rotated(a, base);
	if (is_count(first) && is_count(second))
		return atoi(second + 1) - atoi(first + 1);
	return strcmp(first, second);
}

static bool is_behind(const struct siblings *all, const char *file, int64_t born)
{
	if (born != all->since || !all->behind)
		return born > all->since;
	return by_rotation(all->behind, file, all->base) < 0;
}

static bool is_sibling(void *user, const char *path, const struct statx *st)
{
	struct siblings *all = user;
	struct file_id id = input_id(-1, path, st);
	struct sibling *items;

	if (!is_rotated(input_base(path), all->base) ||
		!is_behind(all, input_base(path), time_of(st)) || tail_find(all->follow, &id))
		return false;
	items = reallocarray(all->items, all->count + 1, sizeof(*items));
	if (!items)
		return true;
	all->items = items;
	items[all->count] = (struct sibling){ strdup(path), id, time_of(st) };
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

/* Has anybody read of it? */
static bool is_kept(struct sl_context *ctx, const struct file_id *id)
{
	struct sl_origin kept;
	struct file_id old;

	return sl_checkpoint_begin(
		       ctx, &(struct sl_origin){ .origin = input_origin("", id, 0) }, &kept) != 0 ||
	       (input_by_device(id, &old) && is_kept(ctx, &old));
}

struct tail *follow_missed(struct sl_context *ctx, struct follow *follow, const char *name,
	int64_t since, struct tail *tail)
{
	struct siblings all = { .follow = follow, .base = input_base(name), .since = since };
	char *behind = tail ? follow_locate(name, &tail->id) : NULL;

	all.behind = behind ? input_base(behind) : NULL;
	(void)walk_beside(name, is_sibling, &all);
	free(behind);
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
	wanted->born = time_of(st);
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
	return add_lost(ctx, all, kept->name, NULL, kept->changed * SL_SECOND - CHANGED_SLACK);
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
		char *name = strdup(kept.name);

		after = &kept;
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

/* Files that stood at one name are read one after the other, and then what stands there now. */
static void chain_all(struct sl_context *ctx, struct follow *follow, const struct all_lost *all)
{
	struct tail *last = NULL;

	for (size_t i = 0; i < all->count; i++) {
		const struct lost *lost = &all->items[i];
		bool is_last = i + 1 == all->count || strcmp(lost->name, lost[1].name) != 0;
		struct tail *now;

		if (last && lost->tail)
			tail_chain(follow, last, lost->tail);
		last = lost->tail;
		if (!is_last)
			continue;
		now = find_path(follow, lost->name);
		last = follow_missed(ctx, follow, lost->name, lost->since, last);
		if (last && now)
			tail_chain(follow, last, now);
		last = NULL;
	}
}

int follow_find_lost(struct sl_context *ctx, struct follow *follow)
{
	struct all_lost all = { 0 };
	int r = find_all(ctx, follow, &all);

	if (all.count > 0)
		qsort(all.items, all.count, sizeof(*all.items), by_name);
	if (r == 0)
		chain_all(ctx, follow, &all);
	for (size_t i = 0; i < all.count; i++)
		free(all.items[i].name);
	free(all.items);
	return r;
}
