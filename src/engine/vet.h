/* SPDX-License-Identifier: MIT */
/*
 * Is a stage's table fit to be used? Asked of what a module brings before anything in it is called. What the engine and
 * the config room take for granted of a table is checked here, and nowhere else.
 */
#ifndef ENGINE_VET_H
#define ENGINE_VET_H

#include "base/err.h"
#include <sluice/stage.h>

/*
 * 0, or why not, as one clause in err: -EPROTO: it is of another ABI, and only `abi` was read; -EBADMSG: it has no name or no role
 * that can be shown; -EINVAL: all else.
 */
int vet_stage(const struct sl_stage *stage, struct err *err);

#endif
