/* SPDX-License-Identifier: MIT */
/* See many.h. */
#include "many.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <utlist.h>

#define MARK_FIELDS 3

bool many_is(const char *path)
{
	struct pattern pattern;

	return pattern_parse(NULL, path, &pattern) == 0 && pattern_is_many(&pattern);
}

int many_check(
	struct sl_context *ctx, const struct many_options *options, const char *path, bool appends)
{
	bool rotates = options->rotate_size > 0 || options->rotate_every > 0;
	struct pattern pattern;
	int r = pattern_parse(ctx, path, &pattern);

	if (r < 0)
		return r;
	if (appends && pattern_is_many(&pattern))
		return sl_error(ctx, -EINVAL,
			"`append` adds to one file, and `path` is the name of many: leave it out; "
			"with {n} in "
			"`path` none is ever replaced");
	if (rotates && !pattern.has_number)
		return sl_error(ctx, -EINVAL,
			"a file that is rotated needs a number in its name: put {n} into `path`, "
			"for "
			"instance \"out.{n}.ndjson\"");
	if (options->time && !pattern.has_time)
		return sl_error(ctx, -EINVAL,
			"`time` is for {year}, {month}, {day} and {hour} in `path`: put one there, "
			"or "
			"remove it");
	return 0;
}

int many_open(struct sl_context *ctx, const char *path)
{
	char below[PATH_MAX + 8];
	struct pattern pattern;
	int r = pattern_parse(ctx, path, &pattern);

	if (r < 0)
		return r;
	(void)snprintf(below, sizeof(below), "%s/.", pattern.base);
	return access(pattern.base, F_OK) == 0 ? 0 : make_folders(ctx, below);
}

void many_files(struct sl_context *ctx, const char *path, sl_files_fn *tell, void *user)
{
	char below[PATH_MAX + 8];
	struct pattern pattern;

	if (pattern_parse(ctx, path, &pattern) < 0)
		return;
	(void)snprintf(below, sizeof(below), "%s/.part", pattern.base);
	tell(user, below, SL_FILES_WRITE);
}

int many_sync(struct sl_context *ctx, const char *path)
{
	struct pattern pattern;
	int fd, r;

	if (pattern_parse(ctx, path, &pattern) < 0)
		return -EINVAL;
	r = journal_sync_now(ctx);
	fd = open(pattern.base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return r < 0 || errno == ENOENT ? r
						: sl_error(ctx, -errno, "%s: %s", pattern.base,
							  strerrordesc_np(errno));
	/* All of them are on this file system, and which there are is known to others. */
	if (r == 0 && syncfs(fd) < 0)
		r = sl_error(
			ctx, -errno, "cannot sync %s: %s", pattern.base, strerrordesc_np(errno));
	(void)close(fd);
	return r;
}

/* --- the mark: [position in the journal, time, [files]] ------------------------------------------ */

static uint32_t count_files(const struct outputs *outputs)
{
	struct output *output;
	uint32_t count;

	DL_COUNT(outputs->done, output, count);
	return count + HASH_COUNT(outputs->by_key);
}

static int remember(struct sl_context *ctx, struct many *many)
{
	struct outputs *outputs = &many->outputs;
	struct output *output = NULL, *next = NULL;
	int r;

	sl_writer_reset(&many->mark);
	sl_put_array(&many->mark, MARK_FIELDS);
	sl_put_uint(&many->mark, journal_position(&outputs->journal));
	sl_put_int(&many->mark, many->now);
	sl_put_array(&many->mark, count_files(outputs));
	HASH_ITER (hh, outputs->by_key, output, next) {
		output_put(&many->mark, output);
	}
	DL_FOREACH(outputs->done, output)
	{
		output_put(&many->mark, output);
		output->is_remembered = true;
	}
	r = sl_record_done(&many->mark);
	if (r == 0)
		sl_remember(ctx, many->mark.data, many->mark.mark);
	return r;
}

static int recall(struct sl_context *ctx, struct many *many, struct sl_value mark)
{
	struct sl_cursor cursor = sl_walk(mark);
	struct sl_value fields[MARK_FIELDS], key, file;
	uint64_t position;
	int r = 0;

	for (int i = 0; i < MARK_FIELDS; i++)
		if (!sl_next(&cursor, &key, &fields[i]))
			return sl_error(ctx, -EIO,
				"what was remembered is of another `path`: begin anew with "
				"--from-start");
	if (!sl_get_uint(fields[0], &position) || !sl_get_int(fields[1], &many->now) ||
		sl_kind(fields[2]) != SL_ARRAY)
		return sl_error(ctx, -EIO,
			"what was remembered is of another `path`: begin anew with --from-start");
	cursor = sl_walk(fields[2]);
	while (r == 0 && sl_next(&cursor, &key, &file))
		r = outputs_restore(ctx, &many->outputs, file);
	if (r == 0)
		r = outputs_undo(ctx, &many->outputs, position);
	return r < 0 ? r : outputs_cut(ctx, &many->outputs);
}

static int begin(struct sl_context *ctx, struct many *many)
{
	const void *data;
	size_t size;
	int r = journal_open(ctx, &many->outputs.journal);

	if (r < 0)
		return r;
	if (sl_recall(ctx, &data, &size))
		return recall(ctx, many, (struct sl_value){ .data = data, .size = size });
	r = outputs_clean(ctx, &many->outputs);
	return r < 0 ? r : remember(ctx, many);
}

int many_start(struct sl_context *ctx, struct many *many, const struct many_options *options,
	const char *path, const struct sl_codec *codec)
{
	struct stat st;
	int r;

	many->options = options;
	many->outputs.codec = codec;
	many->outputs.open_max = (uint32_t)options->open_max;
	many->outputs.journal.fd = -1;
	sl_writer_init(&many->mark);
	r = pattern_parse(ctx, path, &many->pattern);
	if (r == 0 && stat(many->pattern.base, &st) < 0)
		r = sl_error(ctx, -errno, "%s: %s", many->pattern.base, strerrordesc_np(errno));
	if (r == 0) {
		many->outputs.device = st.st_dev;
		r = begin(ctx, many);
	}
	/* Stop is called only for what was started. */
	if (r < 0)
		many_stop(many);
	return r;
}

void many_stop(struct many *many)
{
	outputs_free(&many->outputs);
	sl_writer_fini(&many->mark);
}

/* --- writing ------------------------------------------------------------------------------------ */

static void look_at_clock(struct many *many)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec > many->now)
		many->now = now.tv_sec;
	many->period = pattern_period(&many->pattern, many->now);
}

/* The name of the record's file. 0, or SL_REJECTED. */
static int name_file(struct sl_context *ctx, struct many *many, struct sl_value record, char *key)
{
	const char *time = many->options->time;
	struct pattern_values values = {
		.record = record, .seconds = many->now, .instance = sl_process(ctx)
	};
	const char *reason;

	if (time && (sl_kind(record) != SL_MAP ||
			    !pattern_time(sl_find(record, time, strlen(time)), &values.seconds)))
		return sl_reject(ctx, NULL, record, "`%s` holds no time", time);
	if (pattern_fill(&many->pattern, &values, key, &reason) < 0)
		return sl_reject(ctx, NULL, record, "%s", reason);
	return 0;
}

/* 1: it was consumed; 0: rejected; negative errno. */
static int write_one(struct sl_context *ctx, struct many *many, struct sl_value record)
{
	struct output *output;
	char key[PATH_MAX];
	int r = 0;

	if (name_file(ctx, many, record, key) != 0)
		return 0;
	output = outputs_get(
		ctx, &many->outputs, key, many->now, pattern_period(&many->pattern, many->now), &r);
	if (!output)
		return r;
	output->is_dirty = true;
	r = sl_encoder_write(output->encoder, record);
	if (r == -EINVAL) {
		(void)sl_reject(ctx, NULL, record, "%s: %s", output->target,
			sl_encoder_reason(output->encoder));
		return 0;
	}
	return r < 0 ? sl_error(ctx, r, "cannot write %s: %s", output->part,
			       sl_encoder_reason(output->encoder))
		     : 1;
}

int64_t many_write(struct sl_context *ctx, struct many *many, const struct sl_batch *in)
{
	int r = outputs_publish(ctx, &many->outputs, false);
	int64_t consumed = 0;

	if (r < 0)
		return r;
	look_at_clock(many);
	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		r = write_one(ctx, many, sl_batch_record(in, i));
		if (r < 0)
			return r;
		consumed += r;
	}
	return consumed;
}

static bool is_over(const struct many *many, const struct output *output)
{
	const struct many_options *options = many->options;

	if (options->rotate_size > 0 && output->place.length >= options->rotate_size)
		return true;
	if (options->rotate_every > 0 &&
		many->now - output->opened >= options->rotate_every / SL_SECOND)
		return true;
	return many->pattern.has_time && !options->time && output->period != many->period;
}

int many_commit(struct sl_context *ctx, struct many *many)
{
	struct outputs *outputs = &many->outputs;
	struct output *output = NULL, *next = NULL;
	int r = outputs_publish(ctx, outputs, false);

	look_at_clock(many);
	HASH_ITER (hh, outputs->by_key, output, next) {
		if (r == 0 && output->is_dirty)
			r = output_save(ctx, outputs, output);
		if (r == 0 && is_over(many, output))
			r = output_end(ctx, outputs, output);
	}
	return r < 0 ? r : remember(ctx, many);
}

/* What is done is published also when the run is only stopped; the rest waits for its end. */
int many_finish(struct sl_context *ctx, struct many *many, bool complete)
{
	struct outputs *outputs = &many->outputs;
	struct output *output = NULL, *next = NULL;
	int r = outputs_publish(ctx, outputs, false);

	HASH_ITER (hh, outputs->by_key, output, next) {
		if (r == 0 && complete)
			r = output_end(ctx, outputs, output);
	}
	return r < 0 || !complete ? r : outputs_publish(ctx, outputs, true);
}
