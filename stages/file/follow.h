/* SPDX-License-Identifier: MIT */
/*
 * All files that are followed: a scan of the patterns says which there are, where they have gone and which are new; then each is a tail
 * (tail.h). With several processes a file belongs to that whose share of names its first one falls into; the checkpoint keeps that
 * name, and who keeps it first has decided. One worker.
 */
#ifndef STAGES_FILE_FOLLOW_H
#define STAGES_FILE_FOLLOW_H

#include "tail.h"

void follow_init(struct follow *follow, const struct sl_strings *patterns,
	const struct codec_options *codec, int64_t rotate_wait);
void follow_fini(struct follow *follow);
/* As produce; it never ends. */
int follow_produce(struct sl_context *ctx, struct follow *follow, struct sl_cut *cut);

/* Is a file that is known under that name this process's? */
bool follow_is_mine(struct sl_context *ctx, const char *name);

/* All folders of the patterns, as they are now. */
void follow_watch_folders(struct sl_context *ctx, struct follow *follow);

/* Looks at all patterns. 0 or negative errno, said. */
int follow_scan(struct sl_context *ctx, struct follow *follow);

/*
 * The tail of a file that is new, under the name that it should be known by. NULL: it is another process's, or cannot be followed, or
 * not now; *ret_error: negative errno, said, or 0.
 */
struct tail *follow_adopt(struct sl_context *ctx, struct follow *follow, const char *name,
	const char *path, const struct file_id *id, int *ret_error);

/* Where the file is now, when it has not left its folder. The caller's; NULL: it is not there. */
char *follow_locate(const char *path, const struct file_id *id);
/*
 * Between two files that stood at one name one after the other. `behind`: the name now, without folder, of what was born at `since`, when it is known and not
 * that of `tail`; `before`: of what was born at `until`; NULL: none.
 */
struct follow_gap {
	const char *name;
	int64_t since, until; /* ns by the wall clock; INT64_MAX: it has no end */
	const char *behind, *before;
	struct tail *
		tail; /* the first; NULL: it is not there; then the last one that is read behind it */
};
/*
 * Files that stood at a name in its gap and were renamed before anybody looked: NAME.1 and the like. They are read one after the other behind `tail`.
 * A name stands in it once. Negative errno, said.
 */
int follow_fill(
	struct sl_context *ctx, struct follow *follow, struct follow_gap *gaps, size_t count);
/* Since when something may have been missed, where no file is left that says it: ns by the wall clock. */
int64_t follow_changed(const struct sl_origin *kept);
/* At the start, before the first scan: what was missed behind files that were read. Negative errno, said. */
int follow_find_missed(struct sl_context *ctx, struct follow *follow);
/* Behind it: what was being read, and was renamed or removed since. Negative errno, said. */
int follow_find_lost(struct sl_context *ctx, struct follow *follow);

#endif
