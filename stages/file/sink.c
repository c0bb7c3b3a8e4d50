/* SPDX-License-Identifier: MIT */
/*
 * Sink "file". Without `append` it writes to a hidden name beside the file and renames when the input has ended, so that
 * whoever looks sees the old file or the whole new one. With `append` it adds to what is there.
 */
#include <sluice/stage.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec_options.h"
#include "many.h"
#include "place.h"
#include "writer.h"

#define INSTANCE "{instance}"
#define PUSH_SIZE (8u << 20)

struct shared {
	const char *path;
	struct codec_options codec;
	bool append;
	char folder[PATH_MAX];
	char target[PATH_MAX];
	char part[PATH_MAX]; /* what is written: the hidden name, or the target itself */
	struct sl_codec resolved;
	struct many_options many;
	bool is_many;
};

struct worker {
	struct many many;
	int fd;
	struct sl_encoder *encoder;
	struct sl_writer mark;
	bool has_data;     /* of this run */
	bool is_published; /* by a predecessor, which died right after it */
	uint64_t length;   /* of that file at the last mark */
	uint64_t pushed;   /* how much of the file is on its way to the disk */
};

static int file_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;
	struct sl_codec codec;
	int r;

	if (strcmp(o->path, "-") == 0)
		return sl_error(ctx, -EINVAL, "a file sink has no \"-\": use sink = \"stdout\"");
	if (o->path[0] == '\0' || o->path[strlen(o->path) - 1] == '/')
		return sl_error(
			ctx, -EINVAL, "`path` names no file: write for instance \"out.ndjson\"");
	if (strlen(o->path) > PATH_MAX - 64)
		return sl_error(ctx, -ENAMETOOLONG, "`path` is longer than the kernel takes");
	r = codec_options_resolve(ctx, &o->codec, o->path, &codec);
	if (r < 0)
		return r;
	r = many_check(ctx, &o->many, o->path, o->append);
	if (r < 0)
		return r;
	if (o->append && codec.format == SL_FORMAT_JSON)
		return sl_error(ctx, -EINVAL,
			"a JSON array cannot be appended to: use format = \"ndjson\"");
	return 0;
}

static const char *file_target(const void *shared)
{
	return ((const struct shared *)shared)->path;
}

/* Puts the process number in place of {instance}. */
static void fill_in(const char *pattern, uint32_t instance, char *path)
{
	const char *found = strstr(pattern, INSTANCE);

	if (found)
		(void)snprintf(path, PATH_MAX, "%.*s%u%s", (int)(found - pattern), pattern,
			instance, found + strlen(INSTANCE));
	else
		(void)snprintf(path, PATH_MAX, "%s", pattern);
}

/* Which files this process writes; false: the name is too long. */
static bool name_files(struct sl_context *ctx, struct shared *o)
{
	char copy[PATH_MAX];

	fill_in(o->path, sl_process(ctx), o->target);
	(void)snprintf(copy, sizeof(copy), "%s", o->target);
	(void)snprintf(o->folder, sizeof(o->folder), "%s", dirname(copy));
	(void)snprintf(copy, sizeof(copy), "%s", o->target);
	if (o->append)
		return snprintf(o->part, sizeof(o->part), "%s", o->target) < (int)sizeof(o->part);
	return snprintf(o->part, sizeof(o->part), "%s/.%s.part", o->folder, basename(copy)) <
	       (int)sizeof(o->part);
}

static int file_open(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;
	struct stat st;
	int r = codec_options_resolve(ctx, &o->codec, o->path, &o->resolved);

	o->is_many = many_is(o->path);
	if (sl_process_count(ctx) > 1 && !strstr(o->path, INSTANCE))
		return sl_error(ctx, -EINVAL,
			"several processes cannot write one file: put {instance} into `path`");
	if (r < 0)
		return r;
	if (o->is_many)
		return many_open(ctx, o->path);
	if (!name_files(ctx, o))
		return sl_error(
			ctx, -ENAMETOOLONG, "%s is longer than the kernel takes", o->target);
	if (stat(o->folder, &st) < 0)
		return sl_error(ctx, -errno, "%s: %s: make the folder, or change `path`", o->folder,
			strerrordesc_np(errno));
	if (stat(o->target, &st) == 0 && S_ISDIR(st.st_mode))
		return sl_error(
			ctx, -EISDIR, "%s is a folder: `path` names the file to write", o->target);
	return 0;
}

/* --- the mark: [what the encoder knows, length, file system, inode, hash of what stands before the length] --------------------------------- */

#define MARK_FIELDS (1 + PLACE_FIELDS)

/* The disk works meanwhile: else publishing waits in the end for all that was written. */
static void push(struct worker *w, uint64_t length)
{
	if (length < w->pushed + PUSH_SIZE)
		return;
	(void)sync_file_range(
		w->fd, (off_t)w->pushed, (off_t)(length - w->pushed), SYNC_FILE_RANGE_WRITE);
	w->pushed = length;
}

/* What was written is whole up to here: a successor cuts the file to this length and goes on. */
static int remember(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	struct file_place place;
	int r;

	sl_writer_reset(&w->mark);
	sl_put_array(&w->mark, MARK_FIELDS);
	r = sl_encoder_save(w->encoder, &w->mark);
	if (r < 0)
		return sl_error(
			ctx, r, "cannot write %s: %s", o->target, sl_encoder_reason(w->encoder));
	r = place_of(w->fd, o->part, &place);
	if (r < 0)
		return sl_error(ctx, r, "%s: %s", o->part, strerrordesc_np(-r));
	push(w, place.length);
	place_put(&w->mark, &place);
	r = sl_record_done(&w->mark);
	if (r == 0)
		sl_remember(ctx, w->mark.data, w->mark.mark);
	return r;
}

static int no_mark(struct sl_context *ctx, const struct shared *o)
{
	return sl_error(ctx, -EIO,
		"%s is not the file that was written so far: it was moved or changed, and the run "
		"cannot go on; begin a new one",
		o->part);
}

/* The predecessor's file, or the target when it had that name already; w->fd. */
static int open_again(struct shared *o, struct worker *w, const struct file_place *place)
{
	w->fd = open(o->part, O_RDWR | O_CLOEXEC | (o->append ? O_APPEND : 0));
	if (place_is_in(w->fd, place))
		return 0;
	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = open(o->target, O_RDWR | O_CLOEXEC);
	w->is_published = true;
	return place_is_in(w->fd, place) ? 0 : -EIO;
}

static int begin(struct sl_context *ctx, struct shared *o, struct worker *w)
{
	struct stat st;
	int r;

	w->fd = open(
		o->part, O_RDWR | O_CREAT | O_CLOEXEC | (o->append ? O_APPEND : O_TRUNC), 0666);
	if (w->fd < 0)
		return sl_error(
			ctx, -errno, "cannot write %s: %s", o->part, strerrordesc_np(errno));
	/* The header of a CSV file stands at its begin only. */
	if (o->append && fstat(w->fd, &st) == 0 && st.st_size > 0)
		o->resolved.no_header = true;
	w->encoder = sl_encoder_new(&o->resolved, w->fd, &r);
	return w->encoder ? remember(ctx, o, w) : r;
}

/* Goes on where a predecessor stood: what it wrote after its last commit is given again, and so is cut off. */
static int go_on(
	struct sl_context *ctx, struct shared *o, struct worker *w, const void *data, size_t size)
{
	struct sl_value fields[MARK_FIELDS], key;
	struct sl_cursor c = sl_walk((struct sl_value){ .data = data, .size = size });
	struct file_place place;
	int r;

	for (int i = 0; i < MARK_FIELDS; i++)
		if (!sl_next(&c, &key, &fields[i]))
			return no_mark(ctx, o);
	if (!place_get(fields + 1, &place))
		return no_mark(ctx, o);
	if (open_again(o, w, &place) < 0) {
		if (place.length > 0 || (o->append && access(o->part, F_OK) == 0))
			return no_mark(ctx, o);
		/* It was begun right before a power cut, and its name did not last. */
		if (w->fd >= 0)
			(void)close(w->fd);
		w->is_published = false;
		return begin(ctx, o, w);
	}
	o->resolved.no_header = o->resolved.no_header || (o->append && place.length > 0);
	w->encoder = sl_encoder_new(&o->resolved, w->fd, &r);
	if (!w->encoder)
		return r;
	r = sl_encoder_restore(w->encoder, fields[0]);
	w->length = place.length;
	if (r < 0 || w->is_published)
		return r == -EINVAL ? no_mark(ctx, o) : r;
	w->has_data = place.length > 0;
	if (ftruncate(w->fd, (off_t)place.length) < 0 || lseek(w->fd, 0, SEEK_END) < 0)
		return sl_error(ctx, -errno, "cannot cut %s: %s", o->part, strerrordesc_np(errno));
	return 0;
}

static int file_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;
	const struct shared *o = shared;
	const void *data;
	size_t size;

	if (o->is_many)
		return many_start(ctx, &w->many, &o->many, o->path, &o->resolved);
	w->fd = -1;
	sl_writer_init(&w->mark);
	return sl_recall(ctx, &data, &size) ? go_on(ctx, shared, w, data, size)
					    : begin(ctx, shared, w);
}

/* The begin of one file becomes the begin of another. 0 or -1 and errno. */
static int copy_begin(int from, int to, uint64_t length)
{
	while (length > 0) {
		ssize_t copied = sendfile(to, from, NULL, length);

		if (copied <= 0) {
			errno = copied == 0 ? EIO : errno;
			return -1;
		}
		length -= (uint64_t)copied;
	}
	return 0;
}

/*
 * What was published before a power cut was not all of it: since the rename did not last as long as the mark did. It stays as it is until the
 * whole new one takes its place.
 */
static int take_back(struct sl_context *ctx, const struct shared *o, struct worker *w)
{
	int from = open(o->target, O_RDONLY | O_CLOEXEC);
	int to = open(o->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int r = 0;

	/* The encoder goes on with the number of the descriptor that it has. */
	if (from < 0 || to < 0 || copy_begin(from, to, w->length) < 0 ||
		dup3(to, w->fd, O_CLOEXEC) < 0)
		r = sl_error(ctx, -errno, "cannot write %s: %s", o->part, strerrordesc_np(errno));
	if (from >= 0)
		(void)close(from);
	if (to >= 0)
		(void)close(to);
	w->is_published = r < 0;
	return r;
}

static int64_t file_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	int r = 0;

	if (o->is_many)
		return many_write(ctx, &w->many, in);
	if (w->is_published)
		r = take_back(ctx, o, w);
	if (r < 0)
		return r;
	w->has_data = true;
	return writer_write(ctx, w->encoder, o->target, in);
}

static int file_commit(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;

	return o->is_many ? many_commit(ctx, &w->many) : remember(ctx, o, w);
}

/* The file's bytes, then its name, then the folder that holds the name. */
static int publish(struct sl_context *ctx, const struct shared *o, const struct worker *w)
{
	int folder;
	int r = 0;

	if (fsync(w->fd) < 0)
		return sl_error(ctx, -errno, "cannot sync %s: %s", o->part, strerrordesc_np(errno));
	if (rename(o->part, o->target) < 0)
		return sl_error(ctx, -errno, "cannot rename %s to %s: %s", o->part, o->target,
			strerrordesc_np(errno));
	folder = open(o->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || fsync(folder) < 0)
		r = sl_error(ctx, -errno, "cannot sync the folder %s: %s", o->folder,
			strerrordesc_np(errno));
	if (folder >= 0)
		(void)close(folder);
	return r;
}

static int file_finish(struct sl_context *ctx, void *shared, void *worker, bool complete)
{
	struct shared *o = shared;
	struct worker *w = worker;
	int r;

	if (o->is_many)
		return many_finish(ctx, &w->many, complete);
	if (w->is_published)
		return 0;
	/* Who goes on with the run goes on with the file. */
	if (!complete)
		return 0;
	/* Nothing new: what was published before stays. */
	if (!o->append && !w->has_data && sl_goes_on(ctx)) {
		(void)unlink(o->part);
		return 0;
	}
	r = sl_encoder_finish(w->encoder);
	if (r < 0)
		return sl_error(
			ctx, r, "cannot write %s: %s", o->target, sl_encoder_reason(w->encoder));
	return o->append ? 0 : publish(ctx, o, w);
}

/* 0, also when there is no such file yet. */
static int sync_one(struct sl_context *ctx, const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	r = fd < 0 || fsync(fd) < 0
		    ? sl_error(ctx, -errno, "cannot sync %s: %s", path, strerrordesc_np(errno))
		    : 0;
	if (fd >= 0)
		(void)close(fd);
	return r;
}

static int file_sync(struct sl_context *ctx, const void *shared)
{
	struct shared o = *(const struct shared *)shared;
	int r;

	if (many_is(o.path))
		return many_sync(ctx, o.path);
	if (!name_files(ctx, &o))
		return 0;
	/* What is published was synced before. */
	r = sync_one(ctx, o.part, 0);
	return r == 0 ? sync_one(ctx, o.folder, O_DIRECTORY) : r;
}

static void file_stop(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;

	(void)ctx;
	if (o->is_many) {
		many_stop(&w->many);
		return;
	}
	sl_encoder_free(w->encoder);
	sl_writer_fini(&w->mark);
	(void)close(w->fd);
}

static void file_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	struct shared o = *(const struct shared *)shared;

	if (many_is(o.path)) {
		many_files(ctx, o.path, tell, user);
		return;
	}
	if (!name_files(ctx, &o))
		return;
	tell(user, o.target, SL_FILES_WRITE);
	tell(user, o.part, SL_FILES_WRITE);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_sink_file = {
	.abi = SL_ABI,
	.name = "file",
	.role = SL_SINK,
	.summary = "writes a file, seen only when it is whole; or appends to one; or many, by "
		   "fields and time",
	.flags = SL_ONE_THREAD | SL_RESUMES | SL_REMEMBERED | SL_CONFINED | SL_NEEDS_FILES,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.check = file_check,
	.target = file_target,
	.open = file_open,
	.start = file_start,
	.write = file_write,
	.commit = file_commit,
	.finish = file_finish,
	.stop = file_stop,
	.sync = file_sync,
	.options = options,
	.files = file_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("path", STRING, struct shared, path), .required = true,
	  .help = "the file; {instance} is the number of the process; {field}, {year}, {month}, {day}, {hour} make many files, {n} numbers them", .example = "\"/var/lib/shop/vat.ndjson\"" },
	{ SL_OPTION("append", BOOL, struct shared, append), .fallback = "false",
	  .help = "add to the file instead of replacing it when all is written", .example = "true" },
	CODEC_OPTIONS(struct shared, "auto"),
	{ SL_OPTION("time", STRING, struct shared, many.time),
	  .help = "the field that {year}, {month}, {day} and {hour} are taken from; absent: the clock", .example = "\"created\"" },
	{ SL_OPTION("rotate_size", SIZE, struct shared, many.rotate_size),
	  .help = "a file is done when it has this size, and the next {n} begins; 0: never", .example = "\"100MiB\"" },
	{ SL_OPTION("rotate_every", DURATION, struct shared, many.rotate_every),
	  .help = "a file is done when it is so old, and the next {n} begins; 0: never", .example = "\"1h\"" },
	{ SL_OPTION("open_max", INT, struct shared, many.open_max), .fallback = "100", .min = 1, .max = 100000,
	  .help = "files that are open at once; the one that was written longest ago is closed for another", .example = "20" },
	{ 0 },
};
/* clang-format on */
