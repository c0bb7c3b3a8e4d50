/* SPDX-License-Identifier: MIT */
/*
 * The files of a folder, and what their names and times say of rotation: "app.log" becomes "app.log.1", "app.log-20260731" and the like. Shared by lost.c
 * and missed.c.
 */
#ifndef STAGES_FILE_BESIDE_H
#define STAGES_FILE_BESIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/*
 * Calls `each` for the regular files of the folder, or of that of a path, until it answers true; true: it did. When files are renamed meanwhile it walks
 * again, so that none is passed over: then it may be called more than once for one.
 */
typedef bool beside_fn(void *user, const char *path, const struct statx *st);
bool walk_folder(const char *folder, beside_fn *each, void *user);
bool walk_beside(const char *path, beside_fn *each, void *user);

/* When it was born, or, where nobody knows that, last changed: ns by the wall clock. */
int64_t born_at(const struct statx *st);

/* Both without folders: "app.log.1" of "app.log". */
bool is_rotated(const char *file, const char *base);
/*
 * Of two files that were born at one tick of the clock, by their names: below 0: `a` is older. Counts grow with age, times do not; the name itself is
 * the newest.
 */
int by_rotation(const char *a, const char *b, const char *base);

#endif
