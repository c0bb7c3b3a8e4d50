/* SPDX-License-Identifier: MIT */
/*
 * The csv format over libcsv. Reading feeds it one physical line at a time, so that the position behind each record is exact;
 * a quoted newline just makes a record of several feeds. Fields are strings, or what their form says (typed.h); spaces belong to them.
 */
#include "record/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csv.h>

#include "record/typed.h"

#define NO_QUOTE 0xff /* a byte that valid UTF-8 never has */

struct csv_reader {
	struct csv_parser parser;
	const struct sl_codec *codec;
	bool is_open;   /* inside a record: a quoted newline */
	bool has_begun; /* the stream: a byte-order mark is behind us */
	bool is_broken; /* this record */
	struct sl_writer *out;
	struct sl_writer record; /* the one being read: it may have more lines than the window */
	/* the header, as the keys go out */
	char **columns;
	size_t *sizes;
	uint32_t column_count;
	uint32_t fields; /* of this record so far */
	uint32_t rows;   /* completed in this feed */
	uint64_t lines;  /* of this record so far */
	bool wants_header;
	uint32_t twin,
		first; /* two columns of the header with one name, counted from 1; 0: there are none */
	bool has_names; /* from the codec: a header is passed over */
	int error;
	char reason[160];
};

static int no_space(unsigned char c)
{
	(void)c;
	return 0;
}

static int parser_init(struct csv_reader *csv)
{
	if (csv_init(&csv->parser, CSV_STRICT | CSV_STRICT_FINI) != 0)
		return -ENOMEM;
	csv_set_delim(
		&csv->parser, (unsigned char)(csv->codec->delimiter ? csv->codec->delimiter : ','));
	csv_set_quote(&csv->parser,
		csv->codec->no_quoting
			? NO_QUOTE
			: (unsigned char)(csv->codec->quote ? csv->codec->quote : '"'));
	csv_set_space_func(&csv->parser, no_space);
	return 0;
}

static int add_column(struct csv_reader *csv, const char *name, size_t size)
{
	char **columns = reallocarray(csv->columns, csv->column_count + 1, sizeof(*columns));
	size_t *sizes;

	if (!columns)
		return -ENOMEM;
	csv->columns = columns;
	sizes = reallocarray(csv->sizes, csv->column_count + 1, sizeof(*sizes));
	if (!sizes)
		return -ENOMEM;
	csv->sizes = sizes;
	columns[csv->column_count] = strndup(name, size);
	if (!columns[csv->column_count])
		return -ENOMEM;
	sizes[csv->column_count] = strlen(columns[csv->column_count]);
	csv->column_count++;
	return 0;
}

static void drop_columns(struct csv_reader *csv)
{
	for (uint32_t i = 0; i < csv->column_count; i++)
		free(csv->columns[i]);
	csv->column_count = 0;
}

int csv_reader_new(const struct sl_codec *codec, struct csv_reader **ret)
{
	struct csv_reader *csv = calloc(1, sizeof(*csv));
	int r = 0;

	if (!csv)
		return -ENOMEM;
	*ret = csv;
	csv->codec = codec;
	csv->has_names = codec->columns != NULL;
	csv->wants_header = codec->header == SL_HEADER_PRESENT || !codec->columns;
	for (uint32_t i = 0; codec->columns && i < codec->column_count && r == 0; i++)
		r = add_column(csv, codec->columns[i], strlen(codec->columns[i]));
	return r < 0 ? r : parser_init(csv);
}

void csv_reader_free(struct csv_reader *csv)
{
	if (!csv)
		return;
	drop_columns(csv);
	free(csv->columns);
	free(csv->sizes);
	csv_free(&csv->parser);
	sl_writer_fini(&csv->record);
	free(csv);
}

bool csv_reader_is_open(const struct csv_reader *csv)
{
	return csv->is_open;
}

bool csv_reader_wants_header(const struct csv_reader *csv)
{
	return csv->wants_header;
}

static void put_field(struct csv_reader *csv, const char *text, size_t size)
{
	if (size == 0 && csv->codec->empty_is_null)
		sl_put_nil(&csv->record);
	else if (csv->codec->infers)
		typed_put(&csv->record, text, size);
	else
		sl_put_str(&csv->record, text, size);
}

/* Without a header and names the first row says how many columns there are; only its values are kept until it ends. */
static bool is_counting(const struct csv_reader *csv)
{
	return csv->wants_header && csv->codec->header == SL_HEADER_ABSENT;
}

/* Of the first row. */
static void on_first_row(struct csv_reader *csv, const char *text, size_t size)
{
	char name[16];
	int r = 0;

	if (is_counting(csv)) {
		(void)snprintf(name, sizeof(name), "c%u", csv->fields);
		r = add_column(csv, name, strlen(name));
		put_field(csv, text, size);
	} else if (!csv->has_names) {
		r = add_column(csv, text, size);
	}
	if (r < 0)
		csv->error = r;
}

static void on_field(void *field, size_t size, void *user)
{
	struct csv_reader *csv = user;
	uint32_t i = csv->fields++;

	if (csv->wants_header) {
		on_first_row(csv, field ? field : "", size);
		return;
	}
	if (i >= csv->column_count)
		return;
	if (i == 0)
		sl_put_map(&csv->record, csv->column_count);
	sl_put_str(&csv->record, csv->columns[i], csv->sizes[i]);
	put_field(csv, field ? field : "", size);
}

/* A header that is one name, with what often stands between names in it: 0 or that. */
static char other_delimiter(const struct csv_reader *csv)
{
	const char *at = csv->column_count == 1 && !csv->codec->columns
				 ? strpbrk(csv->columns[0], ",;\t|")
				 : NULL;

	return at ? *at : '\0';
}

static void refuse_count(struct csv_reader *csv)
{
	char delimiter = other_delimiter(csv);
	int size = snprintf(csv->reason, sizeof(csv->reason), "expected %u field%s, found %u",
		csv->column_count, csv->column_count == 1 ? "" : "s", csv->fields);

	csv->is_broken = true;
	if (delimiter)
		(void)snprintf(csv->reason + size, sizeof(csv->reason) - (size_t)size,
			"; the header has `%s` in it: write delimiter = \"%s\";, or dialect = "
			"\"sniff\";",
			delimiter == '\t' ? "\\t" : (char[]){ delimiter, '\0' },
			delimiter == '\t' ? "\\t" : (char[]){ delimiter, '\0' });
}

/* The values of the first row, under the names that they gave the columns. */
static void put_counted(struct csv_reader *csv)
{
	struct sl_cursor cursor = { .at = csv->record.data, .left = csv->column_count };
	struct sl_value key, value;

	sl_put_map(csv->out, csv->column_count);
	for (uint32_t i = 0; !csv->record.error && sl_next(&cursor, &key, &value); i++) {
		sl_put_str(csv->out, csv->columns[i], csv->sizes[i]);
		sl_put_value(csv->out, value);
	}
	if (csv->record.error || sl_record_done(csv->out) < 0)
		csv->error = -ENOMEM;
}

/* A record has one field of a name. */
static void find_twins(struct csv_reader *csv)
{
	for (uint32_t i = 1; i < csv->column_count && !csv->has_names; i++)
		for (uint32_t k = 0; k < i && csv->twin == 0; k++)
			if (csv->sizes[i] == csv->sizes[k] &&
				memcmp(csv->columns[i], csv->columns[k], csv->sizes[i]) == 0) {
				csv->first = k + 1;
				csv->twin = i + 1;
			}
}

static void on_row(int newline, void *user)
{
	struct csv_reader *csv = user;

	(void)newline;
	csv->rows++;
	csv->is_open = false;
	if (csv->wants_header) {
		if (is_counting(csv))
			put_counted(csv);
		csv->wants_header = false;
		find_twins(csv);
	} else if (csv->fields != csv->column_count) {
		refuse_count(csv);
	} else {
		sl_put_value(csv->out, (struct sl_value){ csv->record.data, csv->record.size });
		if (csv->record.error || sl_record_done(csv->out) < 0)
			csv->error = -ENOMEM;
	}
	csv->fields = 0;
	sl_writer_reset(&csv->record);
}

static int restart(struct csv_reader *csv)
{
	csv_free(&csv->parser);
	sl_writer_reset(&csv->record);
	if (csv->wants_header && !csv->has_names)
		drop_columns(csv);
	csv->is_open = false;
	csv->fields = 0;
	csv->is_broken = true;
	return parser_init(csv);
}

/* Feeds one physical line. The record goes on behind it while a quote is open. */
static int feed(struct csv_reader *csv, const char *text, size_t size, bool is_last)
{
	size_t used;

	csv->rows = 0;
	csv->is_broken = false;
	csv->is_open = true;
	if (!json_is_utf8(text, size)) {
		(void)snprintf(csv->reason, sizeof(csv->reason),
			"invalid UTF-8: convert the file, as iconv does");
		return restart(csv);
	}
	used = csv_parse(&csv->parser, text, size, on_field, on_row, csv);
	if (used != size || (is_last && csv_fini(&csv->parser, on_field, on_row, csv) != 0)) {
		(void)snprintf(csv->reason, sizeof(csv->reason),
			"a quote that is not closed, or stands inside an unquoted field%s",
			csv->wants_header && memchr(text, ';', size) && !csv->codec->delimiter
				? "; where `;` separates the fields, write delimiter = \";\""
				: "");
		return csv_error(&csv->parser) == CSV_ENOMEM ? -ENOMEM : restart(csv);
	}
	/* A line that gave no row is blank unless a field has begun. */
	if (csv->rows == 0 && csv->parser.pstate == 0)
		csv->is_open = false;
	return csv->error;
}

/* Without its header a file cannot be read: the next row must not be taken for it. `is_utf16`: as it begins. */
static int bad_header(struct sl_decoder *d, bool is_utf16)
{
	struct csv_reader *csv = d->csv;

	if (csv->twin > 0)
		return decoder_broken(d,
			"line %llu: columns %u and %u of the header are both called \"%.60s\": "
			"write columns = [ ... ]; with a name for each, and header = "
			"\"present\"",
			(unsigned long long)d->line, csv->first, csv->twin,
			csv->columns[csv->twin - 1]);
	if (is_utf16)
		return decoder_broken(d, "the file seems to be UTF-16: convert it, as iconv -f "
					 "UTF-16 -t UTF-8 does");
	return decoder_broken(d, "line %llu: the header cannot be read: %s",
		(unsigned long long)d->line, csv->reason);
}

static bool is_utf16(const struct sl_decoder *d)
{
	return d->end - d->begin >= 2 && (memcmp(d->data + d->begin, "\xff\xfe", 2) == 0 ||
						 memcmp(d->data + d->begin, "\xfe\xff", 2) == 0);
}

static void skip_mark(struct sl_decoder *d)
{
	if (d->end - d->begin >= 3 && memcmp(d->data + d->begin, "\xef\xbb\xbf", 3) == 0)
		decoder_eat(d, 3, 0);
	d->csv->has_begun = true;
}

int csv_eat(struct sl_decoder *d, struct sl_writer *out)
{
	struct csv_reader *csv = d->csv;
	bool is_header;
	size_t size;
	int r;

	csv->codec = &d->codec;
	csv->out = out;
	if (!csv->has_begun && (d->end - d->begin >= 3 || d->at_end))
		skip_mark(d);
	size = decoder_line_size(d);
	if (size == 0) {
		if (d->end - d->begin > decoder_record_max(d))
			return decoder_broken(d, "line %llu is longer than record_max",
				(unsigned long long)d->line);
		return d->at_end ? EATEN_END : EATEN_NOTHING;
	}
	is_header = csv->wants_header && !is_counting(csv);
	r = feed(csv, d->data + d->begin, size, d->at_end && d->begin + size == d->end);
	if (r < 0)
		return r;
	if (is_header && (csv->is_broken || csv->twin > 0))
		return bad_header(d, is_utf16(d));
	if (csv->is_broken)
		decoder_refuse(d, csv->reason, d->data + d->begin, size);
	decoder_eat(d, size, 1);
	return EATEN_RECORD;
}
