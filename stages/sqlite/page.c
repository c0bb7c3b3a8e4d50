/* SPDX-License-Identifier: MIT */
/* See page.h. */
#include "page.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES (4 << 20)

void page_fini(struct page *page)
{
	sl_writer_fini(&page->records);
	free(page->rows);
}

static bool make_room(struct page *page)
{
	uint32_t capacity = page->capacity ? page->capacity * 2 : 1024;
	struct page_row *rows;

	if (page->count < page->capacity)
		return true;
	rows = reallocarray(page->rows, capacity, sizeof(*rows));
	if (!rows)
		return false;
	page->rows = rows;
	page->capacity = capacity;
	return true;
}

static void put_column(struct sl_writer *out, sqlite3_stmt *s, int i)
{
	switch (sqlite3_column_type(s, i)) {
	case SQLITE_INTEGER:
		sl_put_int(out, sqlite3_column_int64(s, i));
		break;
	case SQLITE_FLOAT:
		sl_put_double(out, sqlite3_column_double(s, i));
		break;
	case SQLITE_TEXT: {
		const char *text = (const char *)sqlite3_column_text(s, i);

		sl_put_str(out, text ? text : "", (size_t)sqlite3_column_bytes(s, i));
		break;
	}
	case SQLITE_BLOB: {
		const void *bytes = sqlite3_column_blob(s, i);

		sl_put_bin(out, bytes ? bytes : "", (size_t)sqlite3_column_bytes(s, i));
		break;
	}
	default:
		sl_put_nil(out);
	}
}

static int put_row(struct page *page, sqlite3_stmt *s)
{
	int first = page->has_keys ? 1 : 0;
	int count = sqlite3_column_count(s);
	size_t start = page->records.size;

	if (page->has_keys && sqlite3_column_type(s, 0) != SQLITE_INTEGER)
		return SQLITE_MISMATCH;
	if (!make_room(page))
		return SQLITE_NOMEM;
	sl_put_map(&page->records, (uint32_t)(count - first));
	for (int i = first; i < count; i++) {
		sl_put_cstr(&page->records, sqlite3_column_name(s, i));
		put_column(&page->records, s, i);
	}
	if (sl_record_done(&page->records) < 0)
		return SQLITE_NOMEM;
	page->rows[page->count++] = (struct page_row){
		.key = page->has_keys ? sqlite3_column_int64(s, 0) : 0,
		.start = start,
		.size = page->records.size - start,
	};
	return SQLITE_OK;
}

int page_fill(struct page *page, sqlite3_stmt *statement, int code, uint32_t limit)
{
	sl_writer_reset(&page->records);
	page->count = page->at = 0;
	for (; code == SQLITE_ROW; code = sqlite3_step(statement)) {
		int r;

		if (limit > 0 && (page->count >= limit || page->records.size >= PAGE_BYTES))
			break;
		r = put_row(page, statement);
		if (r != SQLITE_OK)
			return r;
	}
	page->is_last = code == SQLITE_DONE;
	return code;
}

const char *page_kind(sqlite3_stmt *statement)
{
	switch (sqlite3_column_type(statement, 0)) {
	case SQLITE_FLOAT:
		return "a float";
	case SQLITE_TEXT:
		return "a text";
	case SQLITE_BLOB:
		return "a blob";
	default:
		return "NULL";
	}
}

bool page_is_one_key(const struct page *page)
{
	return page->count > 0 && page->rows[0].key == page->rows[page->count - 1].key;
}

void page_drop_last_key(struct page *page)
{
	int64_t last = page->count > 0 ? page->rows[page->count - 1].key : 0;

	while (page->count > 0 && page->rows[page->count - 1].key == last)
		page->count--;
}

static int compare(const void *a, const void *b, void *user)
{
	const struct page_row *x = a, *y = b;
	const char *bytes = user;
	int r;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	r = memcmp(bytes + x->start, bytes + y->start, x->size < y->size ? x->size : y->size);
	return r != 0 ? r : (x->size > y->size) - (x->size < y->size);
}

void page_sort(struct page *page)
{
	if (page->count > 1)
		qsort_r(page->rows, page->count, sizeof(*page->rows), compare, page->records.data);
}

struct sl_value page_look(const struct page *page)
{
	const struct page_row *row;

	if (page->at >= page->count)
		return (struct sl_value){ 0 };
	row = &page->rows[page->at];
	return (struct sl_value){ page->records.data + row->start, row->size };
}
