/* SPDX-License-Identifier: MIT */
/*
 * Source "file": reads files one after another, a window at a time. An origin is a file, a position its decompressed bytes.
 * With several processes each takes every n-th file. Standard input is a file of which nothing is known before.
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

static int open_stdin(struct sl_context *ctx, struct worker *w)
{
	w->name = "standard input";
	w->fd = STDIN_FILENO;
	w->origin = XXH3_64bits_withSeed(sl_stage_name(ctx), strlen(sl_stage_name(ctx)), 3);
	return 0;
}

static int open_regular(struct sl_context *ctx, struct worker *w, const char *path)
{
	struct stat st;
	uint64_t identity[2];

	w->name = path;
	w->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (w->fd < 0 || fstat(w->fd, &st) < 0)
		return sl_error(ctx, -errno, "%s: %s", path, strerrordesc_np(errno));
	(void)posix_fadvise(w->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	identity[0] = st.st_dev;
	identity[1] = st.st_ino;
	w->origin =
		XXH3_64bits_withSeed(identity, sizeof(identity), XXH3_64bits(path, strlen(path)));
	return 0;
}

static int open_next(struct sl_context *ctx, struct shared *o, struct worker *w)
{
	const char *path = o->files.gl_pathv[w->next++];
	struct sl_codec codec;
	int r = codec_options_resolve(ctx, &o->codec, path, &codec);

	if (r == 0)
		r = is_stdin(path) ? open_stdin(ctx, w) : open_regular(ctx, w, path);
	if (r < 0)
		return r;
	w->position = 0;
	w->decoder = sl_decoder_new(&codec, w->fd, refuse, w, &r);
	return w->decoder ? 0 : sl_error(ctx, r, "%s: %s", w->name, strerrordesc_np(-r));
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

static int file_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	struct shared *o = shared;
	struct worker *w = worker;
	int r;

	w->ctx = ctx;
	find_next(ctx, o, w);
	if (!w->decoder && w->next >= o->files.gl_pathc)
		return SL_END;
	if (!w->decoder) {
		r = open_next(ctx, o, w);
		if (r < 0)
			return r;
	}
	cut->origin = w->origin;
	cut->start = w->position;
	cut->end = w->position;
	r = read_some(ctx, w, cut);
	if (r < 0)
		return r;
	w->position = cut->end;
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
	.flags = SL_ONE_THREAD,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
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
