/* SPDX-License-Identifier: MIT */
/* See left.h. */
#include "state/left.h"

#include <sqlite3.h>
#include <stddef.h>

#define BUSY_MS 5000

uint64_t left_count(const char *path, uint64_t series)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	uint64_t count = 0;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ==
		SQLITE_OK)
		(void)sqlite3_busy_timeout(db, BUSY_MS);
	if (sqlite3_prepare_v2(db, "SELECT next - settled FROM store WHERE series = ?1", -1, &s,
		    NULL) == SQLITE_OK) {
		(void)sqlite3_bind_int64(s, 1, (sqlite3_int64)series);
		if (sqlite3_step(s) == SQLITE_ROW)
			count = (uint64_t)sqlite3_column_int64(s, 0);
	}
	(void)sqlite3_finalize(s);
	(void)sqlite3_close_v2(db);
	return count;
}
