/* SPDX-License-Identifier: MIT */
/* See beside.h. */
#include "beside.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sluice/stage.h>

#include "inputs.h"

#define COUNT_DIGITS 4
#define WALKS_MAX 4
#define CLOCK_SLACK (20 * SL_MILLISECOND) /* what times of files lag behind the clock */

/* A regular file in a folder. False: it is none. */
static bool look(const char *folder, const char *name, char *path, struct statx *st)
{
	bool is_here = strcmp(folder, ".") == 0;

	if (snprintf(path, PATH_MAX, "%s%s%s", is_here ? "" : folder,
		    is_here || strcmp(folder, "/") == 0 ? "" : "/", name) >= PATH_MAX)
		return false;
	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, INPUT_STATX, st) == 0 &&
	       S_ISREG(st->stx_mode);
}

static bool walk_once(const char *folder, beside_fn *each, void *user)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool is_found = false;

	while (dir && !is_found && (entry = readdir(dir))) {
		char file[PATH_MAX];
		struct statx st;

		is_found = look(folder, entry->d_name, file, &st) && each(user, file, &st);
	}
	if (dir)
		(void)closedir(dir);
	return is_found;
}

/* When files last came, went or were renamed in it; ns by the wall clock. */
static int64_t changed_at(const char *folder)
{
	struct stat st;

	return stat(folder, &st) < 0 ? 0 : st.st_mtim.tv_sec * SL_SECOND + st.st_mtim.tv_nsec;
}

static int64_t wall_clock(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * SL_SECOND + now.tv_nsec;
}

/* What is renamed during a walk may be met under neither name. */
bool walk_folder(const char *folder, beside_fn *each, void *user)
{
	for (int walks = 0; walks < WALKS_MAX; walks++) {
		int64_t began = wall_clock();

		if (walk_once(folder, each, user))
			return true;
		if (changed_at(folder) < began - CLOCK_SLACK)
			return false;
	}
	return false;
}

bool walk_beside(const char *path, beside_fn *each, void *user)
{
	char *folder = input_folder(path);
	bool is_found = folder && walk_folder(folder, each, user);

	free(folder);
	return is_found;
}

int64_t born_at(const struct statx *st)
{
	const struct statx_timestamp *at =
		st->stx_mask & STATX_BTIME ? &st->stx_btime : &st->stx_mtime;

	return at->tv_sec * SL_SECOND + at->tv_nsec;
}

bool is_rotated(const char *file, const char *base)
{
	size_t size = strlen(base);
	const char *rest = file + size;

	return strncmp(file, base, size) == 0 && strchr(".-_", *rest) && *rest != '\0' &&
	       strspn(rest, "0123456789.-_") == strlen(rest) && strpbrk(rest, "0123456789");
}

/* ".1": how often it was rotated; what is longer is a time. */
static bool is_count(const char *rest)
{
	size_t size = strlen(rest + 1);

	return *rest == '.' && size <= COUNT_DIGITS && strspn(rest + 1, "0123456789") == size;
}

int by_rotation(const char *a, const char *b, const char *base)
{
	const char *first = a + strlen(base), *second = b + strlen(base);

	if (!is_rotated(a, base) || !is_rotated(b, base))
		return is_rotated(b, base) - is_rotated(a, base);
	if (is_count(first) && is_count(second))
		return atoi(second + 1) - atoi(first + 1);
	return strcmp(first, second);
}
