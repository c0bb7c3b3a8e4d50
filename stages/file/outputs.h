/* SPDX-License-Identifier: MIT */
/* The files of a sink that writes many: see many.h. At most `open_max` are open; the others go on when a record comes for them. One worker. */
#ifndef STAGES_FILE_OUTPUTS_H
#define STAGES_FILE_OUTPUTS_H

#include <uthash.h>

#include "journal.h"
#include "pattern.h"
#include "place.h"

struct output {
	char *key;    /* its path, PATTERN_NUMBER_MARK for {n} */
	char *target; /* its path */
	char *part;   /* the hidden name */
	int fd;       /* -1: closed */
	struct sl_encoder *encoder;
	struct sl_writer saved;  /* what the encoder knew, and */
	struct file_place place; /* what was in the file, when it was saved */
	int64_t opened;          /* seconds since 1970 */
	int64_t period;          /* pattern_period then */
	bool is_dirty;           /* since it was saved */
	bool is_done;
	bool is_remembered;         /* done, in a mark */
	struct output *prev, *next; /* done, or all; in the order in which they came */
	struct output *warm_prev, *warm_next;
	UT_hash_handle hh;
};

struct outputs {
	/* given */
	const struct sl_codec *codec;
	uint32_t open_max;
	dev_t device;

	struct output *by_key; /* those to write to */
	struct output *done;
	struct output *warm; /* the one that was written longest ago first */
	uint32_t open_count;
	struct journal journal;
};

/* For a record: a new one when there is none. NULL: *ret_error, said. */
struct output *outputs_get(struct sl_context *ctx, struct outputs *outputs, const char *key,
	int64_t now, int64_t period, int *ret_error);
/* What was written is in the file, and in `saved` and `place`. */
int output_save(struct sl_context *ctx, struct outputs *outputs, struct output *output);
/* It is whole, and waits to be published. */
int output_end(struct sl_context *ctx, struct outputs *outputs, struct output *output);
/* Those that are done; without `all` only those that a mark has. */
int outputs_publish(struct sl_context *ctx, struct outputs *outputs, bool all);
/* From a mark: [key, target, saved, place (4), opened, period, done]. */
int outputs_restore(struct sl_context *ctx, struct outputs *outputs, struct sl_value saved);
void output_put(struct sl_writer *w, const struct output *output);
/* What was made and published behind the mark, in which all files now stand, is taken back. */
int outputs_undo(struct sl_context *ctx, struct outputs *outputs, uint64_t position);
/* What another run has left. */
int outputs_clean(struct sl_context *ctx, struct outputs *outputs);
/* Those of the mark get their lengths. */
int outputs_cut(struct sl_context *ctx, struct outputs *outputs);
void outputs_free(struct outputs *outputs);

/* The folder of a file that is to be made, and those above it; each is on the disk. */
int make_folders(struct sl_context *ctx, const char *path);

#endif
