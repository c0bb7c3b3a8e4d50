/* SPDX-License-Identifier: MIT */
/* Writing a batch through an encoder: what the sinks "file" and "stdout" share. */
#ifndef STAGES_FILE_WRITER_H
#define STAGES_FILE_WRITER_H

#include <sluice/stage.h>

/* Encodes the batch; a record that the format cannot express is rejected. Answers as sl_stage.write does. `name`: of the file, for messages. */
int64_t writer_write(struct sl_context *ctx, struct sl_encoder *encoder, const char *name,
	const struct sl_batch *in);

#endif
