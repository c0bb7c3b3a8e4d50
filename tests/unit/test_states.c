/* SPDX-License-Identifier: MIT */
/*
 * The state tables, walked: every pair is either refused or leads to a state there is; from every state the end can be
 * reached; and the paths that a run takes lead where they should.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "link/states.h"
#include "supervisor/policy.h"

static void check_table(const int *table, int states, int events, int last)
{
	bool can_end[16] = { false };
	bool has_changed = true;

	can_end[last] = true;
	while (has_changed) {
		has_changed = false;
		for (int s = 0; s < states; s++) {
			for (int e = 0; e < events; e++) {
				int next = table[s * events + e];

				assert_true(next == -EPROTO || (next >= 0 && next < states));
				if (next >= 0 && can_end[next] && !can_end[s])
					has_changed = can_end[s] = true;
			}
		}
	}
	for (int s = 0; s < states; s++)
		assert_true(can_end[s]);
}

static void every_state_can_end(void **state)
{
	(void)state;
	check_table(
		&outlet_peer_table[0][0], OUTLET_PEER_STATES, OUTLET_PEER_EVENTS, OUTLET_PEER_DONE);
	check_table(&inlet_peer_table[0][0], INLET_PEER_STATES, INLET_PEER_EVENTS, INLET_PEER_LEFT);
	check_table(&instance_table[0][0], INSTANCE_STATES, INSTANCE_EVENTS, INSTANCE_DONE);
}

static void outlet_paths(void **state)
{
	(void)state;
	/* A run. */
	assert_int_equal(outlet_peer_next(OUTLET_PEER_ABSENT, OUTLET_PEER_HELLO), OUTLET_PEER_LIVE);
	assert_int_equal(
		outlet_peer_next(OUTLET_PEER_LIVE, OUTLET_PEER_SENTINEL), OUTLET_PEER_ENDED);
	assert_int_equal(outlet_peer_next(OUTLET_PEER_ENDED, OUTLET_PEER_BYE), OUTLET_PEER_DONE);
	/* A crash behind the sentinel stands in for no BYE: its successor gets the sentinel again. */
	assert_int_equal(outlet_peer_next(OUTLET_PEER_ENDED, OUTLET_PEER_GONE), OUTLET_PEER_ABSENT);
	/* An exit 0 does; and its BYE may still be on the way. */
	assert_int_equal(outlet_peer_next(OUTLET_PEER_ENDED, OUTLET_PEER_FINISH), OUTLET_PEER_DONE);
	assert_int_equal(outlet_peer_next(OUTLET_PEER_DONE, OUTLET_PEER_BYE), OUTLET_PEER_DONE);
	/* A second HELLO of a live process, a BYE before the sentinel. */
	assert_int_equal(outlet_peer_next(OUTLET_PEER_LIVE, OUTLET_PEER_HELLO), -EPROTO);
	assert_int_equal(outlet_peer_next(OUTLET_PEER_LIVE, OUTLET_PEER_BYE), -EPROTO);
}

static void inlet_paths(void **state)
{
	(void)state;
	assert_int_equal(inlet_peer_next(INLET_PEER_ABSENT, INLET_PEER_UP), INLET_PEER_OPEN);
	assert_int_equal(inlet_peer_next(INLET_PEER_OPEN, INLET_PEER_SENTINEL), INLET_PEER_ENDED);
	assert_int_equal(inlet_peer_next(INLET_PEER_ENDED, INLET_PEER_BYE), INLET_PEER_LEFT);
	assert_int_equal(inlet_peer_next(INLET_PEER_OPEN, INLET_PEER_GONE), INLET_PEER_ABSENT);
	assert_int_equal(inlet_peer_next(INLET_PEER_ENDED, INLET_PEER_GONE), INLET_PEER_ABSENT);
	/* It finished before we came. */
	assert_int_equal(inlet_peer_next(INLET_PEER_ABSENT, INLET_PEER_FINISH), INLET_PEER_LEFT);
	assert_int_equal(inlet_peer_next(INLET_PEER_ABSENT, INLET_PEER_SENTINEL), -EPROTO);
}

static void instance_path(void **state)
{
	enum instance_state at = INSTANCE_STARTING;

	(void)state;
	for (int event = 0; event < INSTANCE_EVENTS; event++) {
		for (int other = 0; other < INSTANCE_EVENTS; other++)
			if (other != event)
				assert_int_equal(instance_next(at, other), -EPROTO);
		at = instance_next(at, event);
	}
	assert_int_equal(at, INSTANCE_DONE);
}

static void child_paths(void **state)
{
	(void)state;
	assert_int_equal(child_next(CHILD_NEW, CHILD_SPAWN), CHILD_STARTING);
	assert_int_equal(child_next(CHILD_STARTING, CHILD_READY), CHILD_RUNNING);
	assert_int_equal(child_next(CHILD_RUNNING, CHILD_DONE), CHILD_LEAVING);
	assert_int_equal(child_next(CHILD_LEAVING, CHILD_EXIT), CHILD_FINISHED);
	/* An exit 0 without DONE is a death like any other. */
	assert_int_equal(child_next(CHILD_RUNNING, CHILD_EXIT), -EPROTO);
	assert_int_equal(child_next(CHILD_LEAVING, CHILD_DEATH), CHILD_WAITING);
	assert_int_equal(child_next(CHILD_WAITING, CHILD_SPAWN), CHILD_STARTING);
	for (int event = 0; event < CHILD_EVENTS; event++) {
		assert_int_equal(child_next(CHILD_FINISHED, event), -EPROTO);
		assert_int_equal(child_next(CHILD_FAILED, event), -EPROTO);
	}
}

static void restarts_back_off_and_end(void **state)
{
	const struct graph_stage stage = {
		.restart_max = 3, .restart_within_ns = 1000, .restart_backoff_ns = 10
	};
	struct policy policy = { 0 };
	int64_t wait = 0;

	(void)state;
	assert_true(policy_restart(&policy, &stage, 0, &wait));
	assert_int_equal(wait, 0);
	assert_true(policy_restart(&policy, &stage, 100, &wait));
	assert_int_equal(wait, 10);
	assert_true(policy_restart(&policy, &stage, 200, &wait));
	assert_int_equal(wait, 20);
	assert_false(policy_restart(&policy, &stage, 300, &wait));
	/* What lies longer back than restart_within is forgiven. */
	assert_true(policy_restart(&policy, &stage, 1150, &wait));
	assert_int_equal(wait, 10);
	policy_fini(&policy);
}

static void backoff_is_capped(void **state)
{
	const struct graph_stage stage = {
		.restart_max = 60, .restart_within_ns = 1000000, .restart_backoff_ns = 10
	};
	struct policy policy = { 0 };
	int64_t wait = 0;

	(void)state;
	for (int i = 0; i < 60; i++)
		assert_true(policy_restart(&policy, &stage, i, &wait));
	assert_int_equal(wait, 300);
	assert_false(policy_restart(&policy, &stage, 60, &wait));
	policy_fini(&policy);
}

static void deaths_of_records_have_a_bound_of_their_own(void **state)
{
	const struct graph_stage stage = { .restart_max = 0, .restart_within_ns = 1000 };
	struct policy policy = { 0 };

	(void)state;
	for (int i = 0; i < POLICY_QUARANTINE_MAX; i++)
		assert_true(policy_quarantine(&policy, &stage, i));
	assert_false(policy_quarantine(&policy, &stage, 500));
	assert_true(policy_quarantine(&policy, &stage, 1150));
	policy_fini(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_can_end),
		cmocka_unit_test(outlet_paths),
		cmocka_unit_test(inlet_paths),
		cmocka_unit_test(instance_path),
		cmocka_unit_test(child_paths),
		cmocka_unit_test(restarts_back_off_and_end),
		cmocka_unit_test(backoff_is_capped),
		cmocka_unit_test(deaths_of_records_have_a_bound_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
