/* SPDX-License-Identifier: MIT */
/* Sink "tap": what `peek` and `test` look at. No config can name it; cli/part.h puts it into a graph. */
#ifndef ENGINE_TAP_H
#define ENGINE_TAP_H

#include "base/err.h"
#include <sluice/stage.h>

extern const struct sl_stage tap_sink;

/* What a tap has kept, as records one behind the other. */
struct tap_records {
	struct sl_value *items;
	size_t count;
	char *data;
};

/* Reads FOLDER/NAME. A file that is not there has none. 0 or negative errno with `err`. */
int tap_read(const char *folder, const char *name, struct tap_records *ret, struct err *err);
void tap_free(struct tap_records *records);

#endif
