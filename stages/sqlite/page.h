/* SPDX-License-Identifier: MIT */
/*
 * What the source reads of a database at a time. A page is one snapshot: its rows are copied, and nothing of the database is held while they are given on,
 * so nobody who writes waits for the pipeline. Without a key the one query stays open, from page to page.
 */
#ifndef STAGES_SQLITE_PAGE_H
#define STAGES_SQLITE_PAGE_H

#include <sqlite3.h>

#include <sluice/stage.h>

struct page_row {
	int64_t key;
	size_t start, size; /* of the record in `records` */
};

struct page {
	struct sl_writer records; /* one behind the other, as they were read */
	struct page_row *rows;
	uint32_t count, capacity;
	uint32_t at;   /* the row at hand */
	bool is_last;  /* nothing stood behind it when it was read */
	bool has_keys; /* the query's first column is the key */
};

void page_fini(struct page *page);

/*
 * Puts the rows that the statement gives into the page, from `code` on: what sqlite3_step answered last, SQLITE_ROW for a row at hand. With a `limit` of rows, not 0, there
 * is one of bytes, too. SQLITE_ROW: it is full, and the statement stands on the row behind its last; SQLITE_DONE: there are no more; another code of
 * SQLite's; SQLITE_MISMATCH: the key of the row at hand is no integer.
 */
int page_fill(struct page *page, sqlite3_stmt *statement, int code, uint32_t limit);
/* What the key of the row at hand is, for people: "a text". */
const char *page_kind(sqlite3_stmt *statement);

/* Whether all of a full page is one key: then its rows may go on behind it. Else those of the last key are taken from it. */
bool page_is_one_key(const struct page *page);
void page_drop_last_key(struct page *page);

/* Puts the rows of one key into the order of their bytes, so that they read the same again. */
void page_sort(struct page *page);

/* The row at hand; absent: there is none. */
struct sl_value page_look(const struct page *page);

#endif
