/* SPDX-License-Identifier: MIT */
/* See follow.h: who is read next, and what is waited for. */
#include "follow.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>

#define LOOK_EVERY (20 * SL_MILLISECOND)
#define LOOKS_MAX 10
#define OPEN_MAX_LEAST 16
#define OPEN_MAX_MOST 4096

/* Half of what this process may open: links and stores need some, too. */
static uint32_t open_max(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur / 2 > OPEN_MAX_MOST)
		return OPEN_MAX_MOST;
	return limit.rlim_cur / 2 < OPEN_MAX_LEAST ? OPEN_MAX_LEAST : (uint32_t)limit.rlim_cur / 2;
}

void follow_init(struct follow *follow, const struct sl_strings *patterns,
	const struct codec_options *codec, int64_t rotate_wait)
{
	*follow = (struct follow){
		.patterns = patterns,
		.codec = codec,
		.rotate_wait = rotate_wait,
		.watch = { .fd = -1 },
		.open_max = open_max(),
	};
}

static void drop_ended(struct follow *follow)
{
	struct ended *ended = follow->ended;

	follow->ended = ended->next;
	free(ended->name);
	free(ended);
}

void follow_fini(struct follow *follow)
{
	struct tail *tail, *next;

	while (follow->ended)
		drop_ended(follow);
	HASH_ITER (hh, follow->tails, tail, next)
		tail_free(follow, tail);
	watch_close(&follow->watch);
	free(follow->folders);
	follow->folders = NULL;
}

/* --- looking ------------------------------------------------------------------------------------ */

static void all_ready(struct follow *follow)
{
	for (struct tail *tail = follow->tails; tail; tail = tail->hh.next)
		tail_set_ready(follow, tail);
	follow->must_scan = true;
}

static void on_event(void *user, int number, uint32_t mask)
{
	struct follow *follow = user;
	struct tail *tail = NULL;

	if (mask & IN_Q_OVERFLOW) {
		all_ready(follow);
		return;
	}
	HASH_FIND(hh_watch, follow->watched, &number, sizeof(number), tail);
	if (tail)
		tail_set_ready(follow, tail);
	if (!tail || (mask & (IN_ATTRIB | IN_MOVE_SELF)))
		follow->must_scan = true;
}

/* When the tail may be closed: it has gone, and nothing comes. */
static int64_t due_at(const struct follow *follow, const struct tail *tail)
{
	if (!tail->is_gone || !tail->is_still || tail->is_resting || tail->fd < 0)
		return SL_NEVER;
	return tail->changed + follow->rotate_wait;
}

static int64_t wake_up_due(struct follow *follow, int64_t now)
{
	int64_t first = SL_NEVER;

	for (struct tail *tail = follow->tails; tail; tail = tail->hh.next) {
		int64_t due = due_at(follow, tail);

		if (due <= now)
			tail_set_ready(follow, tail);
		else if (due < first)
			first = due;
	}
	return first;
}

static int64_t next_scan(const struct follow *follow)
{
	return follow->must_scan ? follow->scan_not_before : follow->scan_at;
}

/* What has happened since. *ret_wait: until when there is nothing to do but to wait. */
static int look(struct sl_context *ctx, struct follow *follow, int64_t *ret_wait)
{
	int64_t now = sl_now();
	int r = 0;

	*ret_wait = now;
	if (follow->ready && now < follow->looked_at + LOOK_EVERY)
		return 0;
	follow->looked_at = now;
	watch_read(&follow->watch, on_event, follow);
	if (now >= next_scan(follow))
		r = follow_scan(ctx, follow);
	*ret_wait = wake_up_due(follow, now);
	if (next_scan(follow) < *ret_wait)
		*ret_wait = next_scan(follow);
	return r;
}

static int begin(struct sl_context *ctx, struct follow *follow)
{
	int r;

	if (follow->has_begun)
		return 0;
	watch_open(ctx, &follow->watch);
	r = follow_find_missed(ctx, follow);
	if (r == 0)
		r = follow_scan(ctx, follow);
	if (r == 0)
		r = follow_find_lost(ctx, follow);
	follow->has_begun = r == 0;
	if (r == 0 && !follow->tails)
		sl_log(ctx, SL_LOG_INFO, "there is no such file yet: waits for one");
	return r;
}

static int wait_until(struct sl_context *ctx, struct follow *follow, int64_t until)
{
	int r = follow->watch.fd >= 0 ? sl_wait_fd(ctx, follow->watch.fd, POLLIN, until)
				      : sl_sleep_until(ctx, until);

	return r == -ETIMEDOUT ? 0 : r;
}

/* --- producing ---------------------------------------------------------------------------------- */

static void cut_ended(struct follow *follow, struct sl_cut *cut)
{
	const struct ended *ended = follow->ended;

	cut->origin = ended->origin;
	cut->name = ended->name;
	cut->start = cut->end = ended->place.position;
	cut->line = ended->place.line;
	cut->origin_done = true;
	cut->is_apart = true;
}

/* It may be renamed between any two looks. */
static int read_tail_again(
	struct sl_context *ctx, struct follow *follow, struct tail *tail, struct sl_cut *cut)
{
	int r = tail_again(ctx, follow, tail, cut);

	for (int looks = 0; r == TAIL_NOTHING && looks < LOOKS_MAX; looks++) {
		char *path = follow_locate(tail->path, &tail->id);

		if (!path)
			break;
		free(tail->path);
		tail->path = path;
		tail_set_ready(follow, tail);
		r = tail_again(ctx, follow, tail, cut);
	}
	if (r != TAIL_NOTHING)
		return r;
	cut->name = tail->name;
	cut->origin = 0;
	return SL_END;
}

static int read_again(struct sl_context *ctx, struct follow *follow, struct sl_cut *cut)
{
	struct sl_origin kept;

	for (struct tail *tail = follow->tails; tail; tail = tail->hh.next)
		if (tail->at.origin == cut->origin && !tail->is_foreign)
			return read_tail_again(ctx, follow, tail, cut);
	if (sl_checkpoint_begin(ctx, &(struct sl_origin){ .origin = cut->origin }, &kept) > 0)
		cut->name = kept.name;
	cut->origin = 0;
	return SL_END;
}

static int read_next(struct sl_context *ctx, struct follow *follow, struct sl_cut *cut)
{
	int64_t until;
	int r = TAIL_NOTHING;

	while (r == TAIL_NOTHING) {
		r = look(ctx, follow, &until);
		if (r < 0)
			return r;
		if (follow->ready) {
			r = tail_step(ctx, follow, follow->ready, cut);
			continue;
		}
		sl_progress(ctx, follow->done, follow->total, "bytes");
		r = wait_until(ctx, follow, until);
		if (r == 0)
			r = TAIL_NOTHING;
	}
	return r;
}

int follow_produce(struct sl_context *ctx, struct follow *follow, struct sl_cut *cut)
{
	int r;

	follow->makes_again |= cut->until > 0;
	r = begin(ctx, follow);
	if (r < 0)
		return r;
	if (cut->until)
		return read_again(ctx, follow, cut);
	if (follow->has_said_ended)
		drop_ended(follow);
	follow->has_said_ended = follow->ended != NULL;
	if (follow->ended) {
		cut_ended(follow, cut);
		return SL_MORE;
	}
	r = read_next(ctx, follow, cut);
	sl_progress(ctx, follow->done, follow->total, "bytes");
	return r;
}
