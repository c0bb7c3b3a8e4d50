/* SPDX-License-Identifier: MIT */
/*
 * From a libconfig file to a resolved graph. Every mistake is reported, in one go, each as one line
 * `file:line: what, and what to write instead`. Runs in `sluice-stage --check`, one thread, touches nothing
 * but the files it reads.
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include "config/graph.h"

/* What load needs to know of the stages there are; engine/registry.c provides it. */
struct load_stages {
	/* The stage of that role and name, or NULL. */
	const struct sl_stage *(*find)(enum sl_role role, const char *name);
	/* The i-th stage of all, or NULL behind the last: for "did you mean". */
	const struct sl_stage *(*at)(unsigned i);
	/* Calls the stage's check with bound options; 0, or negative with the reason in err. */
	int (*check)(const struct sl_stage *stage, const char *name, const void *shared,
		struct err *err);
	/* The file of the module that the stage is in; NULL: it is built in. May be NULL: there are no modules. */
	const char *(*module)(const struct sl_stage *stage);
	/* Why a module that seems to have such a stage is refused, as one clause; NULL: none is. May be NULL. */
	const char *(*refusal)(enum sl_role role, const char *name);
};

typedef void load_problem_fn(
	void *user, bool is_error, const char *file, unsigned line, const char *text);

/*
 * Loads `path`. `parameters`: "NAME=VALUE" for ${NAME}, ends with NULL; may be NULL. `runtime` is the runtime folder (NULL: not known yet), against which the length of socket paths is checked. Each problem goes to
 * `report` (is_error false: a warning). 0 and *ret_graph when there was no error; -EINVAL when there was one;
 * another negative errno when the file cannot be read (reported, too).
 */
int load_config(const char *path, const char *const *parameters, const char *runtime,
	const struct load_stages *stages, load_problem_fn *report, void *user,
	struct graph **ret_graph);

/* As load_config, and puts its `tests` (tests.h) as one record into `tests`. */
int load_tests(const char *path, const char *const *parameters, const char *runtime,
	const struct load_stages *stages, load_problem_fn *report, void *user,
	struct graph **ret_graph, struct sl_writer *tests);

/*
 * Only what the pipeline of `path` is called: for whoever asks a pipeline that runs, and need not know its stages, its environment or
 * its credentials. As load_config; what is wrong elsewhere in the file is not looked at.
 */
int load_name(const char *path, const char *const *parameters, load_problem_fn *report, void *user,
	char *ret_name, size_t size);

#endif
