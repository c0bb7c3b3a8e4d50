/* SPDX-License-Identifier: MIT */
/* See peek.h. */
#include "engine/peek.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "engine/table.h"
#include "engine/tap.h"

/* {"from": TITLE, "record": RECORD} */
static int wrap(struct sl_writer *w, const char *title, struct sl_value record)
{
	sl_put_map(w, 2);
	sl_put_cstr(w, "from");
	sl_put_cstr(w, title);
	sl_put_cstr(w, "record");
	sl_put_value(w, record);
	return sl_record_done(w);
}

static int print_json(const char *title, struct sl_value record)
{
	struct sl_writer value, json;
	const char *reason = "";
	int r = 0;

	sl_writer_init(&value);
	sl_writer_init(&json);
	if (title) {
		r = wrap(&value, title, record);
		record = (struct sl_value){ value.data, value.mark };
	}
	if (r == 0)
		r = sl_json_print(&json, record, &reason);
	if (r == 0)
		(void)printf("%.*s\n", (int)json.size, json.data);
	else
		(void)fprintf(
			stderr, "sluice peek: a record cannot be written as JSON: %s\n", reason);
	sl_writer_fini(&value);
	sl_writer_fini(&json);
	return r == -EINVAL ? 0 : r;
}

static int print_table(
	const struct peek *peek, const char *title, const struct tap_records *records, size_t shown)
{
	char count[32];

	(void)printf("%s: ", title);
	if (records->count == 0)
		(void)printf("no records came out: --records %llu reads more\n",
			(unsigned long long)peek->records * 10);
	else if (shown < records->count)
		(void)printf("the first %zu of %s records\n", shown,
			units_print_count(records->count, count, sizeof(count)));
	else
		(void)printf("%zu record%s\n", records->count, records->count == 1 ? "" : "s");
	return records->count == 0
		       ? 0
		       : table_print(records->items, records->count, shown, peek->width, stdout);
}

static int show(const struct peek *peek, const char *title, unsigned index, bool is_only)
{
	struct tap_records records = { 0 };
	struct err err = { 0 };
	char file[32];
	size_t shown;
	int r;

	(void)snprintf(file, sizeof(file), "tap.%u", index);
	r = tap_read(peek->folder, file, &records, &err);
	if (r < 0) {
		(void)fprintf(stderr, "sluice peek: %s\n", err.text);
		return r;
	}
	shown = records.count < peek->records ? records.count : (size_t)peek->records;
	if (!peek->is_json && index > 0)
		(void)fputc('\n', stdout);
	if (!peek->is_json)
		r = print_table(peek, title, &records, shown);
	for (size_t i = 0; peek->is_json && i < shown && r == 0; i++)
		r = print_json(is_only ? NULL : title, records.items[i]);
	tap_free(&records);
	return r;
}

/* The next title; NULL: there is none. Borrowed until the next call. */
static const char *next_title(FILE *titles, char **line, size_t *size)
{
	ssize_t length = getline(line, size, titles);

	if (length < 0)
		return NULL;
	(*line)[strcspn(*line, "\n")] = '\0';
	return *line;
}

int peek_answer(const struct peek *peek)
{
	_cleanup_fclose_ FILE *titles = NULL;
	_cleanup_free_ char *line = NULL;
	char path[PATH_MAX];
	unsigned count = 0;
	const char *title;
	size_t size = 0;
	int r = 0;

	/* How wide a character is. */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)snprintf(path, sizeof(path), "%s/" PEEK_TITLES, peek->folder);
	titles = fopen(path, "re");
	if (!titles) {
		(void)fprintf(stderr, "sluice peek: cannot open %s: %s\n", path, err_name(errno));
		return EXIT_FAILURE;
	}
	while (next_title(titles, &line, &size))
		count++;
	rewind(titles);
	for (unsigned i = 0; r == 0 && (title = next_title(titles, &line, &size)); i++)
		r = show(peek, title, i, count == 1);
	return r < 0 || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
