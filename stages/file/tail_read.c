/* SPDX-License-Identifier: MIT */
/* See tail.h: reading, and what ends it. */
#include "tail.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

static int cannot_read(struct sl_context *ctx, const struct tail *tail, int error)
{
	const char *reason = tail->decoder ? sl_decoder_reason(tail->decoder) : "";

	return sl_error(
		ctx, error, "%s: %s", tail->path, *reason ? reason : strerrordesc_np(-error));
}

static uint64_t size_of(const struct tail *tail)
{
	struct stat st;

	return fstat(tail->fd, &st) < 0 ? tail->read : (uint64_t)st.st_size;
}

static void set_position(
	struct follow *follow, struct tail *tail, uint64_t position, struct sl_cut *cut)
{
	if (position > tail->at.place.position)
		tail->at.place.mark = input_mark(tail->fd, position);
	follow->done += position - tail->at.place.position;
	tail->at.place.position = position;
	tail->at.place.line = sl_decoder_line(tail->decoder);
	if (position > tail->size)
		tail_set_size(follow, tail, position);
	cut->line = tail->at.place.line;
	cut->mark = tail->at.place.mark;
}

static void note_read(struct tail *tail)
{
	uint64_t bytes = sl_decoder_bytes(tail->decoder);

	if (bytes == tail->read && tail->changed != 0)
		return;
	tail->read = bytes;
	tail->changed = sl_now();
}

/* Behind all others, among those to be read and among those that may be closed. */
static void take_turn(struct follow *follow, struct tail *tail)
{
	if (tail->is_ready) {
		DL_DELETE(follow->ready, tail);
		DL_APPEND(follow->ready, tail);
	}
	if (tail->fd >= 0) {
		DL_DELETE2(follow->warm, tail, warm_prev, warm_next);
		DL_APPEND2(follow->warm, tail, warm_prev, warm_next);
	}
}

/* --- beginning ---------------------------------------------------------------------------------- */

static int new_decoder(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	struct sl_codec codec;
	int r = codec_options_resolve(ctx, follow->codec, tail->name, &codec);

	if (r < 0)
		return r;
	if (lseek(tail->fd, 0, SEEK_SET) < 0)
		return cannot_read(ctx, tail, -errno);
	tail_make_room_for_decoder(follow);
	tail->decoder = sl_decoder_new(&codec, tail->fd, input_refuse, &tail->refusal, &r);
	if (!tail->decoder)
		return cannot_read(ctx, tail, r);
	follow->decoder_count++;
	sl_decoder_follow(tail->decoder);
	return 0;
}

/* A decoder at its place; none when the file is shorter than that. */
static int begin_reading(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	const struct sl_place *place = &tail->at.place;
	int r;

	take_turn(follow, tail);
	tail->read = place->position;
	if (size_of(tail) < place->position || !input_has_place(tail->fd, place)) {
		tail->ending = TAIL_WAS_TRUNCATED;
		return 0;
	}
	r = new_decoder(ctx, follow, tail);
	if (r == 0)
		r = sl_decoder_seek(tail->decoder, place->position, place->line);
	if (r != -ENODATA && r != -EAGAIN)
		return r < 0 ? cannot_read(ctx, tail, r) : 0;
	/* Not even its header is there any more. */
	tail_drop_decoder(follow, tail);
	tail->ending = TAIL_WAS_TRUNCATED;
	return 0;
}

/* 0; TAIL_NOTHING: it cannot be read now. */
static int prepare(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	tail->refusal = (struct input_refusal){ ctx, tail->path, &tail->at.place, tail->fd };
	if (tail->decoder || tail->ending != TAIL_GOES_ON)
		return 0;
	if (!tail_open(ctx, follow, tail))
		return tail_be_still(follow, tail);
	tail->refusal.fd = tail->fd;
	return begin_reading(ctx, follow, tail);
}

/* --- ends --------------------------------------------------------------------------------------- */

/* Positions begin at 0 again, and what was read stays read. */
static void begin_anew(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	tail_drop_decoder(follow, tail);
	tail->after = tail->at.origin;
	input_next_generation(ctx, "", tail->name, &tail->id, &tail->at);
	tail->size = 0;
	tail->read = 0;
}

static int end(struct sl_context *ctx, struct follow *follow, struct tail *tail, struct sl_cut *cut)
{
	enum tail_ending ending = tail->ending;

	cut->origin_done = true;
	tail->ending = TAIL_GOES_ON;
	tail_set_size(follow, tail, 0);
	if (ending == TAIL_WAS_TRUNCATED) {
		sl_log(ctx, SL_LOG_INFO, "%s was truncated: begins at its begin", tail->path);
		begin_anew(ctx, follow, tail);
		return SL_MORE;
	}
	tail_close(follow, tail);
	tail_stop_watching(follow, tail);
	(void)tail_be_still(follow, tail);
	tail->is_resting = true;
	return SL_MORE;
}

void tail_revive(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	tail->is_resting = false;
	tail->changed = 0;
	/* Its number may have been given to a new file. */
	if (!input_is_born(&tail->id))
		begin_anew(ctx, follow, tail);
}

void tail_give_up(struct sl_context *ctx, struct follow *follow, struct tail *tail)
{
	if (tail->size > tail->at.place.position)
		sl_log_about(ctx, SL_ABOUT_MISSED, SL_LOG_WARNING,
			"%s is not there any more: what it held behind byte %llu was not read",
			tail->path, (unsigned long long)tail->at.place.position);
	tail->ending = TAIL_IS_DONE;
	tail_set_ready(follow, tail);
}

/* All that is there has been read. */
static int at_end(struct follow *follow, struct tail *tail)
{
	uint64_t size = size_of(tail);

	note_read(tail);
	tail_set_size(follow, tail, size);
	if (size < tail->read)
		tail->ending = TAIL_WAS_TRUNCATED;
	else if (tail->is_gone && sl_now() >= tail->changed + follow->rotate_wait)
		tail->ending = TAIL_IS_DONE;
	else
		return tail_be_still(follow, tail);
	/* A rest without newline is a record now. */
	sl_decoder_end(tail->decoder);
	return TAIL_NOTHING;
}

/* --- reading ------------------------------------------------------------------------------------ */

static void begin_cut(const struct tail *tail, struct sl_cut *cut)
{
	cut->origin = tail->at.origin;
	cut->name = tail->name;
	cut->start = tail->at.place.position;
	cut->end = tail->at.place.position;
	cut->line = tail->at.place.line;
	cut->mark = tail->at.place.mark;
	cut->is_apart = true;
	cut->after = tail->after;
}

/* It was truncated, and has grown over where we stood, and what was read behind that is of the next generation. */
static int take_back(struct follow *follow, struct tail *tail, struct sl_cut *cut)
{
	sl_writer_reset(cut->out);
	tail_drop_decoder(follow, tail);
	tail->ending = TAIL_WAS_TRUNCATED;
	return TAIL_NOTHING;
}

int tail_step(struct sl_context *ctx, struct follow *follow, struct tail *tail, struct sl_cut *cut)
{
	int r = prepare(ctx, follow, tail);
	uint64_t before;

	if (r != 0)
		return r;
	take_turn(follow, tail);
	begin_cut(tail, cut);
	if (!tail->decoder)
		return end(ctx, follow, tail, cut);
	sl_decoder_limit(tail->decoder, sl_bound(ctx, tail->at.origin, tail->at.place.position));
	before = sl_decoder_bytes(tail->decoder);
	r = sl_decoder_read(tail->decoder, cut->out, cut->want, cut->size_max, &cut->end);
	if (sl_decoder_bytes(tail->decoder) != before &&
		!input_has_place(tail->fd, &tail->at.place))
		return take_back(follow, tail, cut);
	if (r < 0 && r != -EAGAIN)
		return cannot_read(ctx, tail, r);
	set_position(follow, tail, cut->end, cut);
	if (r == SL_DECODE_END)
		return end(ctx, follow, tail, cut);
	if (cut->end == cut->start)
		return at_end(follow, tail);
	note_read(tail);
	return SL_MORE;
}

int tail_again(struct sl_context *ctx, struct follow *follow, struct tail *tail, struct sl_cut *cut)
{
	uint64_t until = cut->until;
	bool has_ended = false;
	int r = prepare(ctx, follow, tail);

	if (r != 0)
		return r;
	begin_cut(tail, cut);
	if (!tail->decoder)
		return SL_END;
	sl_decoder_limit(tail->decoder, until);
	r = sl_decoder_read(tail->decoder, cut->out, UINT32_MAX, SIZE_MAX, &cut->end);
	if ((r == SL_DECODE_MORE || r == -EAGAIN) && cut->end < until) {
		/* It may end in a record without newline. */
		has_ended = true;
		sl_decoder_end(tail->decoder);
		r = sl_decoder_read(tail->decoder, cut->out, UINT32_MAX, SIZE_MAX, &cut->end);
	}
	sl_decoder_limit(tail->decoder, 0);
	if (r < 0)
		return cannot_read(ctx, tail, r);
	set_position(follow, tail, cut->end, cut);
	if (has_ended)
		tail_drop_decoder(follow, tail);
	return cut->end == until ? SL_MORE : SL_END;
}
