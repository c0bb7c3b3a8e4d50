/* SPDX-License-Identifier: MIT */
/*
 * Before anything starts: is the config right, where do state and sockets go, and does nobody else run it? Problems of
 * the config are printed to stderr by the `sluice-stage --check` that finds them.
 */
#ifndef SUPERVISOR_PLAN_H
#define SUPERVISOR_PLAN_H

#include <limits.h>

#include "base/err.h"
#include "config/graph.h"

#define PLAN_CONTROL_SOCKET "control.sock" /* in the runtime folder: see control.h */

struct plan {
	struct graph *graph;
	char state[PATH_MAX]; /* folders; exist after plan_lock */
	char runtime[PATH_MAX];
	int state_lock; /* descriptors that hold the locks; -1 */
	int runtime_lock;
	const char *const *parameters; /* of plan_make: for who reads the file again */
};

/*
 * Checks `file` and resolves the folders (`state`, `runtime`: what the command line says, or NULL). `parameters`: "NAME=VALUE" for
 * ${NAME} in its strings, ends with NULL; may be NULL; must live as long as the plan. Its secrets are hidden from now on. 0; -EINVAL: the config is
 * wrong, and what was said so is on stderr; another negative errno with its text in `err`.
 */
int plan_make(const char *file, const char *const *parameters, const char *state,
	const char *runtime, struct plan *ret_plan, struct err *err);
/* As plan_make; a credential that is not there stands for itself, as ${credential:NAME}, since a test may not need it. */
int plan_make_for_tests(const char *file, const char *const *parameters, const char *folder,
	struct plan *ret_plan, struct err *err);
/* Of what plan_make answered: would the same file be wrong again? Else it was for want of something. */
bool plan_is_wrong(int r);
/* Makes the folders and takes both locks. -EBUSY: another supervisor holds one; -EEXIST: the state is another file's. */
int plan_lock(struct plan *plan, struct err *err);
/* Removes the sockets, releases the locks, frees the graph. */
void plan_fini(struct plan *plan);

/*
 * The `tests` of a file that plan_make_for_tests found right, one MessagePack value (config/tests.h), into memory that the caller frees. 0 or negative errno as plan_make.
 */
int plan_tests(const char *file, const char *const *parameters, char **ret_data, size_t *ret_size,
	struct err *err);

/* Where a pipeline that may be running is to be asked: found without its stages, its environment or a lock. */
struct plan_place {
	char name[64];
	char runtime[PATH_MAX];
};
/*
 * As plan_make, but only the file's `name` needs to be right; with `runtime` the file is not read, and its stem stands for the
 * name. Where no socket is there, but one is in /run/sluice/NAME, that of the service is meant.
 */
int plan_find(const char *file, const char *const *parameters, const char *runtime,
	struct plan_place *ret_place, struct err *err);

/*
 * The state folder of a pipeline of that name, into PATH_MAX bytes: `option`, what the command line says, or where it is without (NULL).
 * 0 or -ENAMETOOLONG.
 */
int plan_find_state(const char *name, const char *option, char *ret_path);

/* The path of sluice-stage: beside this program, else where it was installed. */
const char *plan_stage_program(void);

#endif
