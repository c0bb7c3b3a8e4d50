/* SPDX-License-Identifier: MIT */
/*
 * A point holds all that the stores held when it was made, though only what was changed is copied: after any history, of points that were made
 * again too, of states that an older layout wrote, and of what going back leaves. And going back is to that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "state/checkpoint.h"
#include "state/committed.h"
#include "state/point.h"

#define ORIGINS 12
#define ROUNDS 300
#define MANY 20000
#define MANY_PATIENCE (20 * NSEC_PER_SEC) /* it takes some tenths of a second */

static char folder[] = "/tmp/sluice-test-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

static int make_folder(void **state)
{
	(void)state;
	memcpy(strstr(folder, "test-") + 5, "XXXXXX", 6);
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct store_kind sink_kind(void)
{
	static char name[COMMITTED_NAME_MAX];

	return committed_kind("save", name);
}

/* One number that a statement answers. */
static int64_t ask(const struct store_kind *kind, const char *sql)
{
	struct err err = { 0 };
	sqlite3_stmt *statement;
	sqlite3 *db;
	int64_t number;

	assert_int_equal(store_open(folder, kind, false, &db, &err), 0);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	number = sqlite3_column_int64(statement, 0);
	(void)sqlite3_finalize(statement);
	(void)sqlite3_close_v2(db);
	return number;
}

/* How many rows only one of two tables has. */
static int64_t count_different(
	const struct store_kind *kind, const char *columns, const char *table, uint64_t number)
{
	char sql[600];

	(void)snprintf(sql, sizeof(sql),
		"SELECT (SELECT count(*) FROM (SELECT %1$s FROM %2$s EXCEPT SELECT %1$s FROM "
		"point_%2$s WHERE slot = %3$u)) + (SELECT count(*) FROM (SELECT %1$s FROM "
		"point_%2$s WHERE slot = %3$u EXCEPT SELECT %1$s FROM %2$s))",
		columns, table, point_slot(number));
	return ask(kind, sql);
}

#define ORIGIN_COLUMNS "stage, origin, series, position, line, is_done, name, mark"
#define BATCH_COLUMNS "run, origin, path, start, stop, dead"

static void check_slot(uint64_t number)
{
	struct store_kind sink = sink_kind();

	assert_int_equal(count_different(&checkpoint_kind, ORIGIN_COLUMNS, "origins", number), 0);
	assert_int_equal(count_different(&sink, BATCH_COLUMNS, "batches", number), 0);
	assert_int_equal(count_different(&sink, "instance, run, mark", "marks", number), 0);
}

static void save(uint64_t number)
{
	struct err err = { 0 };

	assert_int_equal(point_save_sources(folder, number, &err), 0);
	assert_int_equal(point_save_sink(folder, "save", number, &err), 0);
}

/* --- histories ---------------------------------------------------------------------------------- */

struct history {
	uint64_t run; /* and the series */
	uint64_t position;
	struct checkpoint *checkpoint;
	struct committed *committed;
};

static void open_history(struct history *h)
{
	struct err err = { 0 };

	assert_int_equal(checkpoint_open(folder, "read", 0, h->run, 1, &h->checkpoint, &err), 0);
	assert_int_equal(committed_open(folder, "save", &h->committed, &err), 0);
}

static void close_history(struct history *h)
{
	checkpoint_close(h->checkpoint);
	committed_close(h->committed);
}

static void put(struct history *h, uint64_t origin)
{
	struct checkpoint_origin row = { .origin = origin, .place = { .position = h->position } };
	struct err err = { 0 };
	uint64_t cell = h->position;

	assert_int_equal(checkpoint_put(h->checkpoint, h->run, &row, 1, 0, &cell, 1, &err), 0);
}

static void begin_origin(struct history *h, uint64_t origin)
{
	struct checkpoint_origin row = { .origin = origin, .name = "begun" };
	struct err err = { 0 };

	assert_int_equal(checkpoint_begin(h->checkpoint, &row, &err), 0);
}

/* Half of them with a floor that forgets what was before. */
static void commit(struct history *h, uint64_t origin, bool raises)
{
	struct batch_head head = {
		.id = { .run = h->run,
			.origin = origin,
			.start = h->position,
			.end = h->position + 10,
			.path = 9 },
		.floor = raises ? h->position : 0,
	};
	struct err err = { 0 };

	assert_int_equal(committed_begin(h->committed, &err), 0);
	assert_int_equal(committed_add(h->committed, &head, 0, false, &err), 0);
	/* What is there already changes nothing. */
	assert_int_equal(committed_add(h->committed, &head, 0, false, &err), 0);
	assert_int_equal(committed_end(h->committed, h->run, (uint32_t)(origin % 3), &head,
				 sizeof(head.id), &err),
		0);
}

static void go_back(struct history *h, uint64_t number)
{
	struct err err = { 0 };

	close_history(h);
	assert_int_equal(point_restore_sources(folder, number, h->run, &err), 0);
	assert_int_equal(point_restore_sink(folder, "save", number, h->run, &err), 0);
	open_history(h);
}

/* Something happens. */
static void live(struct history *h, unsigned what, uint64_t origin)
{
	h->position += 10;
	switch (what) {
	case 0:
		begin_origin(h, origin);
		break;
	case 1:
		close_history(h);
		h->run++;
		open_history(h);
		put(h, origin);
		break;
	case 2:
	case 3:
	case 4:
		put(h, origin);
		break;
	default:
		commit(h, origin, what % 2);
		break;
	}
}

/* A point that was not sealed is made again, in the same slot. */
static void test_slots_hold_what_there_was(void **state)
{
	struct history h = { .run = 1 };
	uint64_t last = 0;

	(void)state;
	srandom(7);
	open_history(&h);
	put(&h, 0);
	for (int round = 0; round < ROUNDS; round++) {
		int count = (int)(random() % 8);

		for (int i = 0; i < count; i++)
			live(&h, (unsigned)(random() % 40) % 12, (uint64_t)(random() % ORIGINS));
		save(last + 1);
		check_slot(last + 1);
		if (random() % 3 > 0)
			last++;
		if (random() % 30 == 0)
			go_back(&h, last);
	}
	close_history(&h);
}

static void test_going_back(void **state)
{
	struct history h = { .run = 1 };
	struct store_kind sink = sink_kind();

	(void)state;
	open_history(&h);
	for (uint64_t origin = 0; origin < ORIGINS; origin++) {
		put(&h, origin);
		commit(&h, origin, false);
	}
	save(1);
	save(2);
	h.position = 100;
	put(&h, 3);
	put(&h, ORIGINS + 1);
	commit(&h, 3, true);
	commit(&h, ORIGINS + 1, true);
	go_back(&h, 2);
	check_slot(1);
	check_slot(2);
	assert_int_equal(ask(&checkpoint_kind, "SELECT sum(position) FROM origins"), 0);
	assert_int_equal(ask(&sink, "SELECT sum(stop) FROM batches"), ORIGINS * 10);
	close_history(&h);
}

/* --- older states -------------------------------------------------------------------------------- */

static void run_in(struct store_kind kind, int layout, const char *sql)
{
	struct err err = { 0 };
	sqlite3 *db;

	kind.step_count = layout;
	assert_int_equal(store_open(folder, &kind, true, &db, &err), 0);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close_v2(db);
}

/* The layouts that knew nothing of what is stale. Their slots are as old as their points were. */
static void test_an_older_layout_is_brought_up_to_date(void **state)
{
	struct store_kind sink = sink_kind();

	(void)state;
	run_in(checkpoint_kind, 3,
		"INSERT INTO origins VALUES ('read', 1, 5, 70, 0, 0, 'a', datetime(), 0),"
		" ('read', 2, 5, 80, 0, 0, 'b', datetime(), 0);"
		"INSERT INTO point_origins SELECT 0, stage, origin, series, 60, line, is_done, "
		"name, "
		"changed, mark FROM origins;"
		"INSERT INTO point_origins VALUES (1, 'read', 9, 5, 1, 0, 0, 'gone', datetime(), "
		"0)");
	run_in(sink, 2,
		"INSERT INTO batches VALUES (5, 1, 0, 0, 50, 0), (5, 1, 9, 60, 70, 0);"
		"INSERT INTO point_batches VALUES (0, 5, 1, 0, 0, 40, 0), (1, 4, 1, 9, 0, 10, 0);"
		"INSERT INTO marks VALUES (0, 5, x'01', x'00')");
	save(3);
	check_slot(3);
	save(4);
	check_slot(4);
	check_slot(3);
}

/* --- many ---------------------------------------------------------------------------------------- */

/* How many of both stores. */
static int64_t count_stale(unsigned slot)
{
	struct store_kind sink = sink_kind();
	char sql[80];

	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM stale_origins WHERE slots & %u",
		1u << slot);
	return ask(&checkpoint_kind, sql) + ask(&sink, sql);
}

static void put_many(struct history *h)
{
	struct checkpoint_origin *rows = calloc(MANY, sizeof(*rows));
	struct err err = { 0 };
	uint64_t cell = 0;

	assert_non_null(rows);
	for (uint64_t i = 0; i < MANY; i++)
		rows[i] = (struct checkpoint_origin){ .origin = i * UINT64_C(0x9e3779b97f4a7c15),
			.place = { .position = 10 } };
	assert_int_equal(checkpoint_put(h->checkpoint, h->run, rows, MANY, 0, &cell, 1, &err), 0);
	free(rows);
}

static void test_of_many_origins_those_that_changed_are_copied(void **state)
{
	struct history h = { .run = 1 };

	(void)state;
	open_history(&h);
	put_many(&h);
	assert_true(count_stale(0) == MANY && count_stale(1) == MANY);
	save(1);
	save(2);
	assert_true(count_stale(0) == 0 && count_stale(1) == 0);
	put(&h, 0);
	commit(&h, 0, false);
	assert_true(count_stale(0) == 2 && count_stale(1) == 2);
	save(3);
	assert_true(count_stale(0) == 2 && count_stale(1) == 0);
	check_slot(3);
	close_history(&h);
}

/* After a power cut each origin may have a bound. Comparing each with each would take minutes. */
static void test_many_bounds(void **state)
{
	struct history h = { .run = 1 };
	struct point_bounds *bounds;
	struct err err = { 0 };
	int64_t begin;

	(void)state;
	open_history(&h);
	put_many(&h);
	assert_int_equal(point_begin_bounds(folder, &bounds, &err), 0);
	for (uint64_t i = 0; i < MANY; i++)
		assert_int_equal(point_add_bound(bounds, i * UINT64_C(0x9e3779b97f4a7c15),
					 i % 2 ? 10 : 20, &err),
			0);
	assert_int_equal(point_end_bounds(bounds, true, &err), 0);
	begin = clock_now();
	save(1);
	assert_true(clock_now() - begin < MANY_PATIENCE);
	assert_int_equal(ask(&checkpoint_kind, "SELECT count(*) FROM bounds"), MANY / 2);
	h.position = 20;
	put(&h, 0);
	save(2);
	assert_int_equal(ask(&checkpoint_kind, "SELECT count(*) FROM bounds"), MANY / 2 - 1);
	close_history(&h);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_slots_hold_what_there_was),
		IN_FOLDER(test_going_back),
		IN_FOLDER(test_an_older_layout_is_brought_up_to_date),
		IN_FOLDER(test_of_many_origins_those_that_changed_are_copied),
		IN_FOLDER(test_many_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
