/* SPDX-License-Identifier: MIT */
/*
 * What is settled counts no more, what no power cut can ask for again leaves the store, and an empty one becomes small. The source's.
 */
#include "store.h"

#include <errno.h>

#define ROWS 64
#define SHRINK_PAGES 1024 /* 16 MiB */

/* The first batches that are not settled and end at or below `floor`: where they end, and how many bytes they are. */
static int find_settled(struct sl_context *ctx, struct store *store, uint64_t floor,
	uint64_t *ret_end, uint64_t *ret_bytes)
{
	sqlite3_stmt *s;
	int r = spill_prepare(ctx, store,
		"SELECT first + count, length(bytes) FROM batches"
		" WHERE first >= (SELECT settled FROM store) ORDER BY first LIMIT ?1",
		&s);
	int code = SQLITE_DONE;

	*ret_end = 0;
	*ret_bytes = 0;
	if (r < 0)
		return r;
	(void)sqlite3_bind_int(s, 1, ROWS);
	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		if ((uint64_t)sqlite3_column_int64(s, 0) > floor)
			break;
		*ret_end = (uint64_t)sqlite3_column_int64(s, 0);
		*ret_bytes += (uint64_t)sqlite3_column_int64(s, 1);
	}
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		r = spill_failed(ctx, store);
	(void)sqlite3_finalize(s);
	return r;
}

/* The end of a transaction that may as well be done another time: 1, 0 or negative errno. */
static int end(struct sl_context *ctx, struct store *store, int r)
{
	if (r == 0)
		r = spill_run(ctx, store, "COMMIT");
	if (r == 0)
		return 1;
	spill_rollback(store);
	return r == -EBUSY || r == -ENOSPC ? 0 : r;
}

int spill_settle(struct sl_context *ctx, struct store *store, uint64_t floor, int64_t deadline)
{
	uint64_t settled, bytes;
	int r = find_settled(ctx, store, floor, &settled, &bytes);

	if (r < 0 || settled == 0)
		return r;
	r = spill_begin(ctx, store, deadline);
	if (r == 0)
		r = spill_set(
			ctx, store, "UPDATE store SET bytes = bytes - ?1, gone = gone + ?1", bytes);
	if (r == 0)
		r = spill_set(ctx, store, "UPDATE store SET settled = ?1", settled);
	return end(ctx, store, r);
}

int spill_delete(struct sl_context *ctx, struct store *store, uint64_t floor, int64_t deadline)
{
	uint64_t before = 0, first = 0;
	int r = spill_ask(ctx, store, "SELECT coalesce(min(first), 0) FROM batches", &before, 1);

	if (r == 0)
		r = spill_begin(ctx, store, deadline);
	if (r == 0)
		r = spill_set(ctx, store,
			"DELETE FROM batches WHERE first IN (SELECT first FROM batches"
			" WHERE first < ?1 AND first + count <= min(?1, (SELECT settled FROM "
			"store))"
			" ORDER BY first LIMIT 64)",
			floor < INT64_MAX ? floor : INT64_MAX);
	if (r == 0)
		r = spill_ask(ctx, store, "SELECT coalesce(min(first), 0) FROM batches", &first, 1);
	r = end(ctx, store, r);
	return r > 0 && before == first ? 0 : r;
}

/* The file of an empty store becomes small again; what hinders it may go on hindering. */
void spill_shrink(struct store *store)
{
	sqlite3_stmt *s;
	int64_t pages = 0;

	if (sqlite3_prepare_v2(store->db, "PRAGMA freelist_count", -1, &s, NULL) == SQLITE_OK &&
		sqlite3_step(s) == SQLITE_ROW)
		pages = sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	if (pages < SHRINK_PAGES)
		return;
	(void)sqlite3_busy_timeout(store->db, 0);
	(void)sqlite3_exec(store->db, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	(void)sqlite3_busy_timeout(store->db, BUSY_MS);
}
