/* SPDX-License-Identifier: MIT */
/* See policy.h. */
#include "supervisor/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO (-EPROTO)
#define BACKOFF_FACTOR_MAX 30

/* clang-format off */
const int child_table[CHILD_STATES][CHILD_EVENTS] = {
	/*                    SPAWN           READY          DONE           EXIT            DEATH          GIVE_UP      */
	[CHILD_NEW]      = { CHILD_STARTING, NO,            NO,            NO,             NO,            NO },
	[CHILD_STARTING] = { NO,             CHILD_RUNNING, NO,            NO,             CHILD_WAITING, CHILD_FAILED },
	[CHILD_RUNNING]  = { NO,             NO,            CHILD_LEAVING, NO,             CHILD_WAITING, CHILD_FAILED },
	[CHILD_LEAVING]  = { NO,             NO,            NO,            CHILD_FINISHED, CHILD_WAITING, CHILD_FAILED },
	[CHILD_WAITING]  = { CHILD_STARTING, NO,            NO,            NO,             NO,            CHILD_FAILED },
	[CHILD_FINISHED] = { NO,             NO,            NO,            NO,             NO,            NO },
	[CHILD_FAILED]   = { NO,             NO,            NO,            NO,             NO,            NO },
};
/* clang-format on */

const char *const child_state_names[CHILD_STATES] = {
	"new",
	"starting",
	"running",
	"leaving",
	"restarting",
	"finished",
	"failed",
};

int child_next(enum child_state state, enum child_event event)
{
	return child_table[state][event];
}

static int make_room(struct policy *policy)
{
	uint32_t capacity = policy->capacity ? 2 * policy->capacity : 16;
	int64_t *deaths;

	if (policy->count < policy->capacity)
		return 0;
	deaths = reallocarray(policy->deaths, capacity, sizeof(*deaths));
	if (!deaths)
		return -ENOMEM;
	policy->deaths = deaths;
	policy->capacity = capacity;
	return 0;
}

void policy_fini(struct policy *policy)
{
	free(policy->deaths);
}

static void forget_old(struct policy *policy, const struct graph_stage *stage, int64_t now)
{
	uint32_t old = 0;

	while (old < policy->count && now - policy->deaths[old] > stage->restart_within_ns)
		old++;
	if (old > 0)
		memmove(policy->deaths, policy->deaths + old,
			(policy->count - old) * sizeof(policy->deaths[0]));
	policy->count -= old;
}

bool policy_quarantine(struct policy *policy, const struct graph_stage *stage, int64_t now)
{
	forget_old(policy, stage, now);
	if (policy->count >= POLICY_QUARANTINE_MAX || make_room(policy) < 0)
		return false;
	policy->deaths[policy->count++] = now;
	return true;
}

bool policy_restart(
	struct policy *policy, const struct graph_stage *stage, int64_t now, int64_t *ret_wait_ns)
{
	int64_t factor = 0;

	forget_old(policy, stage, now);
	if (policy->count >= stage->restart_max || make_room(policy) < 0)
		return false;
	/* The first is replaced at once: most are alone. */
	for (uint32_t i = 0; i < policy->count && factor < BACKOFF_FACTOR_MAX; i++)
		factor = factor ? 2 * factor : 1;
	policy->deaths[policy->count++] = now;
	*ret_wait_ns = stage->restart_backoff_ns *
		       (factor < BACKOFF_FACTOR_MAX ? factor : BACKOFF_FACTOR_MAX);
	return true;
}
