/* SPDX-License-Identifier: MIT */
/* See follow.h: which files there are. */
#include "follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SCAN_EVERY (10 * SL_SECOND)
#define POLL_EVERY SL_SECOND
#define SCAN_SHARE 10 /* scans that take long are made seldom: at most this part of the time, */
#define REST_MAX SL_SECOND          /* ... but no scan is put off for longer */
#define VACANT_FOR (10 * SL_SECOND) /* a name that has no file: how long it is known who had it */
#define CLOCK_SLACK (50 * SL_MILLISECOND) /* what times of files lag behind the clock */

/* Files that no tail has yet, as the patterns name them. */
struct fresh {
	struct input *items;
	size_t count, capacity;
};

static int64_t wall_clock(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * SL_SECOND + now.tv_nsec;
}

/* --- new files ---------------------------------------------------------------------------------- */

bool follow_is_mine(struct sl_context *ctx, const char *name)
{
	return XXH3_64bits(name, strlen(name)) % sl_process_count(ctx) == sl_process(ctx);
}

/* 1: the file is kept under a name, *ret_mine: one of ours; 0: another process will keep it; negative errno. */
static int claim(struct sl_context *ctx, const struct follow *follow, const char *name,
	const struct file_id *id, struct sl_origin *ret, bool *ret_mine)
{
	struct sl_origin origin = { 0 };
	struct file_id old;
	int r = 0;

	if (follow->makes_again && input_by_device(id, &old)) {
		origin.origin = input_origin("", &old, 0);
		r = sl_checkpoint_begin(ctx, &origin, ret);
	}
	if (r == 0) {
		origin.origin = input_origin("", id, 0);
		r = sl_checkpoint_begin(ctx, &origin, ret);
	}

	if (r == 0 && follow_is_mine(ctx, name)) {
		origin.name = name;
		r = sl_checkpoint_begin(ctx, &origin, ret);
	}
	*ret_mine = r > 0 && follow_is_mine(ctx, ret->name);
	return r;
}

static bool is_compressed(
	struct sl_context *ctx, const struct follow *follow, const char *path, int *ret_error)
{
	struct sl_codec codec = { 0 };

	*ret_error = codec_options_resolve(ctx, follow->codec, path, &codec);
	return *ret_error == 0 && codec.compression != SL_COMPRESSION_NONE;
}

static void place(struct sl_context *ctx, const struct follow *follow, struct tail *tail)
{
	tail->at = input_place(ctx, &tail->id,
		&(struct input_wish){
			.name = "", .other = tail->name, .stays = follow->makes_again });
	if (tail->at.place.is_done && !input_is_born(&tail->id))
		input_next_generation(ctx, "", tail->name, &tail->id, &tail->at);
}

struct tail *follow_adopt(struct sl_context *ctx, struct follow *follow, const char *name,
	const char *path, const struct file_id *id, int *ret_error)
{
	struct sl_origin kept = { 0 };
	struct tail *tail;
	bool is_mine = false, is_ignored = is_compressed(ctx, follow, path, ret_error);
	int r = *ret_error < 0 || is_ignored ? *ret_error
					     : claim(ctx, follow, name, id, &kept, &is_mine);

	follow->must_retry |= r == -EAGAIN;
	*ret_error = r == -EAGAIN || r > 0 ? 0 : r;
	if (r < 0)
		return NULL;
	tail = tail_new(follow, is_mine ? kept.name : name, path, id);
	if (!tail) {
		*ret_error = sl_error(ctx, -ENOMEM, "%s: no memory", path);
		return NULL;
	}
	tail->is_ignored = is_ignored;
	tail->is_foreign = !is_mine && !is_ignored;
	tail->is_claimed = r > 0;
	if (is_ignored)
		sl_log(ctx, SL_LOG_INFO, "%s is compressed, and cannot be followed: left out",
			path);
	if (!is_mine)
		return NULL;
	place(ctx, follow, tail);
	/* What it was read to is no news. */
	follow->done += tail->at.place.position;
	follow->total += tail->at.place.position;
	tail->size = tail->at.place.position;
	tail_set_ready(follow, tail);
	return tail;
}

/* --- what a path leads to ----------------------------------------------------------------------- */

static bool may_have_more(const struct tail *tail, uint64_t size)
{
	return size != (tail->decoder ? tail->read : tail->at.place.position);
}

static void see_known(struct follow *follow, struct tail *tail, const char *path, uint64_t size)
{
	if (strcmp(tail->path, path) == 0)
		tail->is_seen = true;
	else if (!tail->other)
		tail->other = strdup(path);
	if (tail->is_foreign || tail->is_ignored)
		return;
	if (may_have_more(tail, size))
		tail_set_ready(follow, tail);
	tail_set_size(follow, tail, size);
}

static int see_fresh(struct fresh *fresh, const char *path, const struct file_id *id)
{
	if (fresh->count == fresh->capacity) {
		size_t capacity = fresh->capacity ? 2 * fresh->capacity : 64;
		struct input *items = reallocarray(fresh->items, capacity, sizeof(*items));

		if (!items)
			return -ENOMEM;
		fresh->items = items;
		fresh->capacity = capacity;
	}
	fresh->items[fresh->count] = (struct input){ .path = strdup(path), .id = *id };
	return fresh->items[fresh->count++].path ? 0 : -ENOMEM;
}

static int see(struct follow *follow, const char *path, struct fresh *fresh)
{
	struct statx st;
	struct file_id id;
	struct tail *tail;

	if (statx(AT_FDCWD, path, 0, INPUT_STATX, &st) < 0 || !S_ISREG(st.stx_mode))
		return 0;
	id = input_id(-1, path, &st);
	tail = tail_find(follow, &id);
	/* What nobody has claimed may be ours under another name. */
	if (tail && tail->is_foreign && !tail->is_claimed) {
		tail_free(follow, tail);
		tail = NULL;
	}
	if (!tail)
		return see_fresh(fresh, path, &id);
	see_known(follow, tail, path, st.stx_size);
	return 0;
}

/* --- where the others have gone ----------------------------------------------------------------- */

static void has_moved(struct follow *follow, struct tail *tail)
{
	free(tail->old_path);
	tail->old_path = strdup(tail->path);
	tail->moved = tail->changed = sl_now();
	tail_set_ready(follow, tail);
}

static void take_path(struct tail *tail, char *path)
{
	free(tail->path);
	tail->path = path;
}

/* What its old path leads to is no matter any more. */
static void leave_place(struct tail *tail)
{
	free(tail->old_path);
	tail->old_path = NULL;
}

/* It is not open, and no pattern leads to it: it is read where it was renamed to. */
static void go_after(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	char *path = follow_locate(tail->path, &tail->id);

	if (path) {
		take_path(tail, path);
		tail_set_ready(follow, tail);
	} else {
		tail_give_up(ctx, follow, tail);
	}
}

/* Done, and its checkpoint says so: nobody will ask again. */
static bool is_over(struct sl_context *ctx, const struct tail *tail)
{
	struct sl_place kept;

	return tail->is_resting && sl_checkpoint(ctx, tail->at.origin, &kept) && kept.is_done &&
	       kept.position == tail->at.place.position;
}

static void has_gone(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	if (tail->is_foreign || tail->is_ignored || (is_over(ctx, tail) && !tail->old_path)) {
		tail_free(follow, tail);
		return;
	}
	if (!tail->is_gone && !tail->is_resting)
		has_moved(follow, tail);
	tail->is_gone = true;
	if (tail->fd >= 0)
		tail_set_ready(follow, tail);
	else if (!tail->is_resting && tail->ending == TAIL_GOES_ON)
		go_after(ctx, follow, tail);
}

static void sort_out(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	char *other = tail->other;
	bool is_seen = tail->is_seen;

	tail->other = NULL;
	tail->is_seen = false;
	if (!is_seen && !other) {
		has_gone(ctx, follow, tail);
		return;
	}
	if (tail->is_resting) {
		tail_revive(ctx, follow, tail);
		tail_set_ready(follow, tail);
	}
	if (!is_seen) {
		if (!tail->is_gone)
			has_moved(follow, tail);
		take_path(tail, other);
	} else {
		free(other);
	}
	if (tail->old_path && strcmp(tail->path, tail->old_path) == 0)
		leave_place(tail);
	tail->is_gone = false;
}

/* --- a scan ------------------------------------------------------------------------------------- */

/* Was it read, at a path that does not lead to it any more, nor to another one yet? */
static bool is_moved(const struct tail *tail)
{
	return tail->old_path && !tail->is_foreign && !tail->is_ignored;
}

/* The tail whose place the path was. */
static struct tail *find_moved(const struct follow *follow, const char *path)
{
	for (struct tail *tail = follow->tails; tail; tail = tail->hh.next)
		if (is_moved(tail) && strcmp(tail->old_path, path) == 0)
			return tail;
	return NULL;
}

static int adopt_all(
	struct sl_context *ctx, struct follow *follow, const struct fresh *fresh, bool has_moved)
{
	int r = 0;

	for (size_t i = 0; i < fresh->count && r == 0; i++) {
		const struct input *file = &fresh->items[i];
		struct tail *tail, *before;

		/* Two paths may lead to one file. */
		if (tail_find(follow, &file->id))
			continue;
		before = has_moved ? find_moved(follow, file->path) : NULL;
		tail = follow_adopt(ctx, follow, file->path, file->path, &file->id, &r);
		if (tail && before)
			tail_chain(follow, before, tail);
		if (before)
			leave_place(before);
	}
	return r;
}

/* --- places that are free ----------------------------------------------------------------------- */

/* What stood at a free place after its tail was born, and since the last scan. */
static struct follow_gap gap_behind(const struct follow *follow, struct tail *tail)
{
	int64_t born = (int64_t)(tail->id.part[3] * SL_SECOND + tail->id.part[4]);
	int64_t since = follow->scanned - CLOCK_SLACK;

	return (struct follow_gap){ .name = tail->old_path,
		.since = born > since ? born : since,
		.until = INT64_MAX,
		.tail = tail };
}

/* Whoever had the place last has it now. */
static int give_place(const struct follow_gap *gap, struct tail *tail)
{
	struct tail *last = gap->tail;

	if (last == tail)
		return 0;
	free(last->old_path);
	last->old_path = tail ? tail->old_path : strdup(gap->name);
	last->moved = sl_now();
	if (tail)
		tail->old_path = NULL;
	return last->old_path ? 0 : -ENOMEM;
}

/* Places whose file has moved, and those where one stands that is new: another one may have stood there since the last scan. */
static size_t collect_gaps(const struct follow *follow, const struct fresh *fresh,
	struct follow_gap *gaps, struct tail **tails)
{
	size_t count = 0;

	for (struct tail *tail = follow->tails; tail; tail = tail->hh.next)
		if (is_moved(tail)) {
			gaps[count] = gap_behind(follow, tail);
			tails[count++] = tail;
		}
	for (size_t i = 0; i < fresh->count && follow->scanned > 0; i++)
		gaps[count++] = (struct follow_gap){ .name = fresh->items[i].path,
			.since = follow->scanned - CLOCK_SLACK,
			.until = INT64_MAX };
	return count;
}

/* What stood at a place for a moment is read. */
static int fill_places(struct sl_context *ctx, struct follow *follow, const struct fresh *fresh)
{
	size_t count = fresh->count;
	struct follow_gap *gaps;
	struct tail **tails;
	int r = -ENOMEM;

	for (struct tail *tail = follow->tails; tail; tail = tail->hh.next)
		count += is_moved(tail);
	if (count == 0)
		return 0;
	gaps = calloc(count, sizeof(*gaps));
	tails = calloc(count, sizeof(*tails));
	if (gaps && tails) {
		count = collect_gaps(follow, fresh, gaps, tails);
		r = follow_fill(ctx, follow, gaps, count);
		for (size_t i = 0; i < count && r == 0; i++)
			r = give_place(&gaps[i], tails[i]);
	}
	free(gaps);
	free(tails);
	return r == -ENOMEM ? sl_error(ctx, r, "no memory for the names of files") : r;
}

/* Another file that is known stands there, or nobody remembers any more. */
static void leave_places(struct follow *follow)
{
	for (struct tail *tail = follow->tails; tail; tail = tail->hh.next) {
		struct tail *before = tail->is_gone ? NULL : find_moved(follow, tail->path);

		if (before)
			leave_place(before);
		if (tail->old_path && (!is_moved(tail) || sl_now() > tail->moved + VACANT_FOR))
			leave_place(tail);
	}
}

static int look_at_all(struct sl_context *ctx, struct follow *follow, struct fresh *fresh)
{
	struct inputs inputs;
	int r = inputs_find(ctx, follow->patterns, true, &inputs);

	if (r < 0)
		return r;
	for (size_t i = 0; i < inputs.count && r == 0; i++)
		r = see(follow, inputs.items[i].path, fresh);
	inputs_free(&inputs);
	return r < 0 ? sl_error(ctx, r, "no memory for the names of files") : 0;
}

static int scan_all(struct sl_context *ctx, struct follow *follow, struct fresh *fresh)
{
	struct tail *tail, *next;
	bool has_moved = false;
	int r = look_at_all(ctx, follow, fresh);

	if (r < 0)
		return r;
	HASH_ITER (hh, follow->tails, tail, next)
		sort_out(ctx, follow, tail);
	/* What was missed is kept first: a successor that finds what came after it kept does not look for more. */
	r = fill_places(ctx, follow, fresh);
	for (tail = follow->tails; tail; tail = tail->hh.next)
		has_moved |= tail->old_path != NULL;
	if (r == 0)
		r = adopt_all(ctx, follow, fresh, has_moved);
	if (has_moved)
		leave_places(follow);
	return r;
}

int follow_scan(struct sl_context *ctx, struct follow *follow)
{
	struct fresh fresh = { 0 };
	int64_t began = wall_clock();
	int64_t begin = sl_now(), end, rest;
	bool is_seldom;
	int r;

	follow->must_scan = false;
	follow->must_retry = false;
	follow_watch_folders(ctx, follow);
	r = scan_all(ctx, follow, &fresh);
	for (size_t i = 0; i < fresh.count; i++)
		free(fresh.items[i].path);
	free(fresh.items);
	end = sl_now();
	is_seldom = !follow->watch.polls && !follow->misses_folder && !follow->must_retry;
	follow->scanned = began;
	rest = SCAN_SHARE * (end - begin);
	follow->scan_not_before = end + (rest < REST_MAX ? rest : REST_MAX);
	follow->scan_at = end + (is_seldom ? SCAN_EVERY : POLL_EVERY);
	if (follow->scan_at < follow->scan_not_before)
		follow->scan_at = follow->scan_not_before;
	return r;
}
