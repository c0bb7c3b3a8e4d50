/* SPDX-License-Identifier: MIT */
/* See tail.h. */
#include "tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#define DECODERS_MAX 128 /* each has a window of half a megabyte */

struct tail *tail_new(
	struct follow *follow, const char *name, const char *path, const struct file_id *id)
{
	struct tail *tail = calloc(1, sizeof(*tail));

	if (!tail)
		return NULL;
	tail->id = *id;
	tail->fd = -1;
	tail->watch = -1;
	tail->name = strdup(name);
	tail->path = strdup(path);
	if (tail->name && tail->path)
		HASH_ADD(hh, follow->tails, id.part, sizeof(tail->id.part), tail);
	if (!tail->hh.tbl) {
		free(tail->name);
		free(tail->path);
		free(tail);
		return NULL;
	}
	return tail;
}

struct tail *tail_find(const struct follow *follow, const struct file_id *id)
{
	struct tail *tail = NULL;

	HASH_FIND(hh, follow->tails, id->part, sizeof(id->part), tail);
	return tail;
}

/* --- ready and still ---------------------------------------------------------------------------- */

void tail_set_ready(struct follow *follow, struct tail *tail)
{
	if (tail->is_ready || tail->is_resting || tail->is_foreign || tail->is_ignored ||
		tail->before)
		return;
	tail->is_ready = true;
	tail->is_still = false;
	DL_APPEND(follow->ready, tail);
}

static void leave_ready(struct follow *follow, struct tail *tail)
{
	if (!tail->is_ready)
		return;
	tail->is_ready = false;
	DL_DELETE(follow->ready, tail);
}

void tail_chain(struct follow *follow, struct tail *tail, struct tail *behind)
{
	if (tail == behind || tail->is_still || tail->is_resting || tail->behind || behind->before)
		return;
	leave_ready(follow, behind);
	tail->behind = behind;
	behind->before = tail;
}

static void let_behind(struct follow *follow, struct tail *tail)
{
	struct tail *behind = tail->behind;

	if (!behind)
		return;
	tail->behind = NULL;
	behind->before = NULL;
	behind->after = tail->at.origin;
	tail_set_ready(follow, behind);
}

int tail_be_still(struct follow *follow, struct tail *tail)
{
	leave_ready(follow, tail);
	tail->is_still = true;
	let_behind(follow, tail);
	return TAIL_NOTHING;
}

/* --- how much ----------------------------------------------------------------------------------- */

void tail_set_size(struct follow *follow, struct tail *tail, uint64_t size)
{
	if (size < tail->at.place.position)
		size = tail->at.place.position;
	follow->total += size - tail->size;
	tail->size = size;
}

/* --- opening and closing ------------------------------------------------------------------------ */

void tail_drop_decoder(struct follow *follow, struct tail *tail)
{
	if (!tail->decoder)
		return;
	sl_decoder_free(tail->decoder);
	tail->decoder = NULL;
	follow->decoder_count--;
}

void tail_close(struct follow *follow, struct tail *tail)
{
	tail_drop_decoder(follow, tail);
	if (tail->fd < 0)
		return;
	(void)close(tail->fd);
	tail->fd = -1;
	DL_DELETE2(follow->warm, tail, warm_prev, warm_next);
	follow->open_count--;
}

void tail_stop_watching(struct follow *follow, struct tail *tail)
{
	if (tail->watch < 0)
		return;
	watch_remove(&follow->watch, tail->watch);
	HASH_DELETE(hh_watch, follow->watched, tail);
	tail->watch = -1;
}

void tail_free(struct follow *follow, struct tail *tail)
{
	leave_ready(follow, tail);
	let_behind(follow, tail);
	if (tail->before)
		tail->before->behind = NULL;
	tail_close(follow, tail);
	tail_stop_watching(follow, tail);
	HASH_DEL(follow->tails, tail);
	free(tail->name);
	free(tail->path);
	free(tail->other);
	free(tail->old_path);
	free(tail);
}

/* What its decoder knows is in the file: not that a record too long was refused, and is being passed over. */
static bool may_drop(const struct follow *follow, const struct tail *tail)
{
	return tail->ending == TAIL_GOES_ON &&
	       sl_decoder_bytes(tail->decoder) - tail->at.place.position <=
		       follow->codec->record_max;
}

static bool may_close(const struct follow *follow, const struct tail *tail)
{
	/* Without its name it could not be opened again. */
	return !tail->is_gone && (!tail->decoder || may_drop(follow, tail));
}

/* The one that was read longest ago goes first. */
static void make_room_for_file(struct follow *follow)
{
	struct tail *tail, *next;

	DL_FOREACH_SAFE2(follow->warm, tail, next, warm_next)
	{
		if (follow->open_count < follow->open_max)
			return;
		if (may_close(follow, tail))
			tail_close(follow, tail);
	}
}

void tail_make_room_for_decoder(struct follow *follow)
{
	struct tail *tail;

	DL_FOREACH2(follow->warm, tail, warm_next)
	{
		if (follow->decoder_count < DECODERS_MAX)
			return;
		if (tail->decoder && may_drop(follow, tail))
			tail_drop_decoder(follow, tail);
	}
}

static void complain(struct sl_context *ctx, struct tail *tail, int error)
{
	if (!tail->has_complained)
		sl_log(ctx, SL_LOG_WARNING, "%s: %s: tries again later", tail->path,
			strerrordesc_np(error));
	tail->has_complained = true;
}

static void watch_it(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	struct tail *other = NULL;
	int number;

	if (tail->watch >= 0)
		return;
	number = watch_file(ctx, &follow->watch, tail->fd);
	HASH_FIND(hh_watch, follow->watched, &number, sizeof(number), other);
	if (number < 0 || other)
		return;
	tail->watch = number;
	HASH_ADD(hh_watch, follow->watched, watch, sizeof(tail->watch), tail);
	/* Without memory it is looked at now and then, like one that cannot be watched. */
	if (!tail->hh_watch.tbl)
		tail->watch = -1;
}

bool tail_open(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	struct file_id id;
	struct statx st;
	int fd;

	if (tail->fd >= 0)
		return true;
	make_room_for_file(follow);
	fd = open(tail->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT && errno != ENOTDIR) {
		complain(ctx, tail, errno);
		return false;
	}
	if (fd >= 0 && statx(fd, "", AT_EMPTY_PATH, INPUT_STATX, &st) == 0) {
		id = input_id(fd, tail->path, &st);
		if (input_is_same(&id, &tail->id)) {
			tail->fd = fd;
			tail_set_size(follow, tail, st.stx_size);
			DL_APPEND2(follow->warm, tail, warm_prev, warm_next);
			follow->open_count++;
			watch_it(ctx, follow, tail);
			return true;
		}
	}
	if (fd >= 0)
		(void)close(fd);
	follow->must_scan = true;
	return false;
}
