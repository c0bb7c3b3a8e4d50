/* SPDX-License-Identifier: MIT */
/*
 * What kind of data records hold, field by field, for people who see them for the first time. A record that is no map is the field `value`. Borrows
 * the records.
 */
#ifndef RECORD_INFER_H
#define RECORD_INFER_H

#include <sluice/record.h>

enum infer_type {
	INFER_NONE, /* nothing was seen */
	INFER_NULL,
	INFER_BOOLEAN,
	INFER_INTEGER,
	INFER_NUMBER,    /* some may be integers */
	INFER_TIMESTAMP, /* strings that look like it: 2024-02-29, 2024-02-29T12:00:00.5+01:00 */
	INFER_STRING,
	INFER_BINARY,
	INFER_ARRAY,
	INFER_MAP,
	INFER_MIXED
};

struct infer_field {
	const char *name; /* not 0-terminated */
	size_t name_size;
	enum infer_type type;
	bool is_optional; /* some records have null, or do not have it */
	uint64_t count;   /* of the records that have it */
};

/* Zeroed to begin with. Fields stand in the order in which they were met. */
struct infer {
	struct infer_field *fields;
	uint32_t count;
	uint32_t room;
	uint64_t records;
};

enum infer_type infer_of(struct sl_value v);
/* Of a field that has both. A null says nothing about the others. */
enum infer_type infer_join(enum infer_type a, enum infer_type b);
/* "integer", "mixed" ... */
const char *infer_name(enum infer_type type);

/* 0 or -ENOMEM. */
int infer_add(struct infer *infer, struct sl_value record);
/* When all were added: a field that not all had is optional. */
void infer_end(struct infer *infer);
void infer_fini(struct infer *infer);
/* What a record has in that field, or {NULL, 0}. */
struct sl_value infer_cell(const struct infer_field *field, struct sl_value record);

#endif
