/* SPDX-License-Identifier: MIT */
/* What a source leaves to its successor: its cuts, and the checkpoints behind them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "state/checkpoint.h"
#include "state/cuts.h"

#define CELLS 6

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

/* --- cuts ----------------------------------------------------------------------------------------- */

static int try_cuts(uint64_t run, uint64_t head, uint64_t shape, uint32_t cells, bool mixed,
	struct cuts **ret, struct err *err)
{
	return cuts_open(&(struct cuts_for){ .state = folder,
				 .stage = "read",
				 .instance = 1,
				 .run = run,
				 .head = head,
				 .shape = shape,
				 .cells = cells,
				 .accept_mixed = mixed },
		ret, err);
}

static struct cuts *open_cuts(uint64_t run, uint64_t head)
{
	struct cuts *cuts;
	struct err err = { 0 };

	if (try_cuts(run, head, 9, CELLS, false, &cuts, &err) < 0)
		fail_msg("%s", err.text);
	return cuts;
}

static struct cut cut_at(uint64_t run, uint64_t start)
{
	return (struct cut){ .run = run,
		.origin = UINT64_MAX,
		.start = start,
		.end = start + 10,
		.line = start / 2,
		.is_done = start == 20 };
}

/* Three cuts at 0, 10, 20; the second is settled. */
static void leave_three(void)
{
	const uint64_t tally[CELLS] = { 1, 2, 3, 4, 5, UINT64_MAX };
	struct cuts *cuts = open_cuts(7, 0);
	uint32_t slots[3];

	for (uint32_t i = 0; i < 3; i++) {
		struct cut cut = cut_at(7, 10 * (uint64_t)i);

		slots[i] = cuts_take(cuts, &cut);
		assert_int_equal(cuts_sequence(cuts, slots[i]), i + 1);
		assert_null(cuts_tally(cuts, slots[i]));
	}
	cuts_settle(cuts, slots[1], tally);
	cuts_close(cuts);
}

static void cuts_are_there_for_a_successor(void **state)
{
	struct cuts *cuts;
	struct cut cut;

	(void)state;
	leave_three();
	cuts = open_cuts(7, 0);
	assert_int_equal(cuts_left(cuts), 3);
	assert_int_equal(cuts_free_count(cuts), CUTS_MAX - 3);
	for (uint32_t i = 0; i < 3; i++) {
		cut = cuts_get(cuts, cuts_slot(cuts, i));
		assert_true(cut.origin == UINT64_MAX && cut.start == 10 * (uint64_t)i);
		assert_true(cut.end == cut.start + 10 && cut.line == cut.start / 2);
		assert_int_equal(cut.is_done, i == 2);
	}
	assert_null(cuts_tally(cuts, cuts_slot(cuts, 0)));
	assert_true(cuts_tally(cuts, cuts_slot(cuts, 1))[5] == UINT64_MAX);
	cuts_close(cuts);
}

static void what_the_checkpoint_covers_is_free(void **state)
{
	struct cuts *cuts;
	struct cut cut = cut_at(7, 30);

	(void)state;
	leave_three();
	cuts = open_cuts(7, 2);
	assert_int_equal(cuts_left(cuts), 1);
	assert_int_equal(cuts_get(cuts, cuts_slot(cuts, 0)).start, 20);
	/* Sequences are never used twice. */
	assert_int_equal(cuts_sequence(cuts, cuts_take(cuts, &cut)), 4);
	cuts_close(cuts);
}

static void cuts_of_another_run_are_nobodys(void **state)
{
	struct cuts *cuts;

	(void)state;
	leave_three();
	cuts = open_cuts(8, 0);
	assert_int_equal(cuts_left(cuts), 0);
	cuts_close(cuts);
}

static void all_slots_can_be_taken_and_freed(void **state)
{
	struct cuts *cuts = open_cuts(7, 0);
	struct cut cut = cut_at(7, 0);

	(void)state;
	for (uint32_t i = 0; i < CUTS_MAX; i++)
		assert_int_not_equal(cuts_take(cuts, &cut), UINT32_MAX);
	assert_int_equal(cuts_take(cuts, &cut), UINT32_MAX);
	cuts_free(cuts, 17);
	assert_int_equal(cuts_take(cuts, &cut), 17);
	cuts_close(cuts);
}

static void another_shape_is_refused_while_something_is_not_settled(void **state)
{
	struct cuts *cuts;
	struct err err = { 0 };

	(void)state;
	leave_three();
	assert_int_equal(try_cuts(7, 0, 10, CELLS, false, &cuts, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "--accept-mixed"));
	assert_int_equal(try_cuts(7, 0, 10, CELLS + 2, false, &cuts, &err), -EUCLEAN);
	/* Nothing of this run, or all of it settled: nobody minds. */
	assert_int_equal(try_cuts(7, 3, 10, CELLS + 2, false, &cuts, &err), 0);
	assert_int_equal(cuts_left(cuts), 0);
	cuts_close(cuts);
}

static void another_shape_may_be_accepted(void **state)
{
	struct cuts *cuts;
	struct err err = { 0 };

	(void)state;
	leave_three();
	assert_int_equal(try_cuts(7, 0, 10, CELLS + 2, true, &cuts, &err), 0);
	assert_int_equal(cuts_left(cuts), 0);
	cuts_close(cuts);
}

static void the_end_is_remembered_for_its_run(void **state)
{
	struct cuts *cuts = open_cuts(7, 0);
	uint64_t term = 0;
	int how = -1;

	(void)state;
	assert_false(cuts_has_ended(cuts, &how, &term));
	cuts_set_ended(cuts, 1, UINT64_MAX);
	cuts_close(cuts);
	cuts = open_cuts(7, 0);
	assert_true(cuts_has_ended(cuts, &how, &term));
	assert_true(how == 1 && term == UINT64_MAX);
	cuts_close(cuts);
	cuts = open_cuts(8, 0);
	assert_false(cuts_has_ended(cuts, &how, &term));
	cuts_close(cuts);
}

static void a_file_of_something_else_is_made_anew(void **state)
{
	char path[64];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/cuts.read.1", folder);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(
		write(fd, "nonsense, and no cuts at all, but longer than a header of them is", 64),
		64);
	(void)close(fd);
	cuts_close(open_cuts(7, 0));
}

static void a_process_that_is_killed_leaves_what_it_wrote(void **state)
{
	struct cuts *cuts;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		leave_three();
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	cuts = open_cuts(7, 0);
	assert_int_equal(cuts_left(cuts), 3);
	cuts_close(cuts);
}

/* --- checkpoints ---------------------------------------------------------------------------------- */

static struct checkpoint *open_checkpoint(uint32_t instance, uint64_t series, uint64_t shape)
{
	struct checkpoint *checkpoint;
	struct err err = { 0 };

	if (checkpoint_open(folder, "read", instance, series, shape, &checkpoint, &err) < 0)
		fail_msg("%s", err.text);
	return checkpoint;
}

static void put(struct checkpoint *checkpoint, uint64_t origin, uint64_t position, uint64_t head)
{
	const struct checkpoint_origin one = {
		.origin = origin,
		.place = { position, 3, position == 99, UINT64_MAX - position },
		.name = "in.csv",
	};
	const uint64_t cells[CELLS] = { head, 0, 0, 0, 0, UINT64_MAX };
	struct err err = { 0 };

	if (checkpoint_put(checkpoint, 7, &one, 1, head, cells, CELLS, &err) < 0)
		fail_msg("%s", err.text);
}

static bool knows(struct checkpoint *checkpoint, uint64_t origin, uint64_t position)
{
	struct checkpoint_place place = { 0 };
	struct err err = { 0 };
	int r = checkpoint_get(checkpoint, origin, &place, &err);

	assert_true(r >= 0);
	return r == 1 && place.position == position && place.line == 3 &&
	       place.is_done == (position == 99) && place.mark == UINT64_MAX - position;
}

static void a_checkpoint_is_found_again(void **state)
{
	struct checkpoint *checkpoint = open_checkpoint(0, 5, 1);
	uint64_t cells[CELLS] = { 0 };
	uint64_t head = 0;
	struct err err = { 0 };

	(void)state;
	put(checkpoint, UINT64_MAX, 50, 11);
	put(checkpoint, 4, 99, 12);
	checkpoint_close(checkpoint);
	checkpoint = open_checkpoint(0, 5, 1);
	assert_true(knows(checkpoint, UINT64_MAX, 50));
	assert_true(knows(checkpoint, 4, 99));
	assert_int_equal(checkpoint_counts(checkpoint, 7, &head, cells, CELLS, &err), 1);
	assert_int_equal(head, 12);
	assert_true(cells[0] == 12 && cells[5] == UINT64_MAX);
	/* Of another run nothing is counted. */
	assert_int_equal(checkpoint_counts(checkpoint, 8, &head, cells, CELLS, &err), 0);
	checkpoint_close(checkpoint);
}

static void another_series_knows_nothing_and_forgets_it(void **state)
{
	struct checkpoint *checkpoint = open_checkpoint(0, 5, 1);

	(void)state;
	put(checkpoint, 4, 50, 1);
	checkpoint_close(checkpoint);
	checkpoint = open_checkpoint(0, 6, 1);
	assert_false(knows(checkpoint, 4, 50));
	put(checkpoint, 9, 10, 1);
	checkpoint_close(checkpoint);
	checkpoint = open_checkpoint(0, 5, 1);
	assert_false(knows(checkpoint, 4, 50));
	checkpoint_close(checkpoint);
}

static void an_origin_is_kept_before_it_is_read(void **state)
{
	struct checkpoint *checkpoint = open_checkpoint(0, 5, 1), *other = open_checkpoint(1, 5, 1);
	struct checkpoint_origin first = { .origin = 4, .name = "log" };
	struct checkpoint_origin second = { .origin = 4, .place = { 7, 8 }, .name = "log.1" };
	struct checkpoint_origin found;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(checkpoint_find(checkpoint, 4, &found, &err), 0);
	assert_int_equal(checkpoint_begin(checkpoint, &first, &err), 0);
	/* Who comes second finds what the first one said. */
	assert_int_equal(checkpoint_begin(other, &second, &err), 0);
	assert_int_equal(checkpoint_find(other, 4, &found, &err), 1);
	assert_string_equal(found.name, "log");
	assert_int_equal(found.place.position, 0);
	assert_true(found.changed > 0);
	put(checkpoint, 4, 50, 1);
	assert_int_equal(checkpoint_begin(other, &second, &err), 0);
	assert_true(knows(other, 4, 50));
	checkpoint_close(checkpoint);
	checkpoint_close(other);
	/* What another series said is nothing. */
	other = open_checkpoint(1, 6, 1);
	assert_int_equal(checkpoint_find(other, 4, &found, &err), 0);
	assert_int_equal(checkpoint_begin(other, &second, &err), 0);
	assert_int_equal(checkpoint_find(other, 4, &found, &err), 1);
	assert_string_equal(found.name, "log.1");
	checkpoint_close(other);
}

static void all_origins_are_walked(void **state)
{
	const uint64_t origins[] = { 1, UINT64_MAX, UINT64_MAX / 2 + 2, 0 };
	struct checkpoint *checkpoint = open_checkpoint(0, 5, 1);
	struct checkpoint_origin found;
	const uint64_t *after = NULL;
	struct err err = { 0 };
	uint64_t sum = 0;
	int count = 0, done = 0;

	(void)state;
	for (int i = 0; i < 4; i++)
		put(checkpoint, origins[i], 10, 1);
	put(checkpoint, 77, 99, 1);
	while (checkpoint_next(checkpoint, after, &found, &err) == 1) {
		after = &found.origin;
		sum += found.origin;
		count++;
		done += found.place.is_done;
	}
	assert_int_equal(count, 5);
	assert_int_equal(done, 1);
	assert_true(sum == origins[0] + origins[1] + origins[2] + origins[3] + 77);
	checkpoint_close(checkpoint);
}

static void counts_of_another_shape_are_left_out(void **state)
{
	struct checkpoint *checkpoint = open_checkpoint(0, 5, 1);
	uint64_t cells[CELLS + 2] = { 0 };
	uint64_t head = 0;
	struct err err = { 0 };

	(void)state;
	put(checkpoint, 4, 50, 13);
	checkpoint_close(checkpoint);
	checkpoint = open_checkpoint(0, 5, 2);
	assert_int_equal(checkpoint_counts(checkpoint, 7, &head, cells, CELLS + 2, &err), 1);
	assert_int_equal(head, 13);
	assert_true(cells[0] == 0 && cells[5] == 0);
	checkpoint_close(checkpoint);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(cuts_are_there_for_a_successor),
		IN_FOLDER(what_the_checkpoint_covers_is_free),
		IN_FOLDER(cuts_of_another_run_are_nobodys),
		IN_FOLDER(all_slots_can_be_taken_and_freed),
		IN_FOLDER(another_shape_is_refused_while_something_is_not_settled),
		IN_FOLDER(another_shape_may_be_accepted),
		IN_FOLDER(the_end_is_remembered_for_its_run),
		IN_FOLDER(a_file_of_something_else_is_made_anew),
		IN_FOLDER(a_process_that_is_killed_leaves_what_it_wrote),
		IN_FOLDER(a_checkpoint_is_found_again),
		IN_FOLDER(another_series_knows_nothing_and_forgets_it),
		IN_FOLDER(an_origin_is_kept_before_it_is_read),
		IN_FOLDER(all_origins_are_walked),
		IN_FOLDER(counts_of_another_shape_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
