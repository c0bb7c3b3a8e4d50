/* SPDX-License-Identifier: MIT */
/* See reader.h. */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void reader_init(struct reader *reader, struct inputs *files, const struct codec_options *codec,
	uint64_t total)
{
	*reader = (struct reader){ .files = files, .codec = codec, .total = total, .fd = -1 };
}

void reader_fini(struct reader *reader)
{
	sl_decoder_free(reader->decoder);
	if (reader->fd > STDIN_FILENO)
		(void)close(reader->fd);
}

/* --- one file ----------------------------------------------------------------------------------- */

static int open_stdin(struct sl_context *ctx, struct reader *reader)
{
	reader->refusal.name = "standard input";
	reader->place = (struct sl_place){ 0 };
	reader->fd = STDIN_FILENO;
	reader->origin = XXH3_64bits_withSeed(sl_stage_name(ctx), strlen(sl_stage_name(ctx)), 3);
	return 0;
}

/* The origin that the file is now, and where to go on in it. */
static void find_place(struct sl_context *ctx, struct reader *reader, const char *path,
	const struct statx *st, uint64_t wanted)
{
	const struct file_id id = input_id(reader->fd, path, st);
	const struct input_wish wish = {
		.name = path, .other = "", .wanted = wanted, .stays = reader->makes_again
	};
	struct input_place at = input_place(ctx, &id, &wish);

	if (reader->is_plain && S_ISREG(st->stx_mode) &&
		(at.place.position > st->stx_size || !input_has_place(reader->fd, &at.place)))
		input_next_generation(ctx, path, path, &id, &at);
	reader->origin = at.origin;
	reader->place = at.place;
}

static int open_regular(
	struct sl_context *ctx, struct reader *reader, const char *path, uint64_t wanted)
{
	struct statx st;

	reader->refusal.name = path;
	reader->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (reader->fd < 0 || statx(reader->fd, "", AT_EMPTY_PATH, INPUT_STATX, &st) < 0)
		return sl_error(ctx, -errno, "%s: %s", path, strerrordesc_np(errno));
	(void)posix_fadvise(reader->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	find_place(ctx, reader, path, &st, wanted);
	return 0;
}

/* At the place that was found. */
static int go_on(struct sl_context *ctx, struct reader *reader)
{
	int r = sl_decoder_seek(reader->decoder, reader->place.position, reader->place.line);

	reader->position = reader->place.position;
	if (r == -ENODATA)
		return sl_error(ctx, r,
			"%s has become shorter than what was read of it: it was changed; begin "
			"anew "
			"with --from-start",
			reader->refusal.name);
	return r < 0 ? sl_error(ctx, r, "%s: %s", reader->refusal.name,
			       *sl_decoder_reason(reader->decoder)
				       ? sl_decoder_reason(reader->decoder)
				       : strerrordesc_np(-r))
		     : 0;
}

/* By what the file holds alone: whoever goes on in it finds the same. */
static int sniff(struct sl_context *ctx, const struct reader *reader, struct sl_codec *codec)
{
	char text[256];
	int r = sl_sniff(codec, reader->fd, text, sizeof(text));

	if (r < 0)
		return sl_error(
			ctx, r, "%s: its dialect cannot be found: %s", reader->refusal.name, text);
	if (r == 0)
		sl_log(ctx, SL_LOG_INFO, "%s: found %s", reader->refusal.name, text);
	return 0;
}

static int open_next(struct sl_context *ctx, struct reader *reader, uint64_t wanted)
{
	const char *path = reader->files->items[reader->next++].path;
	struct sl_codec codec;
	int r = codec_options_resolve(ctx, reader->codec, path, &codec);

	if (r < 0)
		return r;
	codec.no_wait = input_is_stdin(path);
	reader->is_plain = codec.compression == SL_COMPRESSION_NONE && !input_is_stdin(path);
	r = input_is_stdin(path) ? open_stdin(ctx, reader)
				 : open_regular(ctx, reader, path, wanted);
	if (r == 0 && codec_options_sniff(reader->codec, &codec))
		r = sniff(ctx, reader, &codec);
	if (r < 0)
		return r;
	reader->decoder = sl_decoder_new(&codec, reader->fd, input_refuse, &reader->refusal, &r);
	return reader->decoder
		       ? go_on(ctx, reader)
		       : sl_error(ctx, r, "%s: %s", reader->refusal.name, strerrordesc_np(-r));
}

static void close_current(struct reader *reader)
{
	reader->bytes_before += sl_decoder_bytes(reader->decoder);
	sl_decoder_free(reader->decoder);
	reader->decoder = NULL;
	if (reader->fd != STDIN_FILENO)
		(void)close(reader->fd);
	reader->fd = -1;
}

/* --- which one ---------------------------------------------------------------------------------- */

/* Of the run's list: it is not what it was. Said, unless it had been read to its end. */
static void say_gone(struct sl_context *ctx, const struct input *file)
{
	struct input_place at = input_place(
		ctx, &file->id, &(struct input_wish){ .name = file->path, .other = "" });

	if (!at.place.is_done)
		sl_log_about(ctx, SL_ABOUT_MISSED, SL_LOG_WARNING,
			"%s is not there any more as it was when this run began: what it held "
			"behind byte %llu was not read",
			file->path, (unsigned long long)at.place.position);
}

/* False: there is nothing to be opened. */
static bool is_there(struct sl_context *ctx, struct reader *reader, const struct input *file)
{
	struct file_id id, old = { 0 };
	struct statx st;
	bool is_there;

	if (!reader->files->is_frozen || input_is_stdin(file->path))
		return true;
	is_there = statx(AT_FDCWD, file->path, 0, INPUT_STATX, &st) == 0;
	/* What else is wrong with it is said when it is opened. */
	if (!is_there && errno != ENOENT)
		return true;
	id = is_there ? input_id(-1, file->path, &st) : (struct file_id){ 0 };
	if (!input_by_device(&id, &old))
		old = id;
	if (!input_is_same(&id, &file->id) && !input_is_same(&old, &file->id) &&
		reader->said_of <= reader->next)
		say_gone(ctx, file);
	reader->said_of = reader->next + 1;
	return is_there;
}

static void find_next(struct sl_context *ctx, struct reader *reader)
{
	while (reader->next < reader->files->count &&
		!is_there(ctx, reader, &reader->files->items[reader->next]))
		reader->next++;
}

static bool is_origin(struct sl_context *ctx, const char *path, uint64_t origin)
{
	struct file_id id;
	struct statx st;

	if (input_is_stdin(path) || statx(AT_FDCWD, path, 0, INPUT_STATX, &st) < 0)
		return false;
	id = input_id(-1, path, &st);
	return input_place(ctx, &id,
		       &(struct input_wish){
			       .name = path, .other = "", .wanted = origin, .stays = true })
		       .origin == origin;
}

/* The file in which a cut is to be made again is the next, also when others have come to stand before it. */
static void find_wanted(struct sl_context *ctx, struct reader *reader, uint64_t origin)
{
	struct input *files = reader->files->items;
	struct input file;
	size_t i = reader->next;

	while (i < reader->files->count && !is_origin(ctx, files[i].path, origin))
		i++;
	if (i >= reader->files->count)
		return;
	file = files[i];
	memmove(files + reader->next + 1, files + reader->next, (i - reader->next) * sizeof(file));
	files[reader->next] = file;
}

/* --- reading ------------------------------------------------------------------------------------ */

static int read_some(struct sl_context *ctx, struct reader *reader, struct sl_cut *cut)
{
	int r;

	/* A pipe or a terminal may be silent for long, and what came before is to be had all the same. */
	while ((r = sl_decoder_read(reader->decoder, cut->out, cut->want, cut->size_max,
			&cut->end)) == -EAGAIN) {
		r = sl_wait_fd(ctx, reader->fd, POLLIN, SL_NEVER);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return sl_error(ctx, r, "%s: %s", reader->refusal.name,
			*sl_decoder_reason(reader->decoder) ? sl_decoder_reason(reader->decoder)
							    : strerrordesc_np(-r));
	return r;
}

/* 0: a file is open; SL_END: there is none. */
static int open_one(struct sl_context *ctx, struct reader *reader, const struct sl_cut *cut)
{
	reader->refusal.ctx = ctx;
	reader->makes_again |= cut->until > 0;
	if (cut->until && reader->decoder && reader->origin != cut->origin)
		close_current(reader);
	if (reader->decoder)
		return 0;
	if (cut->until)
		find_wanted(ctx, reader, cut->origin);
	find_next(ctx, reader);
	if (reader->next >= reader->files->count)
		return SL_END;
	return open_next(ctx, reader, cut->until ? cut->origin : 0);
}

int reader_produce(struct sl_context *ctx, struct reader *reader, struct sl_cut *cut)
{
	int r = open_one(ctx, reader, cut);

	if (r != 0)
		return r;
	sl_decoder_limit(
		reader->decoder, cut->until && reader->origin == cut->origin
					 ? cut->until
					 : sl_bound(ctx, reader->origin, reader->position));
	cut->origin = reader->origin;
	cut->name = reader->refusal.name;
	cut->start = reader->position;
	cut->end = reader->position;
	r = read_some(ctx, reader, cut);
	if (r < 0)
		return r;
	reader->position = cut->end;
	cut->line = sl_decoder_line(reader->decoder);
	cut->mark = reader->is_plain ? input_mark(reader->fd, cut->end) : 0;
	sl_progress(ctx, reader->bytes_before + sl_decoder_bytes(reader->decoder), reader->total,
		"bytes");
	if (r == SL_DECODE_MORE)
		return SL_MORE;
	cut->origin_done = true;
	close_current(reader);
	find_next(ctx, reader);
	return reader->next < reader->files->count ? SL_MORE : SL_END;
}
