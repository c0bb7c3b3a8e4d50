/* SPDX-License-Identifier: MIT */
/*
 * Rows of a query as they come, by COPY: one is at hand, and is taken or left. The query's first column is the key as an integer; the others are the
 * fields of the record.
 */
#ifndef STAGES_POSTGRES_STREAM_H
#define STAGES_POSTGRES_STREAM_H

#include "connection.h"
#include "field.h"

struct stream_column {
	char *name;
	size_t name_size;
	enum field_type type;
	bool is_array;
};

struct stream {
	struct stream_column *columns;
	int count;
	bool is_open; /* a query */
	char *line;   /* the row at hand; libpq's, written into when it is taken */
	int line_size;
	int64_t key;
	uint64_t rows; /* of this query, so far */
};

/* What columns a query has: `sql` is one of no rows, without the key. 0 or an error. */
int stream_describe(struct sl_context *ctx, PGconn *conn, const char *sql, bool numeric_is_float,
	struct stream *stream);
void stream_fini(struct stream *stream);

int stream_open(struct sl_context *ctx, PGconn *conn, const char *sql, struct stream *stream);
/* 1: a row is at hand; 0: there are no more, and the query is closed; -ETIMEDOUT: not by the deadline; -ECANCELED; another error. */
int stream_look(struct sl_context *ctx, PGconn *conn, struct stream *stream, int64_t deadline);
/* Puts the row at hand as a record. */
int stream_take(struct stream *stream, struct sl_writer *out);

#endif
