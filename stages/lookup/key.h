/* SPDX-License-Identifier: MIT */
/* Keys as bytes: two are the same where their values count as equal. */
#ifndef STAGES_LOOKUP_KEY_H
#define STAGES_LOOKUP_KEY_H

#include <sluice/record.h>

/*
 * Appends one value of a key to the bytes in `out`. 1 and 1.0 are equal, 1 and "1" only when it is `is_loose`: then a number is its shortest decimal text. False: the
 * value equals no other (null, absent, a map, an array, NaN), or there is no memory.
 */
bool key_put(struct sl_writer *out, struct sl_value value, bool is_loose);

#endif
