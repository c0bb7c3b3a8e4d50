/* SPDX-License-Identifier: MIT */
/* See keep.h. */
#include "keep.h"

#include <errno.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define BATCH_SIZE (256 << 10)

/* --- beginning and end -------------------------------------------------------------------------- */

static int save(struct sl_context *ctx, struct into *into)
{
	struct keep *keep = (struct keep *)into;

	return keep->stage->save(ctx, keep->user, keep);
}

/* One row. 0 or negative errno, said. */
static int load_row(struct sl_context *ctx, struct keep *keep, sqlite3_stmt *s)
{
	const void *bytes = sqlite3_column_blob(s, 2);
	size_t size = (size_t)sqlite3_column_bytes(s, 2);
	int r = -EBADMSG;

	if (XXH3_64bits(bytes ? bytes : "", size) == (uint64_t)sqlite3_column_int64(s, 1))
		r = keep->stage->load(ctx, keep->user, sqlite3_column_int64(s, 0), bytes, size);
	return r == -EBADMSG ? spill_damaged(ctx, &keep->into.store,
				       "what the stage knew is not what was written")
			     : r;
}

static int load(struct sl_context *ctx, struct keep *keep)
{
	sqlite3_stmt *s;
	int r = spill_prepare(
		ctx, &keep->into.store, "SELECT n, hash, bytes FROM state ORDER BY n", &s);
	int code = SQLITE_DONE;

	if (r < 0)
		return r;
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW)
		r = load_row(ctx, keep, s);
	if (r == 0 && code != SQLITE_DONE)
		r = spill_failed(ctx, &keep->into.store);
	(void)sqlite3_finalize(s);
	return r;
}

static int prepare(struct sl_context *ctx, struct keep *keep)
{
	struct store *store = &keep->into.store;
	int r = spill_prepare(
		ctx, store, "INSERT OR REPLACE INTO state VALUES (?1, ?2, ?3)", &keep->put);

	if (r == 0)
		r = spill_prepare(ctx, store,
			"DELETE FROM state WHERE n >= 0"
			" AND n < (SELECT max(n) FROM state WHERE n BETWEEN 0 AND ?1)",
			&keep->forget);
	return r == 0 ? spill_prepare(ctx, store, "DELETE FROM state WHERE n >= 0", &keep->clear)
		      : r;
}

int keep_open(struct sl_context *ctx, const struct spill *options, const struct keep_stage *stage,
	void *user, struct keep *keep)
{
	int r;

	keep->stage = stage;
	keep->user = user;
	keep->into.save = save;
	sl_writer_init(&keep->out);
	r = into_open(ctx, options, &keep->into);
	if (r == 0)
		r = prepare(ctx, keep);
	return r == 0 ? load(ctx, keep) : r;
}

void keep_close(struct keep *keep)
{
	(void)sqlite3_finalize(keep->put);
	(void)sqlite3_finalize(keep->forget);
	(void)sqlite3_finalize(keep->clear);
	into_close(&keep->into);
	sl_writer_fini(&keep->out);
}

/* --- batches ------------------------------------------------------------------------------------ */

int keep_had(
	struct sl_context *ctx, struct keep *keep, const struct sl_batch *in, int64_t *ret_consumed)
{
	struct sl_identity id = sl_batch_identity(in);
	uint64_t count = sl_batch_count(in), dead = 0;
	int r = into_had(ctx, &keep->into, &id, &dead);

	if (r <= 0)
		return r;
	/* Of a batch that was cut anew from a larger one it is not known which of them were given up. */
	dead = dead < count ? dead : count;
	sl_rejected_before(ctx, dead);
	*ret_consumed = (int64_t)(count - dead);
	return 1;
}

int keep_name(struct keep *keep, const struct sl_batch *in, uint32_t dead)
{
	return group_add(&keep->into.group,
		&(struct group_batch){ .id = sl_batch_identity(in), .dead = dead }, NULL);
}

int keep_give(struct keep *keep, bool all)
{
	struct sl_writer *out = &keep->out;
	int r;

	if (out->error)
		return -ENOMEM;
	if (out->count == 0 || (!all && out->mark < BATCH_SIZE))
		return 0;
	r = group_add(&keep->into.group,
		&(struct group_batch){ .count = out->count, .size = out->mark }, out->data);
	sl_writer_reset(out);
	return r;
}

int keep_commit(struct sl_context *ctx, struct keep *keep)
{
	int r = keep_give(keep, true);

	return r == 0 ? into_flush(ctx, &keep->into) : r;
}

/* --- state -------------------------------------------------------------------------------------- */

static int done(struct sl_context *ctx, struct keep *keep, sqlite3_stmt *s)
{
	int code = sqlite3_step(s);

	(void)sqlite3_reset(s);
	return code == SQLITE_DONE ? 0 : spill_failed(ctx, &keep->into.store);
}

int keep_put(struct sl_context *ctx, struct keep *keep, int64_t n, const void *bytes, size_t size)
{
	(void)sqlite3_bind_int64(keep->put, 1, n);
	(void)sqlite3_bind_int64(keep->put, 2, (sqlite3_int64)XXH3_64bits(bytes, size));
	(void)sqlite3_bind_blob64(keep->put, 3, bytes, size, SQLITE_STATIC);
	return done(ctx, keep, keep->put);
}

int keep_forget(struct sl_context *ctx, struct keep *keep, int64_t n)
{
	(void)sqlite3_bind_int64(keep->forget, 1, n);
	return done(ctx, keep, keep->forget);
}

int keep_clear(struct sl_context *ctx, struct keep *keep)
{
	return done(ctx, keep, keep->clear);
}
