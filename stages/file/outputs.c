/* SPDX-License-Identifier: MIT */
/* See outputs.h. */
#include "outputs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utlist.h>

#define OUTPUT_FIELDS (6 + PLACE_FIELDS)
#define PART ".part"

static int cannot(struct sl_context *ctx, const char *what, const char *path, int error)
{
	return sl_error(ctx, error, "cannot %s %s: %s", what, path, strerrordesc_np(-error));
}

/* --- names -------------------------------------------------------------------------------------- */

static void folder_of(const char *path, char *folder)
{
	char copy[PATH_MAX];

	(void)snprintf(copy, sizeof(copy), "%s", path);
	(void)snprintf(folder, PATH_MAX, "%s", dirname(copy));
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int sync_folder(struct sl_context *ctx, const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? cannot(ctx, "sync the folder", folder, -errno) : 0;

	if (fd >= 0)
		(void)close(fd);
	return r;
}

int make_folders(struct sl_context *ctx, const char *path)
{
	char folder[PATH_MAX], above[PATH_MAX];
	int r;

	folder_of(path, folder);
	if (mkdir(folder, 0777) == 0) {
		folder_of(folder, above);
		return sync_folder(ctx, above);
	}
	if (errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return cannot(ctx, "make the folder", folder, -errno);
	r = make_folders(ctx, folder);
	return r < 0 ? r : make_folders(ctx, path);
}

/* The number that `name`, a file's or a hidden one, has where `key` has the mark. 0: it is another one's. */
static uint64_t number_of(const char *name, const char *key)
{
	const char *mark = strchr(key, PATTERN_NUMBER_MARK);
	size_t before = (size_t)(mark - key);
	unsigned long long number;
	char *end;

	name += name[0] == '.' && key[0] != '.';
	if (strncmp(name, key, before) != 0 || name[before] < '1' || name[before] > '9')
		return 0;
	number = strtoull(name + before, &end, 10);
	for (mark++; *mark && *mark == *end; mark++)
		end++;
	if (*mark)
		return 0;
	return *end == '\0' || strcmp(end, PART) == 0 ? number : 0;
}

/* Behind all that are there: none of them is ever replaced. */
static uint64_t next_number(const char *key)
{
	char folder[PATH_MAX];
	struct dirent *entry;
	uint64_t last = 0;
	DIR *dir;

	folder_of(key, folder);
	dir = opendir(folder);
	while (dir && (entry = readdir(dir))) {
		uint64_t number = number_of(entry->d_name, base_of(key));

		last = number > last ? number : last;
	}
	if (dir)
		(void)closedir(dir);
	return last + 1;
}

static char *target_of(const char *key)
{
	const char *mark = strchr(key, PATTERN_NUMBER_MARK);
	char *path;

	if (!mark)
		return strdup(key);
	if (asprintf(&path, "%.*s%llu%s", (int)(mark - key), key,
		    (unsigned long long)next_number(key), mark + 1) < 0)
		return NULL;
	return path;
}

static char *part_of(const char *target)
{
	const char *base = base_of(target);
	char *path;

	return asprintf(&path, "%.*s.%s%s", (int)(base - target), target, base, PART) < 0 ? NULL
											  : path;
}

/* --- open and closed ---------------------------------------------------------------------------- */

static void output_close(struct outputs *outputs, struct output *output)
{
	if (output->fd < 0)
		return;
	sl_encoder_free(output->encoder);
	output->encoder = NULL;
	(void)close(output->fd);
	output->fd = -1;
	DL_DELETE2(outputs->warm, output, warm_prev, warm_next);
	outputs->open_count--;
}

static void output_free(struct outputs *outputs, struct output *output)
{
	output_close(outputs, output);
	sl_writer_fini(&output->saved);
	free(output->key);
	free(output->target);
	free(output->part);
	free(output);
}

static struct output *output_new(const char *key, char *target)
{
	struct output *output = calloc(1, sizeof(*output));

	if (!output || !target) {
		free(output);
		free(target);
		return NULL;
	}
	output->fd = -1;
	output->target = target;
	output->part = part_of(target);
	output->key = strdup(key);
	sl_writer_init(&output->saved);
	if (output->part && output->key)
		return output;
	free(output->key);
	free(output->part);
	free(output->target);
	free(output);
	return NULL;
}

static int make_room(struct sl_context *ctx, struct outputs *outputs)
{
	while (outputs->open_count >= outputs->open_max) {
		struct output *oldest = outputs->warm;
		int r = oldest->is_dirty ? output_save(ctx, outputs, oldest) : 0;

		if (r < 0)
			return r;
		output_close(outputs, oldest);
	}
	return 0;
}

/* What a file says itself is not what its folder says where layers lie over each other (overlayfs). */
static bool is_elsewhere(const struct outputs *outputs, const char *part)
{
	char folder[PATH_MAX];
	struct stat st;

	folder_of(part, folder);
	return stat(folder, &st) == 0 && st.st_dev != outputs->device;
}

/* Two sinks whose names meet would write over each other. */
static int check_file(
	struct sl_context *ctx, const struct outputs *outputs, int fd, const char *part)
{
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return sl_error(ctx, -EBUSY,
			"%s is being written by another sink: give each names of its own", part);
	if (is_elsewhere(outputs, part))
		return sl_error(ctx, -EXDEV,
			"%s is on another file system than the folder that `path` begins with: "
			"give each its "
			"own sink",
			part);
	return 0;
}

/* With an encoder, at its end. */
static int output_open(
	struct sl_context *ctx, struct outputs *outputs, struct output *output, int flags)
{
	int r = make_room(ctx, outputs);

	if (r < 0)
		return r;
	output->fd = open(output->part, O_RDWR | O_CLOEXEC | flags, 0666);
	if (output->fd < 0)
		return cannot(ctx, "write", output->part, -errno);
	DL_APPEND2(outputs->warm, output, warm_prev, warm_next);
	outputs->open_count++;
	r = check_file(ctx, outputs, output->fd, output->part);
	if (r == 0 && (flags & O_CREAT) && ftruncate(output->fd, 0) < 0)
		r = cannot(ctx, "cut", output->part, -errno);
	if (r == 0 && lseek(output->fd, 0, SEEK_END) < 0)
		r = cannot(ctx, "write", output->part, -errno);
	if (r < 0)
		return r;
	output->encoder = sl_encoder_new(outputs->codec, output->fd, &r);
	return output->encoder ? 0 : cannot(ctx, "write", output->part, r);
}

static int reopen(struct sl_context *ctx, struct outputs *outputs, struct output *output)
{
	int r = output_open(ctx, outputs, output, 0);

	if (r == 0)
		r = sl_encoder_restore(output->encoder,
			(struct sl_value){ output->saved.data, output->saved.size });
	return r == -EINVAL ? cannot(ctx, "go on with", output->part, r) : r;
}

int output_save(struct sl_context *ctx, struct outputs *outputs, struct output *output)
{
	int r;

	(void)outputs;
	sl_writer_reset(&output->saved);
	r = sl_encoder_save(output->encoder, &output->saved);
	if (r < 0)
		return sl_error(ctx, r, "cannot write %s: %s", output->part,
			sl_encoder_reason(output->encoder));
	r = output->saved.error ? output->saved.error
				: place_of(output->fd, output->part, &output->place);
	if (r < 0)
		return cannot(ctx, "write", output->part, r);
	output->is_dirty = false;
	return 0;
}

/* Written down before it is made; of one that is there already, and may be somebody else's, when it is known to be nobody's. */
static int make(struct sl_context *ctx, struct outputs *outputs, struct output *output)
{
	struct journal_entry entry = { .kind = JOURNAL_MADE, .path = output->part };
	int r = make_folders(ctx, output->part);
	bool is_there = r == 0 && access(output->part, F_OK) == 0;

	if (r == 0 && !is_there)
		r = journal_add(ctx, &outputs->journal, &entry);
	if (r == 0)
		r = output_open(ctx, outputs, output, O_CREAT);
	if (r == 0 && is_there)
		r = journal_add(ctx, &outputs->journal, &entry);
	return r;
}

static int enlist(struct sl_context *ctx, struct outputs *outputs, struct output *output)
{
	HASH_ADD_KEYPTR(hh, outputs->by_key, output->key, strlen(output->key), output);
	return output->hh.tbl ? 0 : sl_error(ctx, -ENOMEM, "no memory for a file");
}

static struct output *add(struct sl_context *ctx, struct outputs *outputs, const char *key,
	int64_t now, int64_t period, int *ret_error)
{
	struct output *output = output_new(key, target_of(key));

	*ret_error = output ? make(ctx, outputs, output)
			    : sl_error(ctx, -ENOMEM, "no memory for a file");
	if (*ret_error == 0) {
		output->opened = now;
		output->period = period;
		*ret_error = enlist(ctx, outputs, output);
	}
	if (*ret_error == 0)
		return output;
	if (output)
		output_free(outputs, output);
	return NULL;
}

struct output *outputs_get(struct sl_context *ctx, struct outputs *outputs, const char *key,
	int64_t now, int64_t period, int *ret_error)
{
	struct output *output = NULL;

	HASH_FIND_STR(outputs->by_key, key, output);
	if (!output) {
		output = add(ctx, outputs, key, now, period, ret_error);
		return output;
	}
	if (output->fd < 0) {
		*ret_error = reopen(ctx, outputs, output);
		return *ret_error < 0 ? NULL : output;
	}
	DL_DELETE2(outputs->warm, output, warm_prev, warm_next);
	DL_APPEND2(outputs->warm, output, warm_prev, warm_next);
	return output;
}

int output_end(struct sl_context *ctx, struct outputs *outputs, struct output *output)
{
	int r = output->fd < 0 ? reopen(ctx, outputs, output) : 0;

	if (r == 0)
		r = output_save(ctx, outputs, output);
	if (r < 0)
		return r;
	r = sl_encoder_finish(output->encoder);
	if (r < 0)
		return sl_error(ctx, r, "cannot write %s: %s", output->part,
			sl_encoder_reason(output->encoder));
	r = place_of(output->fd, output->part, &output->place);
	if (r < 0)
		return cannot(ctx, "write", output->part, r);
	output_close(outputs, output);
	output->is_done = true;
	HASH_DEL(outputs->by_key, output);
	DL_APPEND(outputs->done, output);
	return 0;
}

/* --- publishing --------------------------------------------------------------------------------- */

static bool is_due(const struct output *output, bool all)
{
	return all || output->is_remembered;
}

static int sync_file(struct sl_context *ctx, const struct output *output)
{
	int fd = open(output->part, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? cannot(ctx, "sync", output->part, -errno) : 0;

	if (fd >= 0)
		(void)close(fd);
	return r;
}

static int announce(struct sl_context *ctx, struct outputs *outputs, const struct output *output)
{
	const struct journal_entry entry = { .kind = JOURNAL_PUBLISHED,
		.inode = output->place.inode,
		.size = output->place.length,
		.path = output->target };
	int r = sync_file(ctx, output);

	return r < 0 ? r : journal_add(ctx, &outputs->journal, &entry);
}

/* Their bytes, what is to happen, their names, and then the folders that hold the names. */
int outputs_publish(struct sl_context *ctx, struct outputs *outputs, bool all)
{
	struct output *output = NULL, *next = NULL;
	char folder[PATH_MAX], last[PATH_MAX] = "";
	bool is_any = false;
	int r = 0;

	DL_FOREACH(outputs->done, output)
	{
		if (r == 0 && is_due(output, all)) {
			r = announce(ctx, outputs, output);
			is_any = true;
		}
	}
	if (r == 0 && is_any)
		r = journal_sync(ctx, &outputs->journal);
	DL_FOREACH(outputs->done, output)
	{
		if (r == 0 && is_due(output, all) && rename(output->part, output->target) < 0)
			r = sl_error(ctx, -errno, "cannot rename %s to %s: %s", output->part,
				output->target, strerrordesc_np(errno));
	}
	DL_FOREACH_SAFE(outputs->done, output, next)
	{
		if (r < 0 || !is_due(output, all))
			continue;
		folder_of(output->target, folder);
		if (strcmp(folder, last) != 0)
			r = sync_folder(ctx, folder);
		(void)snprintf(last, sizeof(last), "%s", folder);
		DL_DELETE(outputs->done, output);
		output_free(outputs, output);
	}
	return r < 0 ? r : is_any ? journal_trim(ctx, &outputs->journal) : 0;
}

/* --- marks -------------------------------------------------------------------------------------- */

void output_put(struct sl_writer *w, const struct output *output)
{
	sl_put_array(w, OUTPUT_FIELDS);
	sl_put_cstr(w, output->key);
	sl_put_cstr(w, output->target);
	sl_put_value(w, (struct sl_value){ output->saved.data, output->saved.size });
	place_put(w, &output->place);
	sl_put_int(w, output->opened);
	sl_put_int(w, output->period);
	sl_put_bool(w, output->is_done);
}

static char *text_of(struct sl_value value)
{
	const char *text;
	size_t size;

	return sl_get_str(value, &text, &size) ? strndup(text, size) : NULL;
}

static bool get_fields(struct output *output, const struct sl_value *fields)
{
	sl_put_value(&output->saved, fields[2]);
	output->is_remembered = true;
	return place_get(fields + 3, &output->place) &&
	       sl_get_int(fields[3 + PLACE_FIELDS], &output->opened) &&
	       sl_get_int(fields[4 + PLACE_FIELDS], &output->period) &&
	       sl_get_bool(fields[5 + PLACE_FIELDS], &output->is_done) && !output->saved.error;
}

int outputs_restore(struct sl_context *ctx, struct outputs *outputs, struct sl_value saved)
{
	struct sl_value fields[OUTPUT_FIELDS], ignored;
	struct sl_cursor cursor = sl_walk(saved);
	struct output *output;
	char *key;

	for (int i = 0; i < OUTPUT_FIELDS; i++)
		if (!sl_next(&cursor, &ignored, &fields[i]))
			return sl_error(ctx, -EIO, "what was remembered of a file is not whole");
	key = text_of(fields[0]);
	output = key ? output_new(key, text_of(fields[1])) : NULL;
	free(key);
	if (!output)
		return sl_error(ctx, -ENOMEM, "no memory for a file");
	if (!get_fields(output, fields)) {
		output_free(outputs, output);
		return sl_error(ctx, -EIO, "what was remembered of a file is not whole");
	}
	if (output->is_done) {
		DL_APPEND(outputs->done, output);
		return 0;
	}
	if (enlist(ctx, outputs, output) == 0)
		return 0;
	output_free(outputs, output);
	return -ENOMEM;
}

/* --- going back --------------------------------------------------------------------------------- */

struct undoing {
	struct sl_context *ctx;
	struct outputs *outputs;
	int error;
};

static struct output *find_output(struct outputs *outputs, const char *path, bool by_part)
{
	struct output *output = NULL, *next = NULL;

	HASH_ITER (hh, outputs->by_key, output, next) {
		if (strcmp(by_part ? output->part : output->target, path) == 0)
			return output;
	}
	DL_FOREACH(outputs->done, output)
	{
		if (strcmp(by_part ? output->part : output->target, path) == 0)
			return output;
	}
	return NULL;
}

/* It may have been replaced since, or not have come to it. */
static bool is_still(const struct journal_entry *entry)
{
	struct stat st;

	if (lstat(entry->path, &st) < 0)
		return false;
	return entry->kind == JOURNAL_MADE ||
	       (st.st_ino == entry->inode && (uint64_t)st.st_size == entry->size);
}

/* A name that was published becomes the hidden one again when the mark has the file, else the file goes: its records come again. */
static void undo(void *user, const struct journal_entry *entry)
{
	struct undoing *undoing = user;
	struct output *output =
		find_output(undoing->outputs, entry->path, entry->kind == JOURNAL_MADE);
	int r = 0;

	if (undoing->error < 0 || !is_still(entry))
		return;
	if (output && entry->kind == JOURNAL_PUBLISHED)
		r = rename(output->target, output->part);
	else if (!output)
		r = unlink(entry->path);
	if (r < 0)
		undoing->error = cannot(undoing->ctx, "take back", entry->path, -errno);
}

int outputs_undo(struct sl_context *ctx, struct outputs *outputs, uint64_t position)
{
	struct undoing undoing = { ctx, outputs, 0 };
	int r = journal_walk(ctx, &outputs->journal, position, undo, &undoing);

	if (r == 0)
		r = undoing.error;
	return r < 0 ? r : journal_cut(ctx, &outputs->journal, position);
}

static void clean(void *user, const struct journal_entry *entry)
{
	(void)user;
	if (entry->kind == JOURNAL_MADE && is_still(entry))
		(void)unlink(entry->path);
}

int outputs_clean(struct sl_context *ctx, struct outputs *outputs)
{
	int r = journal_walk(ctx, &outputs->journal, outputs->journal.base, clean, NULL);

	return r < 0 ? r : journal_begin(ctx, &outputs->journal);
}

static int cut_one(struct sl_context *ctx, const struct output *output)
{
	int fd = open(output->part, O_RDWR | O_CLOEXEC);
	int r = 0;

	if (!place_is_in(fd, &output->place))
		r = sl_error(ctx, -EIO,
			"%s is not the file that was written so far: it was moved or changed, and "
			"the run "
			"cannot go on; begin a new one",
			output->part);
	else if (ftruncate(fd, (off_t)output->place.length) < 0)
		r = cannot(ctx, "cut", output->part, -errno);
	if (fd >= 0)
		(void)close(fd);
	return r;
}

int outputs_cut(struct sl_context *ctx, struct outputs *outputs)
{
	struct output *output = NULL, *next = NULL;
	int r = 0;

	HASH_ITER (hh, outputs->by_key, output, next) {
		r = r < 0 ? r : cut_one(ctx, output);
	}
	DL_FOREACH(outputs->done, output)
	{
		r = r < 0 ? r : cut_one(ctx, output);
	}
	return r;
}

void outputs_free(struct outputs *outputs)
{
	struct output *output = NULL, *next = NULL;

	HASH_ITER (hh, outputs->by_key, output, next) {
		HASH_DEL(outputs->by_key, output);
		output_free(outputs, output);
	}
	DL_FOREACH_SAFE(outputs->done, output, next)
	{
		DL_DELETE(outputs->done, output);
		output_free(outputs, output);
	}
	journal_close(&outputs->journal);
}
