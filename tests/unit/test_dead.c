/* SPDX-License-Identifier: MIT */
/* The store of dead letters: each kept once, found by what it is named by, chosen, removed; and files that are not good. */
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
#include <sys/wait.h>
#include <unistd.h>

#include "state/dead.h"
#include "state/store.h"

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

static struct dead *open_it(void)
{
	struct dead *dead;
	struct err err = { 0 };

	if (dead_open(folder, true, &dead, &err) < 0)
		fail_msg("%s", err.text);
	return dead;
}

static struct dead_letter letter(uint64_t start, const char *stage, uint32_t index)
{
	return (struct dead_letter){
		.in = { .run = UINT64_MAX, .origin = UINT64_C(1) << 63, .start = start, .path = 7 },
		.stage = stage,
		.index = index,
		.attempts = 3,
		.time = 1234567890123456789,
		.where = "in.csv:17",
		.reason = "no such customer",
		.record = "\x01",
		.record_size = 1,
	};
}

static int put(struct dead *dead, struct dead_letter one)
{
	struct err err;

	return dead_put(dead, &one, &err);
}

static int count_one(void *user, const struct dead_letter *one)
{
	(void)one;
	return ++*(int *)user < 0;
}

static int count(struct dead *dead, struct dead_choice choice)
{
	struct err err;
	int all = 0;

	assert_int_equal(dead_walk(dead, &choice, 0, count_one, &all, &err), 0);
	return all;
}

static int compare(void *user, const struct dead_letter *found)
{
	const struct dead_letter *wanted = user;

	assert_true(found->id > 0);
	assert_true(found->in.run == wanted->in.run && found->in.origin == wanted->in.origin);
	assert_true(found->in.start == wanted->in.start && found->in.path == wanted->in.path);
	assert_string_equal(found->stage, wanted->stage);
	assert_int_equal(found->index, wanted->index);
	assert_int_equal(found->attempts, wanted->attempts);
	assert_true(found->time == wanted->time);
	assert_string_equal(found->where, wanted->where);
	assert_string_equal(found->reason, wanted->reason);
	assert_int_equal(found->record_size, wanted->record_size);
	assert_memory_equal(found->record, wanted->record, wanted->record_size);
	return 42;
}

static void a_letter_comes_back_whole(void **state)
{
	struct dead *dead = open_it();
	struct dead_letter one = letter(UINT64_MAX - 1, "ask", UINT32_MAX);
	struct err err;

	(void)state;
	assert_int_equal(put(dead, one), 1);
	dead_close(dead);
	dead = open_it();
	assert_int_equal(dead_walk(dead, &(struct dead_choice){ 0 }, 0, compare, &one, &err), 42);
	dead_close(dead);
}

static void the_same_letter_is_kept_once(void **state)
{
	struct dead *dead = open_it(), *other = open_it();
	struct dead_letter one = letter(5, "ask", 2);
	struct err err;

	(void)state;
	assert_int_equal(put(dead, one), 1);
	one.reason = "another reason";
	one.in.end = 99;
	assert_int_equal(put(other, one), 0);
	assert_int_equal(put(dead, letter(6, "ask", 2)), 1);
	assert_int_equal(put(dead, letter(5, "tell", 2)), 1);
	assert_int_equal(put(dead, letter(5, "ask", 3)), 1);
	assert_int_equal(count(dead, (struct dead_choice){ 0 }), 4);
	assert_int_equal(dead_has(other, &one.in, "ask", 2, &err), 1);
	assert_int_equal(dead_has(other, &one.in, "ask", 4, &err), 0);
	one.in.path++;
	assert_int_equal(dead_has(other, &one.in, "ask", 2, &err), 0);
	dead_close(dead);
	dead_close(other);
}

static void letters_are_chosen_and_removed(void **state)
{
	struct dead *dead = open_it();
	struct dead_letter unread = letter(9, "read", 0);
	struct err err;

	(void)state;
	unread.record = NULL;
	unread.where = NULL;
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(put(dead, letter(1, i < 3 ? "ask" : "tell", i)), 1);
	assert_int_equal(put(dead, unread), 1);
	assert_int_equal(count(dead, (struct dead_choice){ .stage = "ask" }), 3);
	assert_int_equal(count(dead, (struct dead_choice){ .id = 4 }), 1);
	assert_int_equal(count(dead, (struct dead_choice){ .last = 4 }), 4);
	assert_int_equal(count(dead, (struct dead_choice){ .is_whole = true }), 5);
	assert_int_equal(count(dead, (struct dead_choice){ .stage = "ask", .last = 2 }), 2);
	assert_int_equal(
		dead_purge(dead, &(struct dead_choice){ .stage = "ask", .last = 2 }, &err), 2);
	assert_int_equal(dead_purge(dead, &(struct dead_choice){ .is_whole = true }, &err), 3);
	assert_int_equal(count(dead, (struct dead_choice){ 0 }), 1);
	/* An id is never used twice: who purges up to one does not meet a later letter. */
	assert_int_equal(dead_purge(dead, &(struct dead_choice){ 0 }, &err), 1);
	assert_int_equal(put(dead, letter(1, "ask", 0)), 1);
	assert_int_equal(count(dead, (struct dead_choice){ .last = 6 }), 0);
	dead_close(dead);
}

static void is_refused(int expected, const char *text)
{
	struct dead *dead;
	struct err err = { 0 };

	assert_int_equal(dead_open(folder, true, &dead, &err), expected);
	if (!strstr(err.text, text) || !strstr(err.text, folder))
		fail_msg("expected \"%s\", found \"%s\"", text, err.text);
}

static void run_sql(const char *sql)
{
	char path[256];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/dead.db", folder);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
}

static void what_is_not_ours_is_refused(void **state)
{
	char path[256];
	struct dead *dead;
	struct err err = { 0 };
	FILE *file;

	(void)state;
	assert_int_equal(dead_open(folder, false, &dead, &err), -ENOENT);
	dead_close(open_it());
	run_sql("PRAGMA user_version = 2");
	is_refused(-EPROTO, "newer sluice (layout 2, this one knows 1)");
	run_sql("PRAGMA user_version = 1; PRAGMA application_id = 7");
	is_refused(-EBADMSG, "a database of something else");
	(void)snprintf(path, sizeof(path), "%s/dead.db", folder);
	file = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		(void)fputs("no database", file);
	(void)fclose(file);
	is_refused(-EBADMSG, "is damaged");
}

#define OPENERS 8

/* Opens the store that is not there yet, at the same time as others: 0 when it got it. */
static int open_with_others(int gate)
{
	struct dead *dead;
	struct err err = { 0 };
	char byte;

	(void)!read(gate, &byte, 1);
	return dead_open(folder, true, &dead, &err) < 0;
}

static void several_processes_make_it_at_once(void **state)
{
	int gate[2], status;

	for (int round = 0; round < 20; round++) {
		assert_int_equal(pipe(gate), 0);
		for (int i = 0; i < OPENERS; i++) {
			if (fork() > 0)
				continue;
			(void)close(gate[1]);
			_exit(open_with_others(gate[0]));
		}
		(void)close(gate[1]);
		(void)close(gate[0]);
		for (int i = 0; i < OPENERS; i++) {
			assert_true(wait(&status) > 0);
			assert_int_equal(status, 0);
		}
		remove_folder(state);
		assert_int_equal(make_folder(state), 0);
	}
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		TEST(a_letter_comes_back_whole),
		TEST(the_same_letter_is_kept_once),
		TEST(letters_are_chosen_and_removed),
		TEST(what_is_not_ours_is_refused),
		TEST(several_processes_make_it_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
