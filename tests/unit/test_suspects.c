/* SPDX-License-Identifier: MIT */
/* supervisor/suspects.h and engine/quarantine.h: what one writes into the shared page and the other reads there. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/quarantine.h"
#include "supervisor/suspects.h"

#define STAGE 3

static const struct batch_id first = { .run = 1, .origin = 7, .start = 100, .end = 200, .path = 9 };
static const struct batch_id second = {
	.run = 1, .origin = 7, .start = 200, .end = 300, .path = 9
};

struct world {
	struct page page;
	struct page_shared shared;
	struct host host;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->host.stage_index = STAGE;
	world->host.shared_page = &world->shared;
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static void work_on(
	struct page_work *work, const struct batch_id *id, uint32_t index, enum page_work_kind kind)
{
	work->run = id->run;
	work->origin = id->origin;
	work->start = id->start;
	work->path = id->path;
	work->index = index;
	work->kind = kind;
}

static enum suspects_verdict die(
	struct world *world, const struct batch_id *id, uint32_t index, enum page_work_kind kind)
{
	enum suspects_verdict verdict;

	work_on(&world->page.culprit, id, index, kind);
	verdict = suspects_blame(&world->shared, STAGE, &world->page, -1, SIGSEGV);
	suspects_forget_work(&world->page);
	return verdict;
}

static struct quarantine *look(const struct world *world, const struct batch_id *id)
{
	struct quarantine *quarantine;

	assert_int_equal(quarantine_look(&world->host, id, &quarantine), 0);
	return quarantine;
}

/* Killed at its limit, nobody could say where it stood; or an error said so. */
static void out_of_memory_is_a_reason(void **state)
{
	struct graph_stage stage = { .name = "eat", .memory_max = 64 << 20 };
	struct world *world = *state;
	struct sl_batch batch = { .head.id = first };
	struct callback callback = {
		.host = &world->host, .batch = &batch, .index = 5, .kind = PAGE_WORK_RECORD
	};
	struct quarantine *known;

	world->host.stage = &stage;
	world->host.page = &world->page;
	work_on(&world->page.workers[2].work, &first, 5, PAGE_WORK_RECORD);
	assert_int_equal(
		suspects_blame(&world->shared, STAGE, &world->page, -1, PAGE_CAUSE_NO_MEMORY),
		SUSPECTS_FOUND);
	suspects_forget_work(&world->page);
	quarantine_note_end(&callback, -EIO);
	assert_int_equal(world->page.culprit.kind, PAGE_WORK_NONE);
	callback.kind = PAGE_WORK_ALONE;
	quarantine_note_end(&callback, -ENOMEM);
	assert_int_equal(
		suspects_blame(&world->shared, STAGE, &world->page, -1, PAGE_CAUSE_NO_MEMORY),
		SUSPECTS_NAMED);
	known = look(world, &first);
	assert_int_equal(quarantine_poison(known, 5)->cause, PAGE_CAUSE_NO_MEMORY);
	free(known);
	suspects_forget_work(&world->page);
	stage.memory_max = 0;
	quarantine_note_end(&callback, -ENOMEM);
	assert_int_equal(world->page.culprit.kind, PAGE_WORK_NONE);
}

static void two_deaths_name_a_record(void **state)
{
	struct world *world = *state;
	struct quarantine *known;

	assert_null(look(world, &first));
	assert_int_equal(die(world, &first, 17, PAGE_WORK_RECORD), SUSPECTS_FOUND);
	assert_true(quarantine_is_suspected(&world->host, &first));
	assert_false(quarantine_is_suspected(&world->host, &second));
	known = look(world, &first);
	assert_true(known->is_suspected);
	assert_int_equal(quarantine_suspect(known, 0), 17);
	assert_int_equal(quarantine_suspect(known, 1), PAGE_ANY_RECORD);
	assert_true(quarantine_suspects(known, 17));
	assert_null(quarantine_poison(known, 17));
	free(known);

	assert_int_equal(die(world, &first, 17, PAGE_WORK_ALONE), SUSPECTS_NAMED);
	assert_false(quarantine_is_suspected(&world->host, &first));
	known = look(world, &first);
	assert_false(known->is_suspected);
	assert_non_null(quarantine_poison(known, 17));
	assert_int_equal(quarantine_poison(known, 17)->cause, SIGSEGV);
	assert_null(quarantine_poison(known, 18));
	assert_int_equal(quarantine_suspect(known, 0), PAGE_ANY_RECORD);
	free(known);
	assert_int_equal(suspects_unexplained(&world->shared, STAGE), 0);
}

static void another_stage_knows_nothing_of_it(void **state)
{
	struct world *world = *state;

	assert_int_equal(die(world, &first, 17, PAGE_WORK_RECORD), SUSPECTS_FOUND);
	world->host.stage_index = STAGE + 1;
	assert_null(look(world, &first));
}

static void a_whole_batch_is_suspected_until_its_record_is_known(void **state)
{
	struct world *world = *state;
	struct quarantine *known;

	assert_int_equal(die(world, &first, 5, PAGE_WORK_BATCH), SUSPECTS_FOUND);
	known = look(world, &first);
	assert_true(known->is_suspected);
	assert_int_equal(quarantine_suspect(known, 0), PAGE_ANY_RECORD);
	free(known);
	assert_int_equal(die(world, &first, 42, PAGE_WORK_ALONE), SUSPECTS_NAMED);
	/* And the next one in what is left of it. */
	assert_int_equal(die(world, &first, 0, PAGE_WORK_BATCH), SUSPECTS_FOUND);
	assert_int_equal(die(world, &first, 77, PAGE_WORK_ALONE), SUSPECTS_NAMED);
	known = look(world, &first);
	assert_false(known->is_suspected);
	assert_int_equal(known->count, 2);
	assert_non_null(quarantine_poison(known, 42));
	assert_non_null(quarantine_poison(known, 77));
	free(known);
}

static void without_a_word_all_workers_are_suspected_and_the_others_excused(void **state)
{
	struct world *world = *state;
	struct page_worker *workers = world->page.workers;

	work_on(&workers[0].work, &first, 3, PAGE_WORK_RECORD);
	work_on(&workers[1].work, &first, 8, PAGE_WORK_RECORD);
	work_on(&workers[2].work, &second, 1, PAGE_WORK_RECORD);
	assert_int_equal(
		suspects_blame(&world->shared, STAGE, &world->page, -1, SIGABRT), SUSPECTS_FOUND);
	suspects_forget_work(&world->page);
	assert_true(quarantine_is_suspected(&world->host, &first));
	assert_true(quarantine_is_suspected(&world->host, &second));
	quarantine_clear(&world->host, &first, 3, false);
	assert_int_equal(suspects_unexplained(&world->shared, STAGE), 0);
	assert_int_equal(die(world, &first, 8, PAGE_WORK_ALONE), SUSPECTS_NAMED);
	assert_false(quarantine_is_suspected(&world->host, &second));
	assert_int_equal(suspects_unexplained(&world->shared, STAGE), 0);
}

static void a_death_that_nothing_explains_counts_once(void **state)
{
	struct world *world = *state;
	struct page_worker *workers = world->page.workers;

	work_on(&workers[0].work, &first, 3, PAGE_WORK_RECORD);
	work_on(&workers[1].work, &second, 8, PAGE_WORK_RECORD);
	assert_int_equal(
		suspects_blame(&world->shared, STAGE, &world->page, -1, SIGABRT), SUSPECTS_FOUND);
	quarantine_clear(&world->host, &first, 4, false);
	assert_true(quarantine_is_suspected(&world->host, &first));
	quarantine_clear(&world->host, &first, 3, false);
	quarantine_clear(&world->host, &second, PAGE_ANY_RECORD, false);
	assert_int_equal(suspects_unexplained(&world->shared, STAGE + 1), 0);
	assert_int_equal(suspects_unexplained(&world->shared, STAGE), 1);
	assert_int_equal(suspects_unexplained(&world->shared, STAGE), 0);
	assert_null(look(world, &first));
	/* What was accounted for otherwise does not. */
	suspects_forget_work(&world->page);
	assert_int_equal(die(world, &first, 5, PAGE_WORK_BATCH), SUSPECTS_FOUND);
	quarantine_clear(&world->host, &first, PAGE_ANY_RECORD, true);
	assert_int_equal(suspects_unexplained(&world->shared, STAGE), 0);
	assert_null(look(world, &first));
}

static void nobody_is_blamed_for_nothing(void **state)
{
	struct world *world = *state;

	assert_int_equal(
		suspects_blame(&world->shared, STAGE, &world->page, -1, SIGSEGV), SUSPECTS_NOBODY);
	assert_int_equal(die(world, &first, 1, PAGE_WORK_NOBODYS), SUSPECTS_NOBODY);
	/* The one that said that it was nobody's fault has the last word over what workers were at. */
	work_on(&world->page.workers[0].work, &first, 3, PAGE_WORK_RECORD);
	assert_int_equal(die(world, &first, 1, PAGE_WORK_NOBODYS), SUSPECTS_NOBODY);
	assert_null(look(world, &first));
	assert_false(suspects_is_fault(SIGKILL));
	assert_false(suspects_is_fault(SIGTERM));
	assert_true(suspects_is_fault(SIGSEGV) && suspects_is_fault(SIGABRT) &&
		    suspects_is_fault(SIGFPE));
}

static void only_the_worker_that_hung_is_blamed(void **state)
{
	struct world *world = *state;
	struct quarantine *known;

	work_on(&world->page.workers[0].work, &first, 3, PAGE_WORK_RECORD);
	work_on(&world->page.workers[1].work, &second, 8, PAGE_WORK_RECORD);
	assert_int_equal(suspects_blame(&world->shared, STAGE, &world->page, 1, PAGE_CAUSE_HUNG),
		SUSPECTS_FOUND);
	assert_null(look(world, &first));
	known = look(world, &second);
	assert_int_equal(known->records[0].cause, PAGE_CAUSE_HUNG);
	free(known);
}

static void the_same_suspect_stands_once(void **state)
{
	struct world *world = *state;
	struct quarantine *known;

	for (int i = 0; i < 3; i++)
		assert_int_equal(die(world, &first, 17, PAGE_WORK_RECORD), SUSPECTS_FOUND);
	known = look(world, &first);
	assert_int_equal(known->count, 1);
	free(known);
}

static void suspects_are_bounded_and_old_poison_gives_way(void **state)
{
	struct world *world = *state;
	struct quarantine *known;
	struct batch_id id = first;

	for (uint32_t i = 0; i < SUSPECTS_PER_STAGE; i++)
		assert_int_equal(die(world, &first, i, PAGE_WORK_RECORD), SUSPECTS_FOUND);
	assert_int_equal(die(world, &first, 1000, PAGE_WORK_RECORD), SUSPECTS_NOBODY);
	quarantine_clear(&world->host, &first, PAGE_ANY_RECORD, true);
	(void)suspects_unexplained(&world->shared, STAGE);
	for (uint32_t i = 0; i < PAGE_SUSPECTS_MAX + 10; i++) {
		id.start = 1000 + i;
		assert_int_equal(die(world, &id, i, PAGE_WORK_ALONE), SUSPECTS_NAMED);
	}
	assert_int_equal(world->shared.suspects_used, PAGE_SUSPECTS_MAX);
	known = look(world, &id);
	assert_non_null(quarantine_poison(known, PAGE_SUSPECTS_MAX + 9));
	free(known);
	id.start = 1000;
	assert_null(look(world, &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(out_of_memory_is_a_reason, set_up, tear_down),
		cmocka_unit_test_setup_teardown(two_deaths_name_a_record, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			another_stage_knows_nothing_of_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_whole_batch_is_suspected_until_its_record_is_known, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			without_a_word_all_workers_are_suspected_and_the_others_excused, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_death_that_nothing_explains_counts_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_is_blamed_for_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			only_the_worker_that_hung_is_blamed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_same_suspect_stands_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			suspects_are_bounded_and_old_poison_gives_way, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
