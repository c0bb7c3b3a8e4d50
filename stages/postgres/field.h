/* SPDX-License-Identifier: MIT */
/* Values as PostgreSQL writes them, put as records have them. */
#ifndef STAGES_POSTGRES_FIELD_H
#define STAGES_POSTGRES_FIELD_H

#include <sluice/record.h>

enum field_type {
	FIELD_TEXT, /* and all that is not named here: as PostgreSQL writes it */
	FIELD_BOOL,
	FIELD_INT,
	FIELD_FLOAT,
	FIELD_BYTES,
	FIELD_JSON,
	FIELD_TIME, /* with a zone or without: ISO 8601 */
};

/* By the type's OID. `numeric_is_float`: a numeric becomes a number, else it stays an exact text. */
enum field_type field_type_of(unsigned oid, bool numeric_is_float);
/* `text` is 0-terminated, and may be written into. 0, -ENOMEM. */
int field_put(struct sl_writer *out, enum field_type type, char *text, size_t size);
/* An array of them, nested as it is. */
int field_put_array(struct sl_writer *out, enum field_type type, char *text, size_t size);

#endif
