/* SPDX-License-Identifier: MIT */
/*
 * Values inside a value, by their place in it: "/data/items/0" (JSON pointer, RFC 6901, for answers) and "customer.name" (for
 * fields of a record). What they give is borrowed from the value they look into.
 */
#ifndef STAGES_HTTP_POINTER_H
#define STAGES_HTTP_POINTER_H

#include "text.h"

/* 0, or -EINVAL with what to write instead. */
int pointer_check(const char *pointer, struct reason *reason);
/* The value, or an absent one. `pointer` is a checked one. */
struct sl_value pointer_find(struct sl_value value, const char *pointer);

/*
 * "a.b": the field b of the field a; a number is an index into an array. A field whose name has the dot in it comes first.
 * A record that is no map has one field, `value`: itself.
 */
struct sl_value field_find(struct sl_value record, const char *path, size_t size);

#endif
