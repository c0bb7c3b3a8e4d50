/* SPDX-License-Identifier: MIT */
/* What a sink remembers of the batches that it has committed: by name above the floor, and all that is below it; of one run, however many origins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "state/committed.h"

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

static struct committed *open_store(void)
{
	struct committed *c = NULL;
	struct err err = { 0 };

	assert_int_equal(committed_open(folder, "save", &c, &err), 0);
	return c;
}

static struct batch_head head_of(uint64_t run, uint64_t origin, uint64_t start, uint64_t floor)
{
	return (struct batch_head){
		.id = { .run = run,
			.origin = origin,
			.start = start,
			.end = start + 10,
			.path = 9 },
		.floor = floor,
	};
}

static int add(struct committed *c, const struct batch_head *head, uint64_t dead, bool is_new)
{
	return committed_add(c, head, dead, is_new, NULL);
}

static void keep(struct committed *c, const struct batch_head *head, uint64_t dead)
{
	assert_int_equal(committed_begin(c, NULL), 0);
	assert_int_equal(add(c, head, dead, true), 0);
	assert_int_equal(committed_end(c, head->id.run, 0, "mark", 4, NULL), 0);
}

/* -1: it is new; else how many of its records were given up. */
static int64_t dead_of(struct committed *c, const struct batch_head *head)
{
	uint64_t dead = 0;
	int r = committed_has(c, &head->id, &dead, NULL);

	assert_true(r >= 0);
	return r > 0 ? (int64_t)dead : -1;
}

static void names_stay_above_the_floor(void **state)
{
	struct committed *c = open_store();
	struct batch_head first = head_of(1, 5, 0, 0), second = head_of(1, 5, 10, 0);
	struct batch_head third = head_of(1, 5, 20, 10), late = head_of(1, 5, 0, 0);

	(void)state;
	keep(c, &first, 3);
	keep(c, &second, 2);
	assert_int_equal(dead_of(c, &first), 3);
	assert_int_equal(dead_of(c, &third), -1);
	/* The floor rises over the first: a late copy of it is still known. */
	keep(c, &third, 0);
	assert_int_equal(dead_of(c, &late), 0);
	assert_int_equal(dead_of(c, &second), 2);
	/* One that was behind brings an older floor along. */
	third = head_of(1, 5, 30, 0);
	keep(c, &third, 0);
	assert_int_equal(dead_of(c, &late), 0);
	assert_int_equal(committed_begin(c, NULL), 0);
	assert_int_equal(add(c, &second, 2, true), -EALREADY);
	committed_close(c);
}

static void another_run_is_another_store(void **state)
{
	struct committed *c = open_store();
	struct batch_head before = head_of(1, 5, 0, 0), now = head_of(2, 5, 0, 0);

	(void)state;
	keep(c, &before, 1);
	assert_int_equal(dead_of(c, &now), -1);
	/* What is taken back has forgotten nothing. */
	assert_int_equal(committed_begin(c, NULL), 0);
	assert_int_equal(add(c, &now, 0, true), 0);
	assert_int_equal(add(c, &now, 0, true), -EALREADY);
	assert_int_equal(dead_of(c, &before), 1);
	keep(c, &now, 0);
	assert_int_equal(dead_of(c, &now), 0);
	assert_int_equal(dead_of(c, &before), -1);
	committed_close(c);
}

/* A folder of small files: what one costs does not grow with those that were there before. */
static void many_origins_cost_no_more_each(void **state)
{
	struct committed *c = open_store();
	int64_t begin = clock_now();

	(void)state;
	for (uint64_t i = 0; i < MANY; i++) {
		struct batch_head head = head_of(1, i + 1, 0, 0);

		if (i % 1000 == 0)
			assert_int_equal(committed_begin(c, NULL), 0);
		assert_int_equal(add(c, &head, 0, true), 0);
		if (i % 1000 == 999)
			assert_int_equal(committed_end(c, 1, 0, "mark", 4, NULL), 0);
		assert_true(clock_now() - begin < MANY_PATIENCE);
	}
	committed_close(c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			names_stay_above_the_floor, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			another_run_is_another_store, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			many_origins_cost_no_more_each, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
