/* SPDX-License-Identifier: MIT */
/* See codec.h: the window, the encoder's text, and the tables of formats. */
#include "record/codec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WINDOW_SIZE (512u << 10)
#define TEXT_SIZE (256u << 10) /* an encoder writes when its text is so long */
#define RECORD_MAX (16u << 20)

const char *const sl_format_names[] = { "auto", "ndjson", "json", "csv", "lines", "msgpack",
	"fixed", NULL };
const char *const sl_compression_names[] = { "auto", "none", "gzip", "zstd", NULL };
const char *const sl_header_names[] = { "auto", "present", "absent", NULL };

struct ending {
	const char *text;
	int meaning;
};

static const struct ending format_endings[] = {
	{ ".ndjson", SL_FORMAT_NDJSON },
	{ ".jsonl", SL_FORMAT_NDJSON },
	{ ".json", SL_FORMAT_JSON },
	{ ".csv", SL_FORMAT_CSV },
	{ ".tsv", SL_FORMAT_CSV },
	{ ".txt", SL_FORMAT_LINES },
	{ ".log", SL_FORMAT_LINES },
	{ ".lines", SL_FORMAT_LINES },
	{ ".msgpack", SL_FORMAT_MSGPACK },
	{ ".mp", SL_FORMAT_MSGPACK },
	{ NULL, SL_FORMAT_AUTO },
};

static const struct ending compression_endings[] = {
	{ ".gz", SL_COMPRESSION_GZIP },
	{ ".zst", SL_COMPRESSION_ZSTD },
	{ NULL, SL_COMPRESSION_NONE },
};

/* What the last `size` bytes of the path mean. */
static int meaning_of(const struct ending *endings, const char *path, size_t size)
{
	for (; endings->text; endings++) {
		size_t length = strlen(endings->text);

		if (size > length && strncasecmp(path + size - length, endings->text, length) == 0)
			break;
	}
	return endings->meaning;
}

enum sl_compression sl_compression_of(const char *path)
{
	return (enum sl_compression)meaning_of(compression_endings, path, strlen(path));
}

enum sl_format sl_format_of(const char *path)
{
	size_t size = strlen(path);

	if (sl_compression_of(path) != SL_COMPRESSION_NONE)
		size = (size_t)(strrchr(path, '.') - path);
	return (enum sl_format)meaning_of(format_endings, path, size);
}

/* --- decoding ----------------------------------------------------------------------------------- */

typedef int eat_fn(struct sl_decoder *d, struct sl_writer *out);

static eat_fn *const eaters[] = {
	[SL_FORMAT_NDJSON] = ndjson_eat,
	[SL_FORMAT_JSON] = json_eat,
	[SL_FORMAT_CSV] = csv_eat,
	[SL_FORMAT_LINES] = lines_eat,
	[SL_FORMAT_MSGPACK] = msgpack_eat,
	[SL_FORMAT_FIXED] = fixed_eat,
};

/* What the format keeps. */
static int open_format(struct sl_decoder *d)
{
	switch (d->codec.format) {
	case SL_FORMAT_JSON:
	case SL_FORMAT_NDJSON:
		d->json = json_reader_new();
		return d->json ? 0 : -ENOMEM;
	case SL_FORMAT_CSV:
		return csv_reader_new(&d->codec, &d->csv);
	case SL_FORMAT_FIXED:
		return fixed_layout_new(d->codec.fields, &d->fixed, d->reason, sizeof(d->reason));
	default:
		return 0;
	}
}

struct sl_decoder *sl_decoder_new(
	const struct sl_codec *codec, int fd, sl_refuse_fn *refuse, void *user, int *ret_error)
{
	struct sl_decoder *d = calloc(1, sizeof(*d));
	int r;

	*ret_error = -ENOMEM;
	if (!d)
		return NULL;
	d->codec = *codec;
	d->refuse = refuse;
	d->user = user;
	d->line = 1;
	d->complete_line = 1;
	d->capacity = WINDOW_SIZE;
	d->data = calloc(1, d->capacity + JSON_PADDING);
	d->in = stream_in_new(codec->compression, fd, codec->no_wait);
	r = d->data && d->in ? open_format(d) : -ENOMEM;
	if (r < 0) {
		*ret_error = r;
		sl_decoder_free(d);
		return NULL;
	}
	*ret_error = 0;
	return d;
}

void sl_decoder_free(struct sl_decoder *d)
{
	if (!d)
		return;
	json_reader_free(d->json);
	csv_reader_free(d->csv);
	fixed_layout_free(d->fixed);
	stream_in_free(d->in);
	free(d->data);
	free(d);
}

const char *sl_decoder_reason(const struct sl_decoder *d)
{
	return d->reason;
}

uint64_t sl_decoder_line(const struct sl_decoder *d)
{
	return d->complete_line;
}

uint64_t sl_decoder_bytes(const struct sl_decoder *d)
{
	return stream_in_bytes(d->in);
}

size_t decoder_record_max(const struct sl_decoder *d)
{
	return d->codec.record_max ? d->codec.record_max : RECORD_MAX;
}

int decoder_broken(struct sl_decoder *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(d->reason, sizeof(d->reason), format, args);
	va_end(args);
	return -EBADMSG;
}

void decoder_refuse(struct sl_decoder *d, const char *reason, const char *text, size_t size)
{
	if (d->refuse)
		d->refuse(d->user, d->line, reason, text, size);
}

void decoder_eat(struct sl_decoder *d, size_t size, uint64_t lines)
{
	d->begin += size;
	d->position += size;
	d->line += lines;
}

/* Room for more bytes: moves the window to the front, or makes it larger. */
static int make_room(struct sl_decoder *d)
{
	char *data;

	if (d->begin > 0) {
		memmove(d->data, d->data + d->begin, d->end - d->begin);
		d->end -= d->begin;
		d->begin = 0;
	}
	if (d->end < d->capacity)
		return 0;
	data = realloc(d->data, 2 * d->capacity + JSON_PADDING);
	if (!data)
		return -ENOMEM;
	d->data = data;
	d->capacity *= 2;
	return 0;
}

/* Reads once. 1: bytes came; 0: the end; negative errno. */
static int fill(struct sl_decoder *d)
{
	int r = make_room(d);
	ssize_t got;

	if (r < 0)
		return r;
	got = stream_in_read(d->in, d->data + d->end, d->capacity - d->end);
	if (got < 0 && got != -EAGAIN)
		(void)snprintf(d->reason, sizeof(d->reason), "%s", stream_in_reason(d->in));
	if (got < 0)
		return (int)got;
	d->end += (size_t)got;
	/* What stands behind the window must be readable, and nothing that could look like part of it. */
	memset(d->data + d->end, 0, JSON_PADDING);
	if (got == 0 && d->is_followed)
		return -EAGAIN;
	d->at_end = got == 0;
	return got > 0;
}

/* Is what the window begins with a record's begin? */
static void note_complete(struct sl_decoder *d)
{
	if (d->is_skipping || (d->csv && csv_reader_is_open(d->csv)))
		return;
	d->complete = d->position;
	d->complete_line = d->line;
}

static bool is_at_limit(const struct sl_decoder *d)
{
	return d->limit > 0 && d->complete >= d->limit;
}

int sl_decoder_read(struct sl_decoder *d, struct sl_writer *out, uint32_t want, size_t size_max,
	uint64_t *ret_position)
{
	uint32_t before = out->count;
	bool has_read = false;
	int r = EATEN_RECORD;

	while (out->count - before < want && out->mark < size_max && !is_at_limit(d)) {
		r = eaters[d->codec.format](d, out);
		note_complete(d);
		if (r == EATEN_END || r < 0)
			break;
		if (r == EATEN_RECORD)
			continue;
		if (has_read && out->count > before && d->limit == 0)
			break;
		r = d->at_end ? EATEN_END : fill(d);
		if (r < 0)
			break;
		has_read = true;
		r = EATEN_RECORD;
	}
	*ret_position = d->complete;
	if (r == -EAGAIN && out->count > before)
		return SL_DECODE_MORE;
	if (r < 0)
		return r;
	return r == EATEN_END ? SL_DECODE_END : SL_DECODE_MORE;
}

/* --- going on ----------------------------------------------------------------------------------- */

void sl_decoder_limit(struct sl_decoder *d, uint64_t position)
{
	d->limit = position;
}

void sl_decoder_follow(struct sl_decoder *d)
{
	d->is_followed = true;
}

void sl_decoder_end(struct sl_decoder *d)
{
	d->is_followed = false;
	d->at_end = true;
}

/* Bytes of the window, and what follows it, without a look at them. */
static int drop_until(struct sl_decoder *d, uint64_t position)
{
	while (d->position < position) {
		uint64_t left = position - d->position;
		size_t here = d->end - d->begin;
		int r;

		decoder_eat(d, left < here ? (size_t)left : here, 0);
		r = d->position < position ? fill(d) : 1;
		if (r <= 0)
			return r < 0 ? r : -ENODATA;
	}
	return 0;
}

/* What the records before `position` left behind in the format's state is wanted: they are read again. */
static int read_until(struct sl_decoder *d, uint64_t position)
{
	sl_refuse_fn *refuse = d->refuse;
	struct sl_writer out;
	int r = SL_DECODE_MORE;

	sl_writer_init(&out);
	d->refuse = NULL;
	d->limit = position;
	while (r == SL_DECODE_MORE && !is_at_limit(d)) {
		uint64_t at;

		r = sl_decoder_read(d, &out, UINT32_MAX, WINDOW_SIZE, &at);
		sl_writer_reset(&out);
	}
	d->limit = 0;
	d->refuse = refuse;
	sl_writer_fini(&out);
	return r < 0 ? r : d->complete == position ? 0 : -ENODATA;
}

/* What was refused before it was refused then. */
static int read_header(struct sl_decoder *d)
{
	sl_refuse_fn *refuse = d->refuse;
	struct sl_writer out;
	int r = 0;

	sl_writer_init(&out);
	d->refuse = NULL;
	while (r >= 0 && d->csv && csv_reader_wants_header(d->csv)) {
		r = csv_eat(d, &out);
		if (r == EATEN_END)
			r = -ENODATA;
		if (r == EATEN_NOTHING)
			r = fill(d);
	}
	d->refuse = refuse;
	sl_writer_fini(&out);
	return r < 0 ? r : 0;
}

int sl_decoder_seek(struct sl_decoder *d, uint64_t position, uint64_t line)
{
	int r;

	if (position == 0)
		return 0;
	if (d->codec.format == SL_FORMAT_JSON)
		return read_until(d, position);
	r = read_header(d);
	if (r == 0 && stream_in_seek(d->in, position) == 0) {
		d->begin = d->end = 0;
		d->at_end = false;
		d->position = position;
	} else if (r == 0) {
		r = drop_until(d, position);
	}
	d->line = line;
	note_complete(d);
	return r;
}

/* --- encoding ----------------------------------------------------------------------------------- */

static int append(struct sl_encoder *e, const char *text, size_t size)
{
	if (!json_text_reserve(&e->text, size))
		return -ENOMEM;
	memcpy(e->text.data + e->text.size, text, size);
	e->text.size += size;
	return 0;
}

static int ndjson_encode(struct sl_encoder *e, struct sl_value record)
{
	int r = json_write(&e->text, record, &e->reason);

	return r < 0 ? r : append(e, "\n", 1);
}

/* One array: containers a line each, scalars beside one another. */
static int json_encode(struct sl_encoder *e, struct sl_value record)
{
	bool is_container = sl_kind(record) == SL_MAP || sl_kind(record) == SL_ARRAY;
	size_t before = e->text.size;
	const char *begin = e->count > 0 ? "," : "[";
	const char *space = is_container ? "\n" : e->count > 0 ? " " : "";
	int r = append(e, begin, 1);

	if (r == 0)
		r = append(e, space, strlen(space));
	if (r == 0)
		r = json_write(&e->text, record, &e->reason);
	if (r < 0)
		e->text.size = before;
	else
		e->last_was_container = is_container;
	return r;
}

static int lines_encode(struct sl_encoder *e, struct sl_value record)
{
	const char *text;
	size_t size;

	if (!sl_get_str(record, &text, &size)) {
		e->reason = "lines takes bare strings only: select one text column named `value`";
		return -EINVAL;
	}
	if (memchr(text, '\n', size)) {
		e->reason = "a line cannot hold a newline";
		return -EINVAL;
	}
	return append(e, text, size) < 0 ? -ENOMEM : append(e, "\n", 1);
}

static int msgpack_encode(struct sl_encoder *e, struct sl_value record)
{
	return append(e, record.data, record.size);
}

typedef int encode_fn(struct sl_encoder *e, struct sl_value record);

static encode_fn *const encoders[] = {
	[SL_FORMAT_NDJSON] = ndjson_encode,
	[SL_FORMAT_JSON] = json_encode,
	[SL_FORMAT_CSV] = csv_encode,
	[SL_FORMAT_LINES] = lines_encode,
	[SL_FORMAT_MSGPACK] = msgpack_encode,
	[SL_FORMAT_FIXED] = fixed_encode,
};

struct sl_encoder *sl_encoder_new(const struct sl_codec *codec, int fd, int *ret_error)
{
	struct sl_encoder *e = calloc(1, sizeof(*e));

	*ret_error = -ENOMEM;
	if (!e)
		return NULL;
	e->codec = *codec;
	e->reason = "";
	e->out = stream_out_new(codec->compression, fd);
	if (e->out && codec->format == SL_FORMAT_FIXED)
		*ret_error = fixed_layout_new(
			codec->fields, &e->fixed, e->reason_text, sizeof(e->reason_text));
	if (!e->out || (codec->format == SL_FORMAT_FIXED && !e->fixed)) {
		sl_encoder_free(e);
		return NULL;
	}
	*ret_error = 0;
	return e;
}

void sl_encoder_free(struct sl_encoder *e)
{
	if (!e)
		return;
	csv_encoder_fini(e);
	fixed_layout_free(e->fixed);
	stream_out_free(e->out);
	json_text_free(&e->text);
	free(e);
}

const char *sl_encoder_reason(const struct sl_encoder *e)
{
	return e->reason;
}

static int write_text(struct sl_encoder *e)
{
	int r = stream_out_write(e->out, e->text.data, e->text.size);

	e->text.size = 0;
	if (r < 0)
		e->reason = strerrordesc_np(-r);
	return r;
}

int sl_encoder_write(struct sl_encoder *e, struct sl_value record)
{
	int r = encoders[e->codec.format](e, record);

	if (r < 0)
		return r;
	e->count++;
	return e->text.size >= TEXT_SIZE ? write_text(e) : 0;
}

int sl_encoder_flush(struct sl_encoder *e)
{
	int r = e->text.size > 0 ? write_text(e) : 0;

	return r < 0 ? r : stream_out_flush(e->out);
}

int sl_encoder_finish(struct sl_encoder *e)
{
	const char *tail = e->count == 0 ? "[]\n" : e->last_was_container ? "\n]\n" : "]\n";
	int r = 0;

	if (e->codec.format == SL_FORMAT_JSON)
		r = append(e, tail, strlen(tail));
	if (r == 0)
		r = write_text(e);
	return r < 0 ? r : stream_out_finish(e->out);
}

/* --- going on with what another one wrote --------------------------------------------------------- */

/* [format, records, was the last one a container, [columns]] */
#define SAVED_FIELDS 4

int sl_encoder_save(struct sl_encoder *e, struct sl_writer *out)
{
	int r = e->text.size > 0 ? write_text(e) : 0;

	if (r == 0)
		r = stream_out_cut(e->out);
	if (r < 0) {
		e->reason = strerrordesc_np(-r);
		return r;
	}
	sl_put_array(out, SAVED_FIELDS);
	sl_put_int(out, e->codec.format);
	sl_put_uint(out, e->count);
	sl_put_bool(out, e->last_was_container);
	sl_put_array(out, e->column_count);
	for (uint32_t i = 0; i < e->column_count; i++)
		sl_put_cstr(out, e->columns[i]);
	return 0;
}

static int restore_columns(struct sl_encoder *e, struct sl_value columns)
{
	struct sl_cursor c = sl_walk(columns);
	struct sl_value key, name;
	uint32_t count = sl_count(columns);

	if (count == 0)
		return 0;
	e->columns = calloc(count, sizeof(char *));
	while (e->columns && sl_next(&c, &key, &name)) {
		const char *text;
		size_t size;

		if (!sl_get_str(name, &text, &size))
			return -EINVAL;
		e->columns[e->column_count] = strndup(text, size);
		if (!e->columns[e->column_count++])
			return -ENOMEM;
	}
	return e->columns ? 0 : -ENOMEM;
}

int sl_encoder_restore(struct sl_encoder *e, struct sl_value saved)
{
	struct sl_value fields[SAVED_FIELDS], key;
	struct sl_cursor c = sl_walk(saved);
	int64_t format;

	if (sl_kind(saved) != SL_ARRAY || sl_count(saved) != SAVED_FIELDS)
		return -EINVAL;
	for (int i = 0; i < SAVED_FIELDS; i++)
		if (!sl_next(&c, &key, &fields[i]))
			return -EINVAL;
	if (!sl_get_int(fields[0], &format) || format != (int64_t)e->codec.format ||
		!sl_get_uint(fields[1], &e->count) ||
		!sl_get_bool(fields[2], &e->last_was_container) || sl_kind(fields[3]) != SL_ARRAY)
		return -EINVAL;
	return restore_columns(e, fields[3]);
}
