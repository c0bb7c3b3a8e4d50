/* SPDX-License-Identifier: MIT */
/* See follow.h: the folders in which names that match may come and go. */
#include "follow.h"

#include <glob.h>
#include <stdlib.h>

static void watch_one(struct sl_context *ctx, struct follow *follow, const char *path)
{
	int number = watch_folder(ctx, &follow->watch, path);
	int *folders;

	follow->misses_folder |= number < 0;
	if (number < 0)
		return;
	folders = reallocarray(follow->folders, follow->folder_count + 1, sizeof(*folders));
	if (!folders)
		return;
	folders[follow->folder_count++] = number;
	follow->folders = folders;
}

/* The folders that a pattern for folders means. */
static void watch_matching(struct sl_context *ctx, struct follow *follow, const char *pattern)
{
	glob_t found = { 0 };

	if (glob(pattern, GLOB_ONLYDIR, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			watch_one(ctx, follow, found.gl_pathv[i]);
	globfree(&found);
}

/* For a, b*, c: in which names may come and go: a; a/b*. */
static void watch_levels(struct sl_context *ctx, struct follow *follow, const char *pattern)
{
	char *folder = input_folder(pattern);

	if (!folder)
		return;
	if (input_has_pattern(folder)) {
		watch_levels(ctx, follow, folder);
		watch_matching(ctx, follow, folder);
	} else {
		watch_one(ctx, follow, folder);
	}
	free(folder);
}

static bool has_folder(const struct follow *follow, int number)
{
	for (size_t i = 0; i < follow->folder_count; i++)
		if (follow->folders[i] == number)
			return true;
	return false;
}

/* A folder may have been replaced by another one of that name. */
void follow_watch_folders(struct sl_context *ctx, struct follow *follow)
{
	int *before = follow->folders;
	size_t count = follow->folder_count;

	follow->folders = NULL;
	follow->folder_count = 0;
	follow->misses_folder = false;
	for (uint32_t i = 0; i < follow->patterns->count; i++)
		watch_levels(ctx, follow, follow->patterns->items[i]);
	for (size_t i = 0; i < count; i++)
		if (!has_folder(follow, before[i]))
			watch_remove(&follow->watch, before[i]);
	free(before);
}
