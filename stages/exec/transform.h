/* SPDX-License-Identifier: MIT */
/* The transform "exec": its options, and its two ways to talk to a program. */
#ifndef STAGES_EXEC_TRANSFORM_H
#define STAGES_EXEC_TRANSFORM_H

#include <sluice/stage.h>

#include "lines.h"
#include "program.h"

enum { INPUT_JSON, INPUT_NONE };
enum { OUTPUT_JSON, OUTPUT_TEXT, OUTPUT_NONE };
enum { EXIT_RETRY, EXIT_OK, EXIT_REJECT };

struct transform {
	struct program_options program;
	int mode;
	int input;
	int output;
	const char *into;
	uint64_t line_max;
	struct sl_strings exit_ok;
	struct sl_strings exit_reject;
	struct program_plan plan;
	uint8_t exits[256]; /* EXIT_* by status */
};

/*
 * A program that runs on: records go in as lines, each is answered by one line, in the same order. `sent` and `answered`
 * count records of the program that runs; the n-th line is the answer to the n-th record, whether anybody waits for it or not.
 */
struct stream {
	struct sl_lock starting; /* who starts or ends the program */
	struct sl_lock
		answering; /* who reads: first come, first served, as the lines were written */
	struct program program;
	bool is_running;
	bool is_broken; /* nothing more can come from it: it is ended before the next one starts */
	bool is_hung;   /* and it is not waited for */
	uint64_t generation;
	uint64_t sent, answered;
	struct sl_writer questions; /* lines on their way to it */
	size_t written;             /* of them */
	struct lines answers;
	struct sl_writer row;
};

void stream_init(struct stream *s);
/* As sl_stage.transform. */
int stream_record(struct sl_context *ctx, const struct transform *o, struct stream *s,
	struct sl_value record, struct sl_writer *out);
void stream_fini(struct sl_context *ctx, const struct transform *o, struct stream *s);

/* One run of the program for each record. As sl_stage.transform. */
int once_record(struct sl_context *ctx, const struct transform *o, struct sl_value record,
	struct sl_writer *out);

/* The arguments with the record's fields in them. 0, SL_REJECTED or -ENOMEM. `text` holds what *ret_argv points to: free both. */
int arguments_fill(struct sl_context *ctx, const char *const *templates, struct sl_value record,
	struct sl_writer *text, const char ***ret_argv);

/* Puts what a program answered: nothing for null, a record for each element of an array, else one. 0 or -ENOMEM. */
int answer_put(struct sl_writer *out, struct sl_value answer);
/* Puts the record with its field `name` set. */
int answer_put_field(
	struct sl_writer *out, struct sl_value record, const char *name, struct sl_value value);
/* The value of JSON text, good until `row` is reset; blank text is nil. 0; SL_REJECTED; -ENOMEM. */
int answer_parse(struct sl_context *ctx, const char *name, struct sl_value record, const char *text,
	size_t size, struct sl_writer *row, struct sl_value *ret_value);

#endif
