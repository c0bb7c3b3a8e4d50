/* SPDX-License-Identifier: MIT */
/*
 * What the formats share. A decoder is a window of bytes over a stream and a format that eats records out of it; an encoder
 * is a text that a format appends to. A new format is a row in each of the two tables of codec.c.
 */
#ifndef RECORD_CODEC_H
#define RECORD_CODEC_H

#include "record/fixed.h"
#include "record/json.h"
#include "record/stream.h"

struct csv_reader;
struct csv_writer;

struct sl_decoder {
	struct sl_codec codec;
	struct stream_in *in;
	sl_refuse_fn *refuse;
	void *user;

	char *data; /* window [begin, end) of the stream, with JSON_PADDING behind it */
	size_t begin, end, capacity;
	uint64_t position;      /* of `begin` in the stream */
	uint64_t complete;      /* behind the last whole record */
	uint64_t complete_line; /* of the record there */
	uint64_t limit;         /* reads end here; 0: they do not */
	uint64_t line;          /* of `begin`, 1-based; records for msgpack */
	bool at_end;            /* the stream has no more */
	bool is_followed;       /* its end is not one */
	char reason[256];

	struct json_reader *json;
	struct csv_reader *csv;
	struct fixed_layout *fixed;
	/* json: where the scan for the end of an element stands */
	enum { JSON_START, JSON_FIRST, JSON_ELEMENT, JSON_SEPARATOR, JSON_TAIL } json_state;
	size_t scanned; /* bytes of the element seen so far */
	uint32_t depth;
	bool in_string, is_escaped, is_scalar;
	bool is_skipping; /* the rest of a record that is too long */
};

/* What a format makes of the window. */
enum eaten {
	EATEN_RECORD,  /* a record was appended, or one was refused, or something skipped */
	EATEN_NOTHING, /* more bytes are needed */
	EATEN_END,     /* nothing more will come */
};

/* Each: an enum eaten, or negative errno with the reason set. */
int lines_eat(struct sl_decoder *d, struct sl_writer *out);
int ndjson_eat(struct sl_decoder *d, struct sl_writer *out);
int json_eat(struct sl_decoder *d, struct sl_writer *out);
int csv_eat(struct sl_decoder *d, struct sl_writer *out);
int msgpack_eat(struct sl_decoder *d, struct sl_writer *out);
int fixed_eat(struct sl_decoder *d, struct sl_writer *out);

/*
 * The next line: 1 with its text, its size without the newline, and its whole size; else what the format is to answer in *ret_eaten. One that is too
 * long is refused, and passed over.
 */
int decoder_line(struct sl_decoder *d, const char **ret_text, size_t *ret_size, size_t *ret_whole,
	int *ret_eaten);

/* The size of the line at the window's begin with its newline; 0: none is complete. At the end of the stream the rest is one. */
size_t decoder_line_size(struct sl_decoder *d);
/* Moves the window's begin. */
void decoder_eat(struct sl_decoder *d, size_t size, uint64_t lines);
void decoder_refuse(struct sl_decoder *d, const char *reason, const char *text, size_t size);
int decoder_broken(struct sl_decoder *d, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
size_t decoder_record_max(const struct sl_decoder *d);

int csv_reader_new(const struct sl_codec *codec, struct csv_reader **ret);
void csv_reader_free(struct csv_reader *csv);
bool csv_reader_is_open(const struct csv_reader *csv); /* inside a record of several lines */
bool csv_reader_wants_header(const struct csv_reader *csv);

struct sl_encoder {
	struct sl_codec codec;
	struct stream_out *out;
	struct json_text text;
	uint64_t count;
	bool last_was_container; /* json */
	char **columns;          /* csv: names; from the codec or the first record */
	uint32_t column_count;
	struct fixed_layout *fixed;
	struct csv_slot *slots; /* csv_write.c's; one for each column */
	const char *reason;
	char reason_text[256];
};

int fixed_encode(struct sl_encoder *e, struct sl_value record);
int csv_encode(struct sl_encoder *e, struct sl_value record);
void csv_encoder_fini(struct sl_encoder *e);

#endif
