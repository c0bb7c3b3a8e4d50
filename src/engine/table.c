/* SPDX-License-Identifier: MIT */
/* See table.h. */
#include "engine/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "record/infer.h"

#define INDENT 2
#define GAP 2
#define CELL_SIZE 400    /* bytes */
#define COLUMN_WIDEST 60 /* where there is no limit, too: a text of a page is no table */
#define COLUMN_LEAST 6
#define CUT "…"

struct column {
	const struct infer_field *field;
	char name[64];
	char type[24];
	unsigned width;
};

struct table {
	const struct sl_value *records;
	size_t shown;
	struct infer infer;
	struct column *columns;
	uint32_t count; /* of columns that have room */
};

/* --- text ----------------------------------------------------------------------------------------- */

/* A character's columns; its size in *ret_size. Bytes that are none count one. */
static unsigned width_of_one(const char *text, size_t *ret_size)
{
	mbstate_t state = { 0 };
	wchar_t c;
	size_t size = mbrtowc(&c, text, strlen(text), &state);
	int width;

	if (size == 0 || size > strlen(text)) {
		*ret_size = 1;
		return 1;
	}
	*ret_size = size;
	width = wcwidth(c);
	return width >= 0 ? (unsigned)width : 1;
}

static unsigned width_of(const char *text)
{
	unsigned width = 0;
	size_t size;

	for (; *text; text += size)
		width += width_of_one(text, &size);
	return width;
}

/* Cuts to that many columns, with CUT at the end where something is missing. */
static void cut(char *text, unsigned width)
{
	unsigned used = 0;
	size_t at = 0, size;

	if (width_of(text) <= width)
		return;
	while (text[at]) {
		unsigned one = width_of_one(text + at, &size);

		if (used + one + 1 > width)
			break;
		used += one;
		at += size;
	}
	memcpy(text + at, CUT, sizeof(CUT));
}

/* A string as it is, with escapes for what would break a line; anything else as JSON. */
static void print_cell(struct sl_value v, char *text, size_t size)
{
	size_t length;

	text[0] = '\0';
	if (!v.data)
		return;
	/* Room for CUT is left. */
	sl_print(v, text, size - sizeof(CUT));
	length = strlen(text);
	if (sl_kind(v) != SL_STR || length < 2)
		return;
	memmove(text, text + 1, length);
	if (text[length - 2] == '"')
		text[length - 2] = '\0';
}

/* --- columns -------------------------------------------------------------------------------------- */

static unsigned most(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static void make_column(struct table *table, struct column *column, const struct infer_field *field)
{
	char cell[CELL_SIZE];
	char quoted[sizeof(column->name)];
	struct sl_writer name;

	column->field = field;
	sl_writer_init(&name);
	sl_put_str(&name, field->name, field->name_size);
	if (sl_record_done(&name) == 0)
		print_cell((struct sl_value){ name.data, name.mark }, quoted, sizeof(quoted));
	else
		quoted[0] = '\0';
	sl_writer_fini(&name);
	memcpy(column->name, quoted, sizeof(quoted));
	(void)snprintf(column->type, sizeof(column->type), "%s%s", infer_name(field->type),
		field->is_optional ? "?" : "");
	column->width = most(width_of(column->name), width_of(column->type));
	for (size_t i = 0; i < table->shown; i++) {
		print_cell(infer_cell(field, table->records[i]), cell, sizeof(cell));
		column->width = most(column->width, width_of(cell));
	}
	if (column->width > COLUMN_WIDEST)
		column->width = COLUMN_WIDEST;
}

static unsigned width_of_all(const struct table *table)
{
	unsigned width = INDENT;

	for (uint32_t i = 0; i < table->count; i++)
		width += table->columns[i].width + (i > 0 ? GAP : 0);
	return width;
}

/* The widest column gives one up, but what its type needs; false: none has any to give. */
static bool shrink(struct table *table)
{
	struct column *widest = NULL;

	for (uint32_t i = 0; i < table->count; i++) {
		struct column *column = &table->columns[i];

		if (column->width > most(COLUMN_LEAST, width_of(column->type)) &&
			(!widest || column->width > widest->width))
			widest = column;
	}
	if (widest)
		widest->width--;
	return widest != NULL;
}

static void fit(struct table *table, unsigned width)
{
	while (width > 0 && table->count > 0 && width_of_all(table) > width && shrink(table))
		;
	while (width > 0 && table->count > 1 && width_of_all(table) > width)
		table->count--;
}

/* --- lines ---------------------------------------------------------------------------------------- */

/* One line; blanks are printed when something comes behind them. */
struct line {
	FILE *out;
	unsigned blanks;
};

static void print_text(struct line *line, const struct column *column, char *text)
{
	bool is_right = column->field->type == INFER_INTEGER || column->field->type == INFER_NUMBER;
	unsigned rest;

	cut(text, column->width);
	rest = column->width - width_of(text);
	line->blanks += is_right ? rest : 0;
	if (text[0]) {
		(void)fprintf(line->out, "%*s%s", (int)line->blanks, "", text);
		line->blanks = 0;
	}
	line->blanks += is_right ? GAP : rest + GAP;
}

static void print_head(struct table *table, FILE *out)
{
	char text[CELL_SIZE];

	for (int is_type = 0; is_type < 2; is_type++) {
		struct line line = { out, INDENT };

		for (uint32_t i = 0; i < table->count; i++) {
			const struct column *column = &table->columns[i];

			(void)snprintf(
				text, sizeof(text), "%s", is_type ? column->type : column->name);
			print_text(&line, column, text);
		}
		(void)fputc('\n', out);
	}
}

static void print_record(struct table *table, struct sl_value record, FILE *out)
{
	struct line line = { out, INDENT };
	char text[CELL_SIZE];

	for (uint32_t i = 0; i < table->count; i++) {
		const struct column *column = &table->columns[i];

		print_cell(infer_cell(column->field, record), text, sizeof(text));
		print_text(&line, column, text);
	}
	(void)fputc('\n', out);
}

static void print_rest(const struct table *table, FILE *out)
{
	if (table->count == table->infer.count)
		return;
	(void)fprintf(out, "%*sand %u more field%s:", INDENT, "", table->infer.count - table->count,
		table->infer.count - table->count == 1 ? "" : "s");
	for (uint32_t i = table->count; i < table->infer.count; i++)
		(void)fprintf(out, "%s %s (%s)", i > table->count ? "," : "",
			table->columns[i].name, table->columns[i].type);
	(void)fputc('\n', out);
}

int table_print(
	const struct sl_value *records, size_t count, size_t shown, unsigned width, FILE *out)
{
	struct table table = { .records = records, .shown = shown };
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = infer_add(&table.infer, records[i]);
	infer_end(&table.infer);
	table.columns = calloc(table.infer.count + 1, sizeof(*table.columns));
	if (!table.columns)
		r = -ENOMEM;
	table.count = table.infer.count;
	for (uint32_t i = 0; r == 0 && i < table.count; i++)
		make_column(&table, &table.columns[i], &table.infer.fields[i]);
	if (r == 0) {
		fit(&table, width);
		print_head(&table, out);
		for (size_t i = 0; i < shown; i++)
			print_record(&table, records[i], out);
		print_rest(&table, out);
	}
	free(table.columns);
	infer_fini(&table.infer);
	return r;
}
