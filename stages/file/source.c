/* SPDX-License-Identifier: MIT */
/*
 * Source "file": reads files one after another, a window at a time, and ends; or follows them (follow.h), and does not. An origin is a file (inputs.h);
 * a position its decompressed bytes. With several processes each takes every n-th file of the run's list. Standard input is a file
 * of which nothing is known before.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec_options.h"
#include "follow.h"
#include "inputs.h"
#include "reader.h"

struct shared {
	struct sl_strings path;
	struct codec_options codec;
	bool follow;
	int64_t rotate_wait;
	struct inputs files; /* of this process */
	uint64_t total;      /* bytes of them; 0: unknown */
};

struct worker {
	struct follow follow;
	struct reader reader;
};

/* --- opening ------------------------------------------------------------------------------------ */

static int check_follow(struct sl_context *ctx, const struct shared *o, const char *path)
{
	struct sl_codec codec;
	int r;

	if (input_is_stdin(path))
		return sl_error(ctx, -EINVAL,
			"`follow` is for files: standard input is read until it ends anyway");
	r = codec_options_resolve(ctx, &o->codec, path, &codec);
	if (r < 0)
		return r;
	if (codec_options_sniff(&o->codec, &codec))
		return sl_error(ctx, -EINVAL,
			"%s: a file that grows has no first 64 KiB yet: leave out `dialect`, and "
			"write "
			"`delimiter`, `quote` and `header`",
			path);
	if (codec.format == SL_FORMAT_JSON)
		return sl_error(ctx, -EINVAL,
			"%s: a JSON array has an end, and cannot be followed: write the file as "
			"ndjson",
			path);
	if (codec.compression != SL_COMPRESSION_NONE)
		return sl_error(ctx, -EINVAL,
			"%s: a compressed file cannot be followed: leave out `follow`, or set "
			"`compression` to \"none\" if it is none",
			path);
	return 0;
}

/* What comes from it cannot be looked at before it is read. */
static int check_stdin(struct sl_context *ctx, const struct shared *o)
{
	struct sl_codec codec;
	int r = codec_options_resolve(ctx, &o->codec, "-", &codec);

	if (r == 0 && codec_options_sniff(&o->codec, &codec))
		r = sl_error(ctx, -EINVAL,
			"standard input is read once: leave out `dialect`, and write `delimiter`, "
			"`quote` and `header`");
	return r;
}

static int file_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;
	int r = 0;

	for (uint32_t i = 0; i < o->path.count && r == 0; i++) {
		if (o->follow)
			r = check_follow(ctx, o, o->path.items[i]);
		else if (input_is_stdin(o->path.items[i]))
			r = check_stdin(ctx, o);
	}
	return r;
}

/* A file of the run's list may have gone, and one that is followed may still come. */
static int check_file(struct sl_context *ctx, struct shared *o, const char *path, bool may_miss)
{
	struct stat st;

	if (input_is_stdin(path))
		return 0;
	if (stat(path, &st) < 0)
		return errno == ENOENT && may_miss ? 0
						   : sl_error(ctx, -errno, "%s: %s: check `path`",
							     path, strerrordesc_np(errno));
	if (S_ISDIR(st.st_mode))
		return sl_error(
			ctx, -EISDIR, "%s is a folder: write %s/* for the files in it", path, path);
	if (o->follow)
		return 0;
	if (access(path, R_OK) < 0)
		return sl_error(ctx, -errno,
			"%s: %s: let user %u read it, as setfacl -m u:%u:r does", path,
			strerrordesc_np(errno), geteuid(), geteuid());
	if (S_ISREG(st.st_mode))
		o->total += (uint64_t)st.st_size;
	return 0;
}

/* Every n-th, of a list that all processes have alike. */
static void keep_mine(struct sl_context *ctx, struct inputs *files)
{
	size_t kept = 0;

	for (size_t i = 0; i < files->count; i++) {
		if (i % sl_process_count(ctx) == sl_process(ctx))
			files->items[kept++] = files->items[i];
		else
			free(files->items[i].path);
	}
	files->count = kept;
}

static void file_close(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;

	(void)ctx;
	inputs_free(&o->files);
}

static int open_followed(struct sl_context *ctx, struct shared *o)
{
	int r = 0;

	for (uint32_t i = 0; i < o->path.count && r == 0; i++)
		if (!input_has_pattern(o->path.items[i]))
			r = check_file(ctx, o, o->path.items[i], true);
	return r;
}

static int open_list(struct sl_context *ctx, struct shared *o)
{
	struct sl_codec codec;
	int r = inputs_find(ctx, &o->path, false, &o->files);

	if (r == 0 && sl_process_count(ctx) > 1)
		r = inputs_freeze(ctx, &o->files);
	for (size_t i = 0; i < o->files.count && r == 0; i++)
		r = codec_options_resolve(ctx, &o->codec, o->files.items[i].path, &codec);
	keep_mine(ctx, &o->files);
	for (size_t i = 0; i < o->files.count && r == 0; i++)
		r = check_file(ctx, o, o->files.items[i].path, o->files.items[i].id.part[2] != 0);
	return r;
}

static int file_open(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;
	int r = o->follow ? open_followed(ctx, o) : open_list(ctx, o);

	/* Close is called only for what was opened. */
	if (r < 0)
		file_close(ctx, shared);
	return r;
}

static int file_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct shared *o = shared;
	struct worker *w = worker;

	(void)ctx;
	if (o->follow)
		follow_init(&w->follow, &o->path, &o->codec, o->rotate_wait);
	else
		reader_init(&w->reader, &o->files, &o->codec, o->total);
	return 0;
}

static void file_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct shared *o = shared;
	struct worker *w = worker;

	(void)ctx;
	if (o->follow)
		follow_fini(&w->follow);
	else
		reader_fini(&w->reader);
}

static bool file_is_live(const void *shared)
{
	const struct shared *o = shared;

	for (uint32_t i = 0; i < o->path.count; i++)
		if (input_is_stdin(o->path.items[i]))
			return true;
	return false;
}

static int file_produce(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut)
{
	struct shared *o = shared;
	struct worker *w = worker;

	return o->follow ? follow_produce(ctx, &w->follow, cut)
			 : reader_produce(ctx, &w->reader, cut);
}

/*
 * The folder that a pattern begins with, before its first * ? or [, and the one above it: the folder, too, may be renamed and made anew. But for the
 * root, which has all in it.
 */
static void tell_pattern(const char *pattern, sl_files_fn *tell, void *user)
{
	char path[PATH_MAX];
	char *slash;

	(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(pattern, "*?[\\"), pattern);
	for (int i = 0; i < 2; i++) {
		slash = strrchr(path, '/');
		if (slash == path)
			return;
		if (slash)
			*slash = '\0';
		tell(user, slash ? path : ".", SL_FILES_READ);
		if (!slash)
			return;
	}
}

/* What is followed may be renamed, and others may come; links among them lead elsewhere. */
static void tell_followed(
	struct sl_context *ctx, const struct shared *o, sl_files_fn *tell, void *user)
{
	struct inputs now = { 0 };

	for (uint32_t i = 0; i < o->path.count; i++)
		tell_pattern(o->path.items[i], tell, user);
	if (inputs_find(ctx, &o->path, true, &now) == 0)
		for (size_t i = 0; i < now.count; i++)
			tell(user, now.items[i].path, SL_FILES_READ);
	inputs_free(&now);
}

static void file_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	const struct shared *o = shared;

	if (o->follow)
		tell_followed(ctx, o, tell, user);
	for (size_t i = 0; i < o->files.count; i++)
		if (!input_is_stdin(o->files.items[i].path))
			tell(user, o->files.items[i].path, SL_FILES_READ);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_source_file = {
	.abi = SL_ABI,
	.name = "file",
	.role = SL_SOURCE,
	.summary = "reads files or standard input, or follows files: csv, ndjson, json, lines, "
		   "msgpack, fixed width; gzip, zstd",
	.flags = SL_ONE_THREAD | SL_RESUMES | SL_CONFINED | SL_NEEDS_FILES,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = file_check,
	.is_live = file_is_live,
	.open = file_open,
	.start = file_start,
	.produce = file_produce,
	.stop = file_stop,
	.close = file_close,
	.options = options,
	.files = file_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("path", STRINGS, struct shared, path), .required = true,
	  .help = "files, with * ? [] patterns; they are read in this order, each pattern sorted; \"-\" is standard input",
	  .example = "\"/var/lib/shop/orders-*.csv\"" },
	CODEC_OPTIONS(struct shared, "auto"),
	CODEC_READ_OPTIONS(struct shared),
	{ SL_OPTION("dialect", CHOICE, struct shared, codec.dialect), .fallback = "given", .choices = codec_dialect_names,
	  .help = "csv: sniff: delimiter, quote and header are found from the first 64 KiB of each file, where no option gives them", .example = "\"sniff\"" },
	{ SL_OPTION("record_max", SIZE, struct shared, codec.record_max), .fallback = "16MiB", .min = 1024, .max = 1 << 30,
	  .help = "the longest record; a longer one is refused", .example = "\"1MiB\"" },
	{ SL_OPTION("follow", BOOL, struct shared, follow), .fallback = "false",
	  .help = "wait for more at the end of the files, and for new files, over rotation and truncation, instead of ending",
	  .example = "true" },
	{ SL_OPTION("rotate_wait", DURATION, struct shared, rotate_wait), .fallback = "10s",
	  .help = "with follow: how long nothing must have come to a file that was renamed or removed before it is done with",
	  .example = "\"1m\"" },
	{ 0 },
};
/* clang-format on */
