/* SPDX-License-Identifier: MIT */
/* Reads a list of files, one after the other, to its end. One worker. */
#ifndef STAGES_FILE_READER_H
#define STAGES_FILE_READER_H

#include "codec_options.h"
#include "inputs.h"

struct reader {
	/* given */
	struct inputs *files; /* all ours; what is to be made again is brought to the front */
	const struct codec_options *codec;
	uint64_t total; /* bytes, 0: unknown */

	size_t next;      /* index of the file to open */
	size_t said_of;   /* behind the last file that was said to be another one */
	bool makes_again; /* some cuts were those of a predecessor */
	int fd;
	struct sl_decoder *decoder;
	struct input_refusal refusal;
	bool is_plain; /* positions are bytes of the file */
	uint64_t origin;
	uint64_t position;
	struct sl_place place; /* where to go on in it, when it is opened */
	uint64_t bytes_before; /* of files that are done */
};

void reader_init(struct reader *reader, struct inputs *files, const struct codec_options *codec,
	uint64_t total);
void reader_fini(struct reader *reader);
/* As produce. */
int reader_produce(struct sl_context *ctx, struct reader *reader, struct sl_cut *cut);

#endif
