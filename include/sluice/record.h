/* SPDX-License-Identifier: MIT */
/*
 * Records: reading and writing MessagePack values, and the codecs that turn text into them.
 *
 * A record is one MessagePack value, nearly always a map with string keys; a bare number or string is a
 * record too. A struct sl_value is a *borrowed* view of one complete, already checked value: it is never
 * freed, and it lives as long as what it was taken from (a batch while the callback runs, an option until
 * close). Reading never allocates and never fails on a checked value; asking for the wrong type answers
 * false. Nothing here locks or blocks, except sl_decoder_* and sl_encoder_* on a descriptor.
 */
#ifndef SLUICE_RECORD_H
#define SLUICE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One MessagePack value of `size` bytes at `data`. data == NULL: absent. */
struct sl_value {
	const char *data;
	size_t size;
};

enum sl_kind {
	SL_NIL,
	SL_BOOL,
	SL_INT, /* any integer; sl_get_int and sl_get_uint say whether it fits */
	SL_FLOAT,
	SL_STR,
	SL_BIN,
	SL_ARRAY,
	SL_MAP,
	SL_EXT,
};

enum sl_kind sl_kind(struct sl_value v);
const char *sl_kind_name(enum sl_kind kind); /* "string", "integer", ...: for messages */

/* Each answers false, and leaves *ret_x alone, when the value is of another kind or does not fit. */
bool sl_get_bool(struct sl_value v, bool *ret_x);
bool sl_get_int(struct sl_value v, int64_t *ret_x);
bool sl_get_uint(struct sl_value v, uint64_t *ret_x);
bool sl_get_double(
	struct sl_value v, double *ret_x); /* integers convert; those beyond 2^53 round */
bool sl_get_str(struct sl_value v, const char **ret_text, size_t *ret_size); /* not 0-terminated */
bool sl_get_bin(struct sl_value v, const char **ret_data, size_t *ret_size);

/* Members of a map or an array. A map counts pairs. */
uint32_t sl_count(struct sl_value v);
/* The value of `key` in a map, or {NULL, 0}. The last one wins where a key stands twice. */
struct sl_value sl_find(struct sl_value map, const char *key, size_t key_size);

/*
 * Walks a map or an array:  struct sl_cursor c = sl_walk(v);
 *                           while (sl_next(&c, &key, &value)) ...
 * For an array `key` is absent.
 */
struct sl_cursor {
	const char *at;
	uint32_t left;
	bool map;
};
struct sl_cursor sl_walk(struct sl_value v);
bool sl_next(struct sl_cursor *c, struct sl_value *ret_key, struct sl_value *ret_value);

/* True when [data, data + size) is exactly one well-formed MessagePack value, nested at most 64 deep. */
bool sl_check(const char *data, size_t size);

/*
 * A writer appends records to one growing buffer. Invariants: `size <= capacity`; the bytes below `mark` are
 * `count` complete records. Errors are sticky: after a failed allocation every put does nothing and
 * sl_record_done answers -ENOMEM. One thread at a time.
 */
struct sl_writer {
	char *data;
	size_t size;
	size_t capacity;
	size_t mark;    /* end of the last complete record */
	uint32_t count; /* complete records */
	int error;
};

void sl_writer_init(struct sl_writer *w);
void sl_writer_fini(struct sl_writer *w);
/* Forgets the content, keeps the memory. */
void sl_writer_reset(struct sl_writer *w);
/* Room for `size` more bytes at the returned address, to be claimed by `w->size += n`; NULL: sticky -ENOMEM. */
char *sl_writer_reserve(struct sl_writer *w, size_t size);

void sl_put_nil(struct sl_writer *w);
void sl_put_bool(struct sl_writer *w, bool x);
void sl_put_int(struct sl_writer *w, int64_t x);
void sl_put_uint(struct sl_writer *w, uint64_t x);
void sl_put_double(struct sl_writer *w, double x);
void sl_put_str(struct sl_writer *w, const char *text, size_t size);
void sl_put_cstr(struct sl_writer *w, const char *text);
void sl_put_bin(struct sl_writer *w, const void *data, size_t size);
void sl_put_array(struct sl_writer *w, uint32_t count); /* then `count` values */
void sl_put_map(struct sl_writer *w, uint32_t count);   /* then `count` keys and values in turn */
void sl_put_value(struct sl_writer *w, struct sl_value v);

/* Ends the record that was put since the last one: exactly one value. 0 or -ENOMEM. */
int sl_record_done(struct sl_writer *w);
/* Takes back what was put since the last complete record. */
void sl_record_abandon(struct sl_writer *w);

/* JSON text of a value into `text`, cut to `size` with "..." and always 0-terminated: for messages. */
void sl_print(struct sl_value v, char *text, size_t size);

/*
 * Appends the JSON text of `v` to the bytes in `w` (which then is a plain buffer, not records). 0; -EINVAL with *ret_reason: JSON has
 * no such value (binary, infinity), and nothing was appended; -ENOMEM.
 */
int sl_json_print(struct sl_writer *w, struct sl_value v, const char **ret_reason);
/*
 * Puts the value that the JSON text says. 0; -EINVAL with *ret_reason: it is not one JSON document; -ENOMEM. Keeps a parser per
 * thread.
 */
int sl_json_parse(struct sl_writer *w, const char *text, size_t size, const char **ret_reason);

/* --- codecs: records in files --------------------------------------------------------------------- */

enum sl_format {
	SL_FORMAT_AUTO, /* by the file's ending */
	SL_FORMAT_NDJSON,
	SL_FORMAT_JSON, /* one array; a single value that is no array is one record */
	SL_FORMAT_CSV,
	SL_FORMAT_LINES,
	SL_FORMAT_MSGPACK,
	SL_FORMAT_FIXED, /* lines of fields of a fixed width */
};

enum sl_compression {
	SL_COMPRESSION_AUTO,
	SL_COMPRESSION_NONE,
	SL_COMPRESSION_GZIP,
	SL_COMPRESSION_ZSTD
};

/* NULL-terminated lists of names in the order of the enums above: for SL_TYPE_CHOICE options. */
extern const char *const sl_format_names[];
extern const char *const sl_compression_names[];

/* What `path` says by its endings: "a.csv.gz" is CSV and gzip. AUTO / NONE where it says nothing. */
enum sl_format sl_format_of(const char *path);
enum sl_compression sl_compression_of(const char *path);

/* Of a csv file: is its first line the header? AUTO: unless there are `columns`. */
enum sl_header { SL_HEADER_AUTO, SL_HEADER_PRESENT, SL_HEADER_ABSENT };
extern const char *const sl_header_names[];

struct sl_codec {
	enum sl_format format;           /* not AUTO */
	enum sl_compression compression; /* not AUTO */
	/* csv only */
	char delimiter;             /* 0: ',' */
	char quote;                 /* 0: '"' */
	bool no_quoting;            /* the quote is an ordinary character */
	bool no_header;             /* writing: the file has one already */
	const char *const *columns; /* borrowed until free; NULL: the first line is the header */
	uint32_t column_count;
	enum sl_header header; /* reading, ABSENT without columns: they are c1, c2, ... */
	bool infers; /* reading: what has the form of a number or boolean is one, see typed.h */
	bool empty_is_null; /* reading */
	/* fixed: ( { name = "id"; width = 8; type = "int"; }, ... ), an array of maps; borrowed until free */
	struct sl_value fields;
	/* all text formats: longest record in bytes, 0: 16 MiB; a longer one is refused, not truncated */
	size_t record_max;
	/* reading: a descriptor that has nothing now is -EAGAIN also when it is not non-blocking */
	bool no_wait;
};

/*
 * Finds what is left open of delimiter (0), quote (0) and header (AUTO, no columns) of a csv file, from its first 64 KiB (decompressed) alone, and
 * puts it into `codec`. `fd` is a regular file at its begin, and stands there again afterwards. 0; 1: the file is empty, and nothing was found;
 * -EINVAL: more than one dialect fits, or none; another negative errno. Text into `text`: what was found ("delimiter ';', ..."), or what is wrong and what to write.
 */
int sl_sniff(struct sl_codec *codec, int fd, char *text, size_t text_size);

/* Are these the `fields` of a fixed format? 0; -EINVAL: `text` says why they are not; -ENOMEM. */
int sl_fields_check(struct sl_value fields, char *text, size_t text_size);

/*
 * A decoder reads one stream and appends records. Positions count *decompressed* bytes from the stream's
 * start, so that a position means the same for a plain and for a compressed file. Invalid input is refused
 * record by record: `refuse` is called with the line (1-based; the ordinal of the record for msgpack), the
 * reason, and the offending bytes (cut to a sane length by the receiver), and reading goes on behind it.
 */
struct sl_decoder;
typedef void sl_refuse_fn(
	void *user, uint64_t line, const char *reason, const char *text, size_t text_size);

/* Reads from `fd` (borrowed), which stands at the stream's start. NULL: -errno in *ret_error. */
struct sl_decoder *sl_decoder_new(
	const struct sl_codec *codec, int fd, sl_refuse_fn *refuse, void *user, int *ret_error);
void sl_decoder_free(struct sl_decoder *d);

enum { SL_DECODE_MORE = 0, SL_DECODE_END = 1 };
/*
 * Appends records to `out` until `want` more are complete, or `out` holds size_max bytes, or what one read()
 * gave is used up and at least one record is there (so that a slow pipe is passed on at once). Reads only when its buffer
 * holds no complete record. SL_DECODE_MORE, SL_DECODE_END (nothing more will come), -EAGAIN (a non-blocking
 * fd has nothing now, or nothing complete), another negative errno: the stream is unusable from here, see
 * sl_decoder_reason. *ret_position: the position behind the last record appended or refused.
 */
int sl_decoder_read(struct sl_decoder *d, struct sl_writer *out, uint32_t want, size_t size_max,
	uint64_t *ret_position);
/*
 * Before the first read: goes on at a position that sl_decoder_read gave for this very stream, where the next record stood in `line`. Seeks
 * where it can, else reads up to it. 0; -ENODATA: the stream ends before; another negative errno, see sl_decoder_reason.
 */
int sl_decoder_seek(struct sl_decoder *d, uint64_t position, uint64_t line);
/* Reads end at this position, one that sl_decoder_read gave before, and not earlier for want of bytes at hand. 0: they do not. */
void sl_decoder_limit(struct sl_decoder *d, uint64_t position);
/*
 * Of a stream that may grow (not compressed, not json): where it ends for now reading answers -EAGAIN, with the position behind what was
 * read whole, and goes on when there is more. sl_decoder_end: what was read by now is all there is: a rest without newline is a record.
 */
void sl_decoder_follow(struct sl_decoder *d);
void sl_decoder_end(struct sl_decoder *d);
const char *sl_decoder_reason(
	const struct sl_decoder *d);                  /* why the last call failed; never NULL */
uint64_t sl_decoder_line(const struct sl_decoder *d); /* of the next record */
uint64_t sl_decoder_bytes(
	const struct sl_decoder *d); /* read from fd so far, as they are in the file */

/*
 * An encoder turns records into text and writes it to a descriptor. It buffers; sl_encoder_flush makes what
 * was written so far reach the descriptor. sl_encoder_finish writes what the format's end needs (the `]` of
 * JSON, the trailer of gzip) and flushes; only after it is a file complete.
 */
struct sl_encoder;
struct sl_encoder *sl_encoder_new(const struct sl_codec *codec, int fd, int *ret_error);
void sl_encoder_free(struct sl_encoder *e); /* without flush */
/*
 * Appends one record. 0; -EINVAL: the format cannot express it (sl_encoder_reason says why; nothing of it was
 * written); another negative errno: writing failed, the file's tail is undefined.
 */
int sl_encoder_write(struct sl_encoder *e, struct sl_value record);
int sl_encoder_flush(struct sl_encoder *e);
int sl_encoder_finish(struct sl_encoder *e);
/*
 * Flushes, so that what was written ends at a place from which another encoder can go on (a gzip member or zstd frame ends
 * there), and puts what that one must know. 0 or a negative errno as sl_encoder_write. sl_encoder_restore is its first call: -EINVAL: it is
 * of another format.
 */
int sl_encoder_save(struct sl_encoder *e, struct sl_writer *out);
int sl_encoder_restore(struct sl_encoder *e, struct sl_value saved);
const char *sl_encoder_reason(const struct sl_encoder *e);

#ifdef __cplusplus
}
#endif
#endif
