/* SPDX-License-Identifier: MIT */
/*
 * Stages from modules: shared objects that export `sl_module` (sluice/stage.h), in the folders of SLUICE_STAGE_PATH and,
 * behind those, in `modules` beside a sluice-stage that was not installed, and in the installed folder. Everything here is one thread's, before there is another; what was read stays for
 * ever, since nothing tells when the last pointer into a module is gone.
 *
 * Who asks what stages there are (--check, --list, --describe) reads all modules. A stage process opens the one that its
 * stage is in, whose path the graph says, so that it runs what was checked, whatever became of the path since.
 */
#ifndef ENGINE_MODULES_H
#define ENGINE_MODULES_H

#include <stdio.h>

#include "base/err.h"
#include <sluice/stage.h>

#define MODULES_PATH "SLUICE_STAGE_PATH"

typedef const struct sl_stage *modules_find_fn(enum sl_role role, const char *name);

/* Reads all. What cannot be used is one line each in `warnings`, and remembered. `built_in` finds those that go before. */
void modules_read(modules_find_fn *built_in, FILE *warnings);

/* The i-th stage of all modules, or NULL behind the last. */
const struct sl_stage *modules_at(unsigned i);
/* The file that the stage is in; NULL: in none. */
const char *modules_file(const struct sl_stage *stage);
/* Why a module that has, or seems to have, such a stage was refused, in one clause that names it; NULL: there is none. */
const char *modules_refusal(enum sl_role role, const char *name);

/* Opens that one module. The stage, or NULL with the reason in err. */
const struct sl_stage *modules_open(
	const char *file, enum sl_role role, const char *name, struct err *err);

#endif
