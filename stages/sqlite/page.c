/* SPDX-License-Identifier: MIT */
/* See page.h. */
#include "page.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES (4 << 20)

void page_fini(struct page *page)
{
	sl_writer_fini(&page->rows);
	free(page->keys);
	free(page->ends);
}

static bool make_room(struct page *page)
{
	uint32_t capacity = page->capacity ? page->capacity * 2 : 1024;
	int64_t *keys;
	size_t *ends;

	if (page->count < page->capacity)
		return true;
	keys = reallocarray(page->keys, capacity, sizeof(*keys));
	page->keys = keys ? keys : page->keys;
	ends = reallocarray(page->ends, capacity, sizeof(*ends));
	page->ends = ends ? ends : page->ends;
	if (!keys || !ends)
		return false;
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

	if (page->has_keys && sqlite3_column_type(s, 0) != SQLITE_INTEGER)
		return SQLITE_MISMATCH;
	if (!make_room(page))
		return SQLITE_NOMEM;
	sl_put_map(&page->rows, (uint32_t)(count - first));
	for (int i = first; i < count; i++) {
		sl_put_cstr(&page->rows, sqlite3_column_name(s, i));
		put_column(&page->rows, s, i);
	}
	if (sl_record_done(&page->rows) < 0)
		return SQLITE_NOMEM;
	page->keys[page->count] = page->has_keys ? sqlite3_column_int64(s, 0) : 0;
	page->ends[page->count++] = page->rows.size;
	return SQLITE_OK;
}

int page_fill(struct page *page, sqlite3_stmt *statement, int code, uint32_t limit)
{
	sl_writer_reset(&page->rows);
	page->count = page->at = 0;
	for (; code == SQLITE_ROW; code = sqlite3_step(statement)) {
		int r;

		if (limit > 0 && (page->count >= limit || page->rows.size >= PAGE_BYTES))
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
	return page->count > 0 && page->keys[0] == page->keys[page->count - 1];
}

void page_drop_last_key(struct page *page)
{
	int64_t last = page->count > 0 ? page->keys[page->count - 1] : 0;

	while (page->count > 0 && page->keys[page->count - 1] == last)
		page->count--;
}

struct sl_value page_look(const struct page *page)
{
	size_t start = page->at > 0 ? page->ends[page->at - 1] : 0;

	if (page->at >= page->count)
		return (struct sl_value){ 0 };
	return (struct sl_value){ page->rows.data + start, page->ends[page->at] - start };
}
