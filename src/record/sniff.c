/* SPDX-License-Identifier: MIT */
/*
 * The dialect of a csv file, from the rows that its first 64 KiB make under each delimiter and quote that it may have. One fits when the first row and
 * nine of ten others have the same number of fields, at least two; the rest is a malformed row here and there. Of those that fit one that fits
 * every row comes before the others. When that leaves two, nobody but the user knows.
 */
#include "record/codec.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <csv.h>

#include "record/typed.h"

#define SAMPLE_SIZE (64u << 10)
#define FIT_PERCENT 90
#define NO_QUOTE 0xff
#define FIELDS_MAX 4096 /* of a first row that is looked at */
#define WIDTHS 1024     /* rows with more fields count as one kind */

static const char delimiters[] = ",;\t|";
static const char quotes[] = "\"'";

struct sample {
	char *text;
	size_t size;
	bool is_whole; /* the file ends with it */
};

/* A field of the first row. */
struct head {
	char *text;
	size_t size;
};

/* The rows under one dialect. */
struct reading {
	struct csv_parser parser;
	char delimiter, quote;
	uint32_t fields, rows, broken, first_width;
	uint32_t widths[WIDTHS]; /* rows by their number of fields */
	struct head *heads;
	uint32_t head_count;
	uint32_t *typed; /* of the other rows: those with a number or boolean in that column */
	int error;
};

/* --- rows --------------------------------------------------------------------------------------- */

static int no_space(unsigned char c)
{
	(void)c;
	return 0;
}

static int begin_rows(struct reading *r)
{
	if (csv_init(&r->parser, CSV_STRICT | CSV_STRICT_FINI) != 0)
		return -ENOMEM;
	csv_set_delim(&r->parser, (unsigned char)r->delimiter);
	csv_set_quote(&r->parser, r->quote ? (unsigned char)r->quote : NO_QUOTE);
	csv_set_space_func(&r->parser, no_space);
	r->fields = 0;
	return 0;
}

static void keep_head(struct reading *r, const char *text, size_t size)
{
	struct head *heads;

	if (r->head_count == FIELDS_MAX)
		return;
	heads = reallocarray(r->heads, r->head_count + 1, sizeof(*heads));
	if (heads) {
		r->heads = heads;
		heads[r->head_count].text = strndup(text, size);
		heads[r->head_count].size = size;
	}
	if (!heads || !heads[r->head_count].text)
		r->error = -ENOMEM;
	else
		r->head_count++;
}

static void on_field(void *field, size_t size, void *user)
{
	struct reading *r = user;
	const char *text = field ? field : "";

	if (r->rows == 0)
		keep_head(r, text, size);
	else if (r->typed && r->fields < r->head_count)
		r->typed[r->fields] += typed_is(text, size);
	r->fields++;
}

static void on_row(int newline, void *user)
{
	struct reading *r = user;

	(void)newline;
	if (r->rows++ == 0) {
		r->first_width = r->fields;
		r->typed = calloc(r->head_count + 1, sizeof(*r->typed));
		if (!r->typed)
			r->error = -ENOMEM;
	}
	r->widths[r->fields < WIDTHS ? r->fields : WIDTHS - 1]++;
	r->fields = 0;
}

static void drop_heads(struct reading *r)
{
	for (uint32_t i = 0; i < r->head_count; i++)
		free(r->heads[i].text);
	r->head_count = 0;
}

/* A row that cannot be one; the next line begins another. */
static int break_row(struct reading *r)
{
	r->broken++;
	if (r->rows == 0)
		drop_heads(r);
	csv_free(&r->parser);
	return begin_rows(r);
}

static int read_rows(struct reading *r, const struct sample *s)
{
	size_t at = 0;
	int error = begin_rows(r);

	while (error == 0 && r->error == 0 && at < s->size) {
		const char *newline = memchr(s->text + at, '\n', s->size - at);
		size_t size = newline ? (size_t)(newline - s->text) + 1 - at : s->size - at;

		if (!newline && !s->is_whole)
			break;
		if (csv_parse(&r->parser, s->text + at, size, on_field, on_row, r) != size)
			error = break_row(r);
		at += size;
	}
	if (error == 0 && s->is_whole && csv_fini(&r->parser, on_field, on_row, r) != 0)
		r->broken++;
	csv_free(&r->parser);
	return error < 0 ? error : r->error;
}

static void reading_free(struct reading *r)
{
	drop_heads(r);
	free(r->heads);
	free(r->typed);
	free(r);
}

/* How many of a hundred rows have as many fields as the first one. 0: it is no table. */
static uint32_t fit_of(const struct reading *r)
{
	uint32_t all = r->rows + r->broken;

	if (all == 0 || r->first_width < 2 || r->first_width >= WIDTHS)
		return 0;
	return (uint32_t)((uint64_t)r->widths[r->first_width] * 100 / all);
}

/* --- dialects ----------------------------------------------------------------------------------- */

#define READINGS_MAX 8

struct readings {
	struct reading *items[READINGS_MAX];
	uint32_t count;
};

/* Fields that begin with the quote, and such that end with it: the fewer of them. */
static size_t quoted_fields(const struct sample *s, char quote, char delimiter)
{
	size_t begins = 0, ends = 0;

	for (size_t i = 0; i < s->size; i++) {
		char before = i > 0 ? s->text[i - 1] : '\n';
		char behind = i + 1 < s->size ? s->text[i + 1] : '\n';

		if (s->text[i] != quote)
			continue;
		begins += before == delimiter || before == '\n';
		ends += behind == delimiter || behind == '\n' || behind == '\r';
	}
	return begins < ends ? begins : ends;
}

static int read_as(struct readings *all, const struct sample *s, char delimiter, char quote)
{
	struct reading *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->delimiter = delimiter;
	r->quote = quote;
	all->items[all->count++] = r;
	return read_rows(r, s);
}

/* Under each quote that stands around a field; under the usual one when none does. */
static int read_under(
	struct readings *all, const struct sample *s, const struct sl_codec *codec, char delimiter)
{
	bool is_quoted = false;
	int r = 0;

	if (codec->no_quoting || codec->quote)
		return read_as(all, s, delimiter, codec->no_quoting ? '\0' : codec->quote);
	for (const char *quote = quotes; *quote && r == 0; quote++) {
		if (quoted_fields(s, *quote, delimiter) == 0)
			continue;
		is_quoted = true;
		r = read_as(all, s, delimiter, *quote);
	}
	return is_quoted ? r : read_as(all, s, delimiter, quotes[0]);
}

static int read_all(struct readings *all, const struct sample *s, const struct sl_codec *codec)
{
	int r = 0;

	if (codec->delimiter)
		return read_under(all, s, codec, codec->delimiter);
	for (const char *delimiter = delimiters; *delimiter && r == 0; delimiter++)
		r = read_under(all, s, codec, *delimiter);
	return r;
}

/* How a config has it. */
static const char *name_of(char c)
{
	static const char *const names[] = { "\",\"", "\";\"", "\"\\t\"", "\"|\"" };
	const char *at = strchr(delimiters, c);

	return c == '"'    ? "\"\\\"\""
	       : c == '\'' ? "\"'\""
	       : c && at   ? names[at - delimiters]
			   : "\"?\"";
}

/* Both fit: what to write. */
static int two_fit(const struct reading *a, const struct reading *b, char *text, size_t size)
{
	if (a->delimiter == b->delimiter)
		(void)snprintf(text, size,
			"both quotes stand around fields: write quote = %s; or quote = %s;",
			name_of(a->quote), name_of(b->quote));
	else
		(void)snprintf(text, size,
			"its rows have %u fields with one delimiter and %u with another: write "
			"delimiter = %s; or "
			"delimiter = %s;",
			a->first_width, b->first_width, name_of(a->delimiter),
			name_of(b->delimiter));
	return -EINVAL;
}

/* Every row is one field, whatever is between fields. */
static const struct reading *only_column(const struct readings *all)
{
	for (uint32_t i = 0; i < all->count; i++)
		if (all->items[i]->widths[1] < all->items[i]->rows || all->items[i]->broken > 0)
			return NULL;
	return all->items[0];
}

/* What most of the rows fit; NULL: not even half of them fit anything. */
static const struct reading *find_nearest(const struct readings *all)
{
	const struct reading *nearest = NULL;
	uint32_t most = 50;

	for (uint32_t i = 0; i < all->count; i++) {
		if (fit_of(all->items[i]) < most)
			continue;
		most = fit_of(all->items[i]) + 1;
		nearest = all->items[i];
	}
	return nearest;
}

static void say_none_fits(const struct readings *all, char *text, size_t size)
{
	const struct reading *nearest = find_nearest(all);
	int length = snprintf(text, size,
		"under no delimiter (comma, semicolon, tab, |) its rows have one number of fields: "
		"write `delimiter` and "
		"`quote`, or `no_quoting = true;`");

	if (nearest && length > 0 && (size_t)length < size)
		(void)snprintf(text + length, size - (size_t)length,
			"; nearest is delimiter = %s, under which %u of 100 rows have %u fields",
			name_of(nearest->delimiter), fit_of(nearest), nearest->first_width);
}

static int choose(const struct readings *all, const struct reading **ret, char *text, size_t size)
{
	const struct reading *best = NULL, *second = NULL;
	uint32_t least = FIT_PERCENT;

	for (uint32_t i = 0; i < all->count; i++)
		least = fit_of(all->items[i]) == 100 ? 100 : least;
	for (uint32_t i = 0; i < all->count; i++) {
		if (fit_of(all->items[i]) < least)
			continue;
		second = best ? all->items[i] : NULL;
		best = best ? best : all->items[i];
		if (second)
			return two_fit(best, second, text, size);
	}
	*ret = best ? best : only_column(all);
	if (*ret)
		return 0;
	say_none_fits(all, text, size);
	return -EINVAL;
}

/* --- the header --------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct head *)a)->text, ((const struct head *)b)->text);
}

static bool are_different(const struct reading *r)
{
	struct head *sorted = calloc(r->head_count + 1, sizeof(*sorted));
	bool is_different = sorted != NULL;

	if (!sorted)
		return false;
	memcpy(sorted, r->heads, r->head_count * sizeof(*sorted));
	qsort(sorted, r->head_count, sizeof(*sorted), by_text);
	for (uint32_t i = 1; i < r->head_count && is_different; i++)
		is_different = strcmp(sorted[i - 1].text, sorted[i].text) != 0;
	free(sorted);
	return is_different;
}

/* The first row is one unless it shows that it is none: a field that is empty, a value, or the name of another one. */
static bool has_header(const struct reading *r)
{
	for (uint32_t i = 0; i < r->head_count; i++)
		if (r->heads[i].size == 0 || typed_is(r->heads[i].text, r->heads[i].size))
			return false;
	return are_different(r);
}

static void take(const struct reading *r, struct sl_codec *codec, char *text, size_t size)
{
	bool is_open = codec->header == SL_HEADER_AUTO && !codec->columns;
	uint32_t typed = 0;

	codec->delimiter = r->delimiter;
	codec->quote = r->quote;
	if (is_open)
		codec->header = has_header(r) ? SL_HEADER_PRESENT : SL_HEADER_ABSENT;
	for (uint32_t i = 0; r->typed && i < r->head_count; i++)
		typed += r->typed[i] > 0;
	(void)snprintf(text, size,
		"delimiter = %s, quote = %s, header = \"%s\": %u columns, %u of them with numbers",
		name_of(r->delimiter), r->quote ? name_of(r->quote) : "none",
		codec->header != SL_HEADER_AUTO ? sl_header_names[codec->header]
		: codec->columns                ? "absent"
						: "present",
		r->first_width, typed);
}

/* --- the sample --------------------------------------------------------------------------------- */

static int read_sample(struct stream_in *in, struct sample *s)
{
	while (s->size < SAMPLE_SIZE) {
		ssize_t got = stream_in_read(in, s->text + s->size, SAMPLE_SIZE - s->size);

		if (got < 0)
			return (int)got;
		s->is_whole = got == 0;
		if (got == 0)
			break;
		s->size += (size_t)got;
	}
	if (s->size >= 3 && memcmp(s->text, "\xef\xbb\xbf", 3) == 0) {
		s->size -= 3;
		memmove(s->text, s->text + 3, s->size);
	}
	return 0;
}

static int take_sample(
	const struct sl_codec *codec, int fd, struct sample *s, char *text, size_t size)
{
	struct stream_in *in = stream_in_new(codec->compression, fd, false);
	int r = -ENOMEM;

	s->text = malloc(SAMPLE_SIZE);
	if (in && s->text)
		r = read_sample(in, s);
	if (r < 0)
		(void)snprintf(text, size, "%s",
			r == -EBADMSG ? stream_in_reason(in) : strerrordesc_np(-r));
	stream_in_free(in);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0) {
		r = -errno;
		(void)snprintf(text, size,
			"it cannot be read twice: write `delimiter`, `quote` and `header`");
	}
	return r;
}

int sl_sniff(struct sl_codec *codec, int fd, char *text, size_t text_size)
{
	struct readings all = { .count = 0 };
	const struct reading *best = NULL;
	struct sample s = { .size = 0 };
	int r = take_sample(codec, fd, &s, text, text_size);

	if (r == 0 && s.size == 0) {
		(void)snprintf(text, text_size, "it is empty");
		r = 1;
	}
	if (r == 0)
		r = read_all(&all, &s, codec);
	if (r == 0)
		r = choose(&all, &best, text, text_size);
	else if (r == -ENOMEM)
		(void)snprintf(text, text_size, "%s", strerrordesc_np(ENOMEM));
	if (r == 0)
		take(best, codec, text, text_size);
	for (uint32_t i = 0; i < all.count; i++)
		reading_free(all.items[i]);
	free(s.text);
	return r;
}
