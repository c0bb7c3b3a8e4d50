/* SPDX-License-Identifier: MIT */
/* Origins: floors rise over settled prefixes only; a file's first batch names the file before it, empty ones passed over. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/ledger.h"
#include "link/tally.h"

static const struct graph graph = { .link_count = 1, .stage_count = 2 };

struct fixture {
	struct link_env env;
	struct origins *origins;
	uint64_t totals[6];
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .env = { .graph = &graph } };
	f.origins = origins_new(&f.env);
	*state = &f;
	return f.origins ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	origins_free(f->origins);
	floors_free(&f->env.floors);
	return 0;
}

/* Cuts [start, end) of an origin; its entry, NULL for an empty cut. */
static struct ledger_entry *cut_as(struct fixture *f, uint64_t origin, uint64_t start, uint64_t end,
	bool is_done, bool is_apart, uint64_t after, struct batch_head *ret)
{
	struct ledger_entry *entry = ledger_entry_new(&graph, 1);

	*ret = (struct batch_head){
		.id = { .run = 1, .origin = origin, .start = start, .end = end },
		.count = end > start,
		.origin_done = is_done,
	};
	if (origins_cut(f->origins, ret, is_apart, after, entry) == 0)
		return entry;
	ledger_entry_free(entry);
	return NULL;
}

static struct ledger_entry *cut(struct fixture *f, uint64_t origin, uint64_t start, uint64_t end,
	bool is_done, struct batch_head *ret)
{
	return cut_as(f, origin, start, end, is_done, false, 0, ret);
}

static void floors_rise_over_settled_prefixes(void **state)
{
	struct fixture *f = *state;
	struct batch_head head;
	struct ledger_entry *one = cut(f, 5, 0, 10, false, &head);
	struct ledger_entry *two = cut(f, 5, 10, 20, false, &head);

	one->tally[0] = 3;
	two->tally[0] = 4;
	origins_settle(f->origins, two, f->totals);
	assert_int_equal(floors_get(f->env.floors, 5), 0);
	assert_false(origins_are_settled(f->origins));
	origins_settle(f->origins, one, f->totals);
	assert_int_equal(floors_get(f->env.floors, 5), 20);
	assert_true(origins_are_settled(f->origins));
	assert_int_equal(f->totals[0], 7);
}

static void positions_must_continue(void **state)
{
	struct fixture *f = *state;
	struct ledger_entry *entry = ledger_entry_new(&graph, 1);
	struct batch_head head;

	assert_non_null(cut(f, 5, 0, 10, false, &head));
	head.id.start = 11;
	head.id.end = 12;
	assert_int_equal(origins_cut(f->origins, &head, false, 0, entry), -EPROTO);
	ledger_entry_free(entry);
}

static void empty_files_are_passed_over(void **state)
{
	struct fixture *f = *state;
	struct batch_head head;

	assert_non_null(cut(f, 5, 0, 10, true, &head));
	assert_int_equal(head.after_origin, 0);
	assert_null(cut(f, 6, 0, 0, true, &head));
	assert_non_null(cut(f, 7, 0, 10, false, &head));
	assert_int_equal(head.after_origin, 5);
	assert_int_equal(head.after_end, 10);
	assert_non_null(cut(f, 7, 10, 20, false, &head));
	assert_int_equal(head.after_origin, 0);
}

static void a_file_is_forgotten_behind_the_next(void **state)
{
	struct fixture *f = *state;
	struct batch_head head;
	struct ledger_entry *one = cut(f, 5, 0, 10, true, &head);
	struct ledger_entry *two = cut(f, 6, 0, 10, false, &head);

	origins_settle(f->origins, one, f->totals);
	assert_true(floors_knows(f->env.floors, 5));
	origins_settle(f->origins, two, f->totals);
	assert_false(floors_knows(f->env.floors, 5));
	assert_int_equal(floors_get(f->env.floors, 6), 10);
}

static void origins_that_are_apart_alternate(void **state)
{
	struct fixture *f = *state;
	struct batch_head head;
	struct ledger_entry *one = cut_as(f, 5, 0, 10, false, true, 0, &head);
	struct ledger_entry *two = cut_as(f, 6, 7, 20, false, true, 0, &head);

	assert_int_equal(head.after_origin, 0);
	assert_non_null(cut_as(f, 5, 10, 20, false, true, 0, &head));
	assert_int_equal(head.after_origin, 0);
	origins_settle(f->origins, two, f->totals);
	assert_int_equal(floors_get(f->env.floors, 6), 20);
	assert_int_equal(floors_get(f->env.floors, 5), 0);
	origins_settle(f->origins, one, f->totals);
	assert_int_equal(floors_get(f->env.floors, 5), 10);
	/* Done and settled it is forgotten; and it may go on. */
	assert_null(cut_as(f, 6, 20, 20, true, true, 0, &head));
	assert_false(floors_knows(f->env.floors, 6));
	assert_non_null(cut_as(f, 6, 20, 30, false, true, 0, &head));
}

static void one_that_is_apart_may_go_on_when_it_was_done(void **state)
{
	struct fixture *f = *state;
	struct batch_head head;
	struct ledger_entry *one = cut_as(f, 5, 0, 10, true, true, 0, &head);
	struct ledger_entry *two = cut_as(f, 5, 10, 20, false, true, 0, &head);

	assert_non_null(two);
	origins_settle(f->origins, one, f->totals);
	origins_settle(f->origins, two, f->totals);
	assert_int_equal(floors_get(f->env.floors, 5), 20);
}

static void one_that_is_apart_may_come_behind_another(void **state)
{
	struct fixture *f = *state;
	struct batch_head head;
	struct ledger_entry *one = cut_as(f, 5, 0, 10, true, true, 0, &head);
	struct ledger_entry *two = cut_as(f, 6, 0, 10, false, true, 5, &head);

	assert_int_equal(head.after_origin, 5);
	assert_int_equal(head.after_end, 10);
	/* What waits for it must be able to learn that it has come. */
	origins_settle(f->origins, one, f->totals);
	assert_int_equal(floors_get(f->env.floors, 5), 10);
	origins_settle(f->origins, two, f->totals);
	assert_false(floors_knows(f->env.floors, 5));
	/* Behind one that is settled and forgotten there is nothing to wait for. */
	assert_non_null(cut_as(f, 7, 0, 10, false, true, 5, &head));
	assert_int_equal(head.after_origin, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(floors_rise_over_settled_prefixes, setup, teardown),
		cmocka_unit_test_setup_teardown(positions_must_continue, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_files_are_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_file_is_forgotten_behind_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(origins_that_are_apart_alternate, setup, teardown),
		cmocka_unit_test_setup_teardown(
			one_that_is_apart_may_go_on_when_it_was_done, setup, teardown),
		cmocka_unit_test_setup_teardown(
			one_that_is_apart_may_come_behind_another, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
