/* SPDX-License-Identifier: MIT */
/* Some fields of a record, found in one walk; and keys made of them: equal values give equal bytes. */
#ifndef AGGREGATE_FIELDS_H
#define AGGREGATE_FIELDS_H

#include <sluice/stage.h>

#define FIELDS_MAX 64

struct fields {
	const char *names[FIELDS_MAX]; /* borrowed */
	size_t sizes[FIELDS_MAX];
	uint32_t count;
};

/* The index of the field, which is added if need be; -E2BIG. */
int fields_add(struct fields *fields, const char *name, size_t size);
/* ret[i] is field i of the record, or absent. Of a record that is no map the field `value` is the record. */
void fields_read(const struct fields *fields, struct sl_value record, struct sl_value *ret);
/* Puts the value so that equal ones are equal bytes: what is absent is NULL, 1.0 is 1. Maps and arrays as they are. */
void fields_put_key(struct sl_writer *w, struct sl_value value);

#endif
