/* SPDX-License-Identifier: MIT */
/*
 * Whether there is disk for what is to be written. It is written twice, into the WAL and from there into the file, and it is the file that stays. A last part of
 * the disk is left to others: without a checkpoint of the source nothing could be deleted here, and it would stay full.
 */
#include "store.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#define LEFT (UINT64_C(16) << 20) /* at most a sixteenth of the disk */
#define WAL_LEFT (UINT64_C(8) << 20)
#define PAGE 16384

static uint64_t ask_pages(struct store *store, const char *sql)
{
	sqlite3_stmt *s;
	uint64_t pages = 0;

	if (sqlite3_prepare_v2(store->db, sql, -1, &s, NULL) == SQLITE_OK &&
		sqlite3_step(s) == SQLITE_ROW)
		pages = (uint64_t)sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	return pages;
}

/* Bytes by which the file will grow, of what is in the WAL and of `size` more. */
static uint64_t growth(struct store *store, size_t size)
{
	uint64_t pages = ask_pages(store, "PRAGMA page_count");
	uint64_t spare = ask_pages(store, "PRAGMA freelist_count") * PAGE;
	uint64_t more = size + size / 8;
	struct stat st;
	uint64_t is = stat(store->path, &st) == 0 ? (uint64_t)st.st_size : 0;

	return (pages * PAGE > is ? pages * PAGE - is : 0) + (more > spare ? more - spare : 0);
}

bool spill_has_disk(struct sl_context *ctx, struct store *store, size_t size)
{
	struct statvfs fs;
	uint64_t left, all;

	if (statvfs(sl_state(ctx), &fs) < 0 || fs.f_blocks == 0)
		return true;
	all = (uint64_t)fs.f_blocks * fs.f_frsize / 16;
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	return left > growth(store, size) + (size > WAL_LEFT ? size : WAL_LEFT) +
			      (all < LEFT ? all : LEFT);
}

void spill_empty_wal(struct store *store)
{
	(void)sqlite3_busy_timeout(store->db, 0);
	(void)sqlite3_exec(store->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	(void)sqlite3_busy_timeout(store->db, BUSY_MS);
}
