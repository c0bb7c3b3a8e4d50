/* SPDX-License-Identifier: MIT */
/* The stages there are: those built into sluice-stage, then those of modules. Constant once modules are read. */
#ifndef ENGINE_REGISTRY_H
#define ENGINE_REGISTRY_H

#include <stdio.h>

#include "config/load.h"

const struct sl_stage *registry_find(enum sl_role role, const char *name);
/* The i-th of all, or NULL behind the last. */
const struct sl_stage *registry_at(unsigned i);

/* A built-in one where `module` is NULL, else that of the module. NULL with the reason in err. */
const struct sl_stage *registry_open(
	const char *module, enum sl_role role, const char *name, struct err *err);
/* From here on modules' stages are found, too. What cannot be used of them is said in `warnings`. */
void registry_read_modules(FILE *warnings);

/* All of it as the config room wants it. */
extern const struct load_stages registry_stages;

#endif
