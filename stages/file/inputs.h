/* SPDX-License-Identifier: MIT */
/*
 * Which files there are, what names them, and where to go on in each. An origin is a file by file system, inode, time of birth (identity.h), name and
 * *generation*: a file that is shorter than what was read of it has been begun anew, and is its next one. The name is the path; that of a file that
 * is followed is empty, since it may be renamed.
 *
 * Several processes that share a list must have the same one, also a successor that starts when files have come or gone: the first
 * of a run writes it into the state folder, and all read it there.
 */
#ifndef STAGES_FILE_INPUTS_H
#define STAGES_FILE_INPUTS_H

#include <sluice/stage.h>

#include "identity.h"

struct input {
	char *path;
	struct file_id id; /* all 0: unknown, or standard input */
};

struct inputs {
	struct input
		*items; /* in the order of the patterns, each sorted; a path stands in it once */
	size_t count;
	size_t capacity;
	bool is_frozen; /* it is the run's list: files of it may be gone */
};

bool input_is_stdin(const char *path);
bool input_has_pattern(const char *path);
/* "app.log" and "" for "/var/log/app.log" and "/var/log"; the folder is the caller's to free, NULL: no memory. */
const char *input_base(const char *path);
char *input_folder(const char *path);

/* What the patterns mean now. With `may_miss` one that nothing matches means nothing; else 0 or what sl_error was told. */
int inputs_find(struct sl_context *ctx, const struct sl_strings *patterns, bool may_miss,
	struct inputs *ret);
/* What they meant when the first process of this run looked. 0, or what sl_error was told. */
int inputs_freeze(struct sl_context *ctx, struct inputs *inputs);
void inputs_free(struct inputs *inputs);

uint64_t input_origin(const char *name, const struct file_id *id, uint64_t generation);

struct input_place {
	uint64_t generation;
	uint64_t origin;
	struct sl_place place;
	bool is_known; /* something was read of it before */
	uint64_t past; /* the origin that it was before it had this one; 0: none */
};

/* How to look for it. */
struct input_wish {
	const char *name;
	/* Under which it may have been read, too: if more was, it is gone on behind that. */
	const char *other;
	/* An origin that is known, as a cut was made in it; 0: none. */
	uint64_t wanted;
	/* Cuts are made again: what is known by its device (input_by_device) stays so, as their origins are. */
	bool stays;
};
/* Where to go on in a file: its newest generation of which anything is known. */
struct input_place input_place(
	struct sl_context *ctx, const struct file_id *id, const struct input_wish *wish);
/* The file begins anew. A failure to keep its name is none: it will be kept with its first records. */
void input_next_generation(struct sl_context *ctx, const char *name, const char *text,
	const struct file_id *id, struct input_place *place);

/* What stands before a position, to know it again; 0: nothing does. */
uint64_t input_mark(int fd, uint64_t position);
/* Does that still stand there? Also when it is not known what did. */
bool input_has_place(int fd, const struct sl_place *place);

/* For sl_decoder_new: gives up on a record with file and line; not when `place` is not in the file any more, and so what was read behind it is nothing. */
struct input_refusal {
	struct sl_context *ctx;
	const char *name;
	const struct sl_place *place; /* NULL: the file does not change */
	int fd;
};
void input_refuse(void *user, uint64_t line, const char *reason, const char *text, size_t size);

#endif
