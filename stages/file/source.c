/* SPDX-License-Identifier: MIT */
/*
 * Source "file": reads files one after another, a window at a time. An origin is a file, by device, inode, time of birth and path; a position its
 * decompressed bytes. A file that is shorter than what was read of it has been begun anew: it is another origin, its next generation.
 * With several processes each takes every n-th file of a list that the first one makes and all others, and their successors, read.
 * Standard input is a file of which nothing is known before.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "codec_options.h"

struct shared {
	struct sl_strings path;
	struct codec_options codec;
	glob_t files;   /* what the paths mean, sorted */
	uint64_t total; /* bytes of this process's files; 0: unknown */
};

struct worker {
	size_t next; /* index of the file to open */
	const char *name;
	int fd;
	struct sl_decoder *decoder;
	uint64_t origin;
	uint64_t position;
	struct sl_place place;  /* where to go on in it, when it is opened */
	uint64_t bytes_before;  /* of files that are done */
	struct sl_context *ctx; /* of the call, for refuse */
};

static bool is_stdin(const char *path)
{
	return strcmp(path, "-") == 0;
}

static bool has_pattern(const char *path)
{
	return strpbrk(path, "*?[") != NULL;
}

/* --- opening ------------------------------------------------------------------------------------ */

static int check_file(struct sl_context *ctx, struct shared *o, const char *path)
{
	struct stat st;

	if (is_stdin(path))
		return 0;
	if (stat(path, &st) < 0)
		return sl_error(ctx, -errno, "%s: %s: check `path`", path, strerrordesc_np(errno));
	if (S_ISDIR(st.st_mode))
		return sl_error(
			ctx, -EISDIR, "%s is a folder: write %s/* for the files in it", path, path);
	if (access(path, R_OK) < 0)
		return sl_error(ctx, -errno, "%s: %s", path, strerrordesc_np(errno));
	if (S_ISREG(st.st_mode))
		o->total += (uint64_t)st.st_size;
	return 0;
}

static int expand(struct sl_context *ctx, struct shared *o, const char *path)
{
	int flags = o->files.gl_pathv ? GLOB_APPEND : 0;
	int r = glob(path, has_pattern(path) ? flags : flags | GLOB_NOCHECK, NULL, &o->files);

	if (r == GLOB_NOMATCH)
		return sl_error(ctx, -ENOENT, "%s: no file matches: check `path`", path);
	if (r != 0)
		return sl_error(ctx, r == GLOB_NOSPACE ? -ENOMEM : -EACCES,
			"%s: cannot read the folder", path);
	return 0;
}

static bool is_mine(struct sl_context *ctx, size_t index)
{
	return index % sl_process_count(ctx) == sl_process(ctx);
}

static void file_close(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;

	(void)ctx;
	if (o->files.gl_pathv)
		globfree(&o->files);
}

static int file_open(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;
	struct sl_codec codec;
	int r = 0;

	for (uint32_t i = 0; i < o->path.count && r == 0; i++)
		r = expand(ctx, o, o->path.items[i]);
	for (size_t i = 0; i < o->files.gl_pathc && r == 0; i++) {
		r = codec_options_resolve(ctx, &o->codec, o->files.gl_pathv[i], &codec);
		if (r == 0 && is_mine(ctx, i))
			r = check_file(ctx, o, o->files.gl_pathv[i]);
	}
	/* Close is called only for what was opened. */
	if (r < 0)
		file_close(ctx, shared);
	return r;
}

static int file_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	w->fd = -1;
	return 0;
}

static void file_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	sl_decoder_free(w->decoder);
	if (w->fd > STDIN_FILENO)
		(void)close(w->fd);
}

static void refuse(void *user, uint64_t line, const char *reason, const char *text, size_t size)
{
	struct worker *w = user;
	char where[512], excerpt[120];
	size_t fits = size < sizeof(excerpt) - 1 ? size : sizeof(excerpt) - 1;

	memcpy(excerpt, text, fits);
	while (fits > 0 && (excerpt[fits - 1] == '\n' || excerpt[fits - 1] == '\r'))
		fits--;
	excerpt[fits] = '\0';
	(void)snprintf(where, sizeof(where), "%s:%llu", w->name, (unsigned long long)line);
	(void)sl_reject(w->ctx, where, (struct sl_value){ 0 }, "%s: %s%s", reason, excerpt,
		fits < size && fits == sizeof(excerpt) - 1 ? "..." : "");
}

static bool file_is_live(const void *shared)
{
	const struct shared *o = shared;

	for (uint32_t i = 0; i < o->path.count; i++)
		if (is_stdin(o->path.items[i]))
			return true;
	return false;
}

static int open_stdin(struct sl_context *ctx, struct worker *w)
{
	w->name = "standard input";
	w->place = (struct sl_place){ 0 };
	w->fd = STDIN_FILENO;
	w->origin = XXH3_64bits_withSeed(sl_stage_name(ctx), strlen(sl_stage_name(ctx)), 3);
	return 0;
}

static uint64_t origin_of(const char *path, const struct statx *st, uint64_t generation)
{
	const uint64_t identity[] = { st->stx_dev_major, st->stx_dev_minor, st->stx_ino,
		(uint64_t)st->stx_btime.tv_sec, st->stx_btime.tv_nsec, generation };

	return XXH3_64bits_withSeed(identity, sizeof(identity), XXH3_64bits(path, strlen(path)));
}

/* The origin that the file is now, and where to go on in it. */
static void find_place(
	struct sl_context *ctx, struct worker *w, const struct statx *st, bool is_plain)
{
	uint64_t generation = 0;

	do {
		w->origin = origin_of(w->name, st, generation++);
		w->place = (struct sl_place){ 0 };
	} while (sl_checkpoint(ctx, w->origin, &w->place) && is_plain && S_ISREG(st->stx_mode) &&
		 w->place.position > st->stx_size);
}

static int open_regular(struct sl_context *ctx, struct worker *w, const char *path, bool is_plain)
{
	struct statx st;

	w->name = path;
	w->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (w->fd < 0 || statx(w->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		return sl_error(ctx, -errno, "%s: %s", path, strerrordesc_np(errno));
	(void)posix_fadvise(w->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	find_place(ctx, w, &st, is_plain);
	return 0;
}

/* At the place that was found. */
static int go_on(struct sl_context *ctx, struct worker *w)
{
	int r = sl_decoder_seek(w->decoder, w->place.position, w->place.line);

	w->position = w->place.position;
	if (r == -ENODATA)
		return sl_error(ctx, r,
			"%s has become shorter than what was read of it: it was changed; begin "
			"anew "
			"with --from-start",
			w->name);
	return r < 0 ? sl_error(ctx, r, "%s: %s", w->name,
			       *sl_decoder_reason(w->decoder) ? sl_decoder_reason(w->decoder)
							      : strerrordesc_np(-r))
		     : 0;
}

static int open_next(struct sl_context *ctx, struct shared *o, struct worker *w)
{
	const char *path = o->files.gl_pathv[w->next++];
	struct sl_codec codec;
	int r = codec_options_resolve(ctx, &o->codec, path, &codec);

	if (r == 0)
		r = is_stdin(path)
			    ? open_stdin(ctx, w)
			    : open_regular(ctx, w, path, codec.compression == SL_COMPRESSION_NONE);
	if (r < 0)
		return r;
	w->decoder = sl_decoder_new(&codec, w->fd, refuse, w, &r);
	return w->decoder ? go_on(ctx, w)
			  : sl_error(ctx, r, "%s: %s", w->name, strerrordesc_np(-r));
}

static void close_current(struct worker *w)
{
	w->bytes_before += sl_decoder_bytes(w->decoder);
	sl_decoder_free(w->decoder);
	w->decoder = NULL;
	if (w->fd != STDIN_FILENO)
		(void)close(w->fd);
	w->fd = -1;
}

/* --- reading ------------------------------------------------------------------------------------ */

static void find_next(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	while (w->next < o->files.gl_pathc && !is_mine(ctx, w->next))
		w->next++;
}

static int read_some(struct sl_context *ctx, struct worker *w, struct sl_cut *cut)
{
	int r;

	do {
		/* A pipe or a terminal may be silent for long; a regular file is always ready. */
		if (w->fd == STDIN_FILENO && cut->out->count == 0) {
			r = sl_wait_fd(ctx, w->fd, POLLIN, SL_NEVER);
			if (r < 0)
				return r;
		}
		r = sl_decoder_read(w->decoder, cut->out, cut->want, cut->size_max, &cut->end);
	} while (r == -EAGAIN);
	if (r < 0)
		return sl_error(ctx, r, "%s: %s", w->name,
			*sl_decoder_reason(w->decoder) ? sl_decoder_reason(w->decoder)
						       : strerrordesc_np(-r));
	return r;
}

static bool is_origin(struct sl_context *ctx, struct worker *w, const char *path, uint64_t origin)
{
	struct statx st;

	w->name = path;
	if (is_stdin(path) || statx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		return false;
	find_place(ctx, w, &st, true);
	return w->origin == origin;
}

/* The file in which a cut is to be made again is the next, also when others have come to stand before it. */
static void find_wanted(struct sl_context *ctx, struct shared *o, struct worker *w, uint64_t origin)
{
	size_t i = w->next;
	char *path;

	while (i < o->files.gl_pathc &&
		!(is_mine(ctx, i) && is_origin(ctx, w, o->files.gl_pathv[i], origin)))
		i++;
	if (i >= o->files.gl_pathc)
		return;
	path = o->files.gl_pathv[i];
	memmove(o->files.gl_pathv + w->next + 1, o->files.gl_pathv + w->next,
		(i - w->next) * sizeof(path));
	o->files.gl_pathv[w->next] = path;
}

static int file_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	struct shared *o = shared;
	struct worker *w = worker;
	int r;

	w->ctx = ctx;
	if (cut->until && w->decoder && w->origin != cut->origin)
		close_current(w);
	find_next(ctx, o, w);
	if (cut->until && !w->decoder)
		find_wanted(ctx, o, w, cut->origin);
	if (!w->decoder && w->next >= o->files.gl_pathc)
		return SL_END;
	if (!w->decoder) {
		r = open_next(ctx, o, w);
		if (r < 0)
			return r;
	}
	sl_decoder_limit(w->decoder, w->origin == cut->origin ? cut->until : 0);
	cut->origin = w->origin;
	cut->name = w->name;
	cut->start = w->position;
	cut->end = w->position;
	r = read_some(ctx, w, cut);
	if (r < 0)
		return r;
	w->position = cut->end;
	cut->line = sl_decoder_line(w->decoder);
	sl_progress(ctx, w->bytes_before + sl_decoder_bytes(w->decoder), o->total, "bytes");
	if (r == SL_DECODE_MORE)
		return SL_MORE;
	cut->origin_done = true;
	close_current(w);
	find_next(ctx, o, w);
	return w->next < o->files.gl_pathc ? SL_MORE : SL_END;
}

static const struct sl_option options[];

const struct sl_stage sl_stage_source_file = {
	.abi = SL_ABI,
	.name = "file",
	.role = SL_SOURCE,
	.summary = "reads files or standard input: csv, ndjson, json, lines, msgpack; gzip, zstd",
	.flags = SL_ONE_THREAD | SL_RESUMES,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.is_live = file_is_live,
	.open = file_open,
	.start = file_start,
	.produce = file_produce,
	.stop = file_stop,
	.close = file_close,
	.options = options,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("path", STRINGS, struct shared, path), .required = true,
	  .help = "files, with * ? [] patterns; they are read in this order, each pattern sorted; \"-\" is standard input",
	  .example = "\"/var/lib/shop/orders-*.csv\"" },
	CODEC_OPTIONS(struct shared, "auto"),
	{ SL_OPTION("record_max", SIZE, struct shared, codec.record_max), .fallback = "16MiB", .min = 1024, .max = 1 << 30,
	  .help = "the longest record; a longer one is refused", .example = "\"1MiB\"" },
	{ 0 },
};
/* clang-format on */
