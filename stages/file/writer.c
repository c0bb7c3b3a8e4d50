/* SPDX-License-Identifier: MIT */
/* See writer.h. */
#include "writer.h"

#include <errno.h>

int64_t writer_write(struct sl_context *ctx, struct sl_encoder *encoder, const char *name,
	const struct sl_batch *in)
{
	int64_t consumed = 0;

	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		struct sl_value record = sl_batch_record(in, i);
		int r = sl_encoder_write(encoder, record);

		if (r == -EINVAL)
			(void)sl_reject(
				ctx, NULL, record, "%s: %s", name, sl_encoder_reason(encoder));
		else if (r < 0)
			return sl_error(
				ctx, r, "cannot write %s: %s", name, sl_encoder_reason(encoder));
		else
			consumed++;
	}
	return consumed;
}
