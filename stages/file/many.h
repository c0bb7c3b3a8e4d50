/* SPDX-License-Identifier: MIT */
/*
 * The sink "file" where `path` has parts that records and the clock fill in. Each callback of the stage has one here.
 *
 *             a record for it       commit: rotated, or its time is over       the commit is remembered
 *     none --------------------> [open] --------------------------------> [done] ---------------------> published
 *                                  |                                                                        ^
 *                                  +---------------------------- end of the input --------------------------+
 *
 * Until it is published a file has the hidden name `.NAME.part`. What is committed is in the mark: each file that is open or done, with its length. A
 * successor undoes what the journal has behind the mark (what was published gets its hidden name again, or goes), cuts the files to their
 * lengths, and is given the rest again.
 */
#ifndef STAGES_FILE_MANY_H
#define STAGES_FILE_MANY_H

#include "outputs.h"

struct many_options {
	const char *time;
	uint64_t rotate_size;
	int64_t rotate_every;
	int64_t open_max;
};

struct many {
	const struct many_options *options;
	struct pattern pattern;
	struct outputs outputs;
	struct sl_writer mark;
	int64_t now;    /* seconds since 1970; never goes back */
	int64_t period; /* that `now` is in */
};

bool many_is(const char *path);
int many_check(
	struct sl_context *ctx, const struct many_options *options, const char *path, bool appends);
int many_open(struct sl_context *ctx, const char *path);
int many_start(struct sl_context *ctx, struct many *many, const struct many_options *options,
	const char *path, const struct sl_codec *codec);
int64_t many_write(struct sl_context *ctx, struct many *many, const struct sl_batch *in);
int many_commit(struct sl_context *ctx, struct many *many);
int many_finish(struct sl_context *ctx, struct many *many, bool complete);
int many_sync(struct sl_context *ctx, const char *path);
void many_stop(struct many *many);
void many_files(struct sl_context *ctx, const char *path, sl_files_fn *tell, void *user);

#endif
