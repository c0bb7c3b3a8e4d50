/* SPDX-License-Identifier: MIT */
/*
 * How far the time of records has come: the watermark. An input is a way by which records come from a source to the stage; it has come as far as the
 * latest of its records. The mark is where the input stands that has come least far, less `lateness`: so no input makes the records of another late. It
 * never goes back. An input that nothing was heard of, or that was not heard for `idle`, holds it up, or with `idle` does not.
 */
#ifndef AGGREGATE_MARKS_H
#define AGGREGATE_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include <sluice/stage.h>

struct marks_input {
	uint64_t path;
	int64_t latest;
	int64_t heard; /* ns of sl_now() */
};

struct marks {
	uint64_t wanted; /* how many inputs there are */
	int64_t lateness;
	int64_t idle; /* ns; 0: however long */
	int64_t begun;
	int64_t mark;   /* MOMENT_NONE: nothing is closed yet */
	int64_t latest; /* of all */
	struct marks_input *inputs;
	uint32_t count;
};

void marks_fini(struct marks *marks);
/* The input of a batch that came at `now`: made if need be; NULL: no memory. Valid until the next call. */
struct marks_input *marks_input(struct marks *marks, uint64_t path, int64_t now);
/* A record of that time came. */
void marks_move(struct marks *marks, struct marks_input *input, int64_t time, int64_t now);
/* Time has passed. */
void marks_look(struct marks *marks, int64_t now);

void marks_save(const struct marks *marks, struct sl_writer *w);
/* 0, -EBADMSG, -ENOMEM. */
int marks_load(struct marks *marks, const char *bytes, size_t size, int64_t now);

#endif
