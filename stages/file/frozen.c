/* SPDX-License-Identifier: MIT */
/*
 * The list of a run: STATE/files.STAGE.RUN, one file after the other as five numbers and a path that ends with a zero byte. It is written under
 * another name and linked to its own: who comes second finds it whole. Lists of other runs are removed.
 */
#include "inputs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBERS "%" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64

static int say(struct sl_context *ctx, int error, const char *what, const char *path)
{
	return sl_error(ctx, error, "cannot %s %s, the list of files of this run: %s", what, path,
		strerrordesc_np(-error));
}

/* --- writing ------------------------------------------------------------------------------------ */

static void print(FILE *file, const struct input *input)
{
	for (int i = 0; i < 5; i++)
		(void)fprintf(file, "%" PRIx64 " ", input->id.part[i]);
	(void)fputs(input->path, file);
	(void)fputc('\0', file);
}

static int write_list(const struct inputs *inputs, const char *path)
{
	FILE *file = fopen(path, "we");
	bool is_written;

	if (!file)
		return -errno;
	for (size_t i = 0; i < inputs->count; i++)
		print(file, &inputs->items[i]);
	errno = 0;
	is_written = fflush(file) == 0 && fdatasync(fileno(file)) == 0;
	if (fclose(file) == 0 && is_written)
		return 0;
	return errno ? -errno : -EIO;
}

static void identify(struct inputs *inputs)
{
	struct statx st;

	for (size_t i = 0; i < inputs->count; i++)
		if (statx(AT_FDCWD, inputs->items[i].path, 0, INPUT_STATX, &st) == 0)
			inputs->items[i].id = input_id(-1, inputs->items[i].path, &st);
}

/* 0, also when another process was first. */
static int publish(struct sl_context *ctx, struct inputs *inputs, const char *path)
{
	char next[PATH_MAX];
	int r;

	if (snprintf(next, sizeof(next), "%s.%ld", path, (long)getpid()) >= (int)sizeof(next))
		return say(ctx, -ENAMETOOLONG, "write", path);
	identify(inputs);
	r = write_list(inputs, next);
	if (r == 0 && link(next, path) < 0 && errno != EEXIST)
		r = -errno;
	(void)unlink(next);
	return r < 0 ? say(ctx, r, "write", path) : 0;
}

/* --- reading ------------------------------------------------------------------------------------ */

static int parse(const char *text, struct input *ret)
{
	struct input input = { 0 };
	int used = 0;
	uint64_t *part = input.id.part;

	if (sscanf(text, NUMBERS "%n", &part[0], &part[1], &part[2], &part[3], &part[4], &used) <
			5 ||
		text[used] != ' ')
		return -EBADMSG;
	input.path = strdup(text + used + 1);
	if (!input.path)
		return -ENOMEM;
	*ret = input;
	return 0;
}

static int read_some(FILE *file, struct inputs *ret)
{
	char *line = NULL;
	size_t size = 0;
	int r = 0;

	while (r == 0 && getdelim(&line, &size, '\0', file) > 0) {
		struct input *items = reallocarray(ret->items, ret->count + 1, sizeof(*ret->items));

		r = items ? parse(line, &items[ret->count]) : -ENOMEM;
		ret->items = items ? items : ret->items;
		ret->count += r == 0;
	}
	free(line);
	return r == 0 && ferror(file) ? -EIO : r;
}

static int read_list(struct sl_context *ctx, const char *path, struct inputs *ret)
{
	struct inputs inputs = { .is_frozen = true };
	FILE *file = fopen(path, "re");
	int r = file ? read_some(file, &inputs) : -errno;

	if (file)
		(void)fclose(file);
	if (r < 0) {
		inputs_free(&inputs);
		return say(ctx, r, "read", path);
	}
	*ret = inputs;
	return 0;
}

/* --- the list ----------------------------------------------------------------------------------- */

/* "files.STAGE." and sixteen digits, but not ours: of another run. */
static bool is_old(const char *name, const char *ours)
{
	size_t stem = strlen(ours) - 16;

	return strncmp(name, ours, stem) == 0 && strncmp(name + stem, ours + stem, 16) != 0 &&
	       strspn(name + stem, "0123456789abcdef.") == strlen(name + stem);
}

static void remove_old(const char *folder, const char *ours)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (is_old(entry->d_name, ours))
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		(void)closedir(dir);
}

int inputs_freeze(struct sl_context *ctx, struct inputs *inputs)
{
	struct inputs list;
	char name[NAME_MAX], path[PATH_MAX];
	int r = 0;

	(void)snprintf(name, sizeof(name), "files.%s.%016" PRIx64, sl_stage_name(ctx), sl_run(ctx));
	if (snprintf(path, sizeof(path), "%s/%s", sl_state(ctx), name) >= (int)sizeof(path))
		return say(ctx, -ENAMETOOLONG, "write", name);
	if (access(path, F_OK) < 0)
		r = publish(ctx, inputs, path);
	if (r == 0)
		r = read_list(ctx, path, &list);
	if (r < 0)
		return r;
	remove_old(sl_state(ctx), name);
	inputs_free(inputs);
	*inputs = list;
	return 0;
}
