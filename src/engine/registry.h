/* SPDX-License-Identifier: MIT */
/* The stages there are: those built into sluice-stage. Constant. */
#ifndef ENGINE_REGISTRY_H
#define ENGINE_REGISTRY_H

#include "config/load.h"

const struct sl_stage *registry_find(enum sl_role role, const char *name);
/* The i-th of all, or NULL behind the last. */
const struct sl_stage *registry_at(unsigned i);

/* All of it as the config room wants it. */
extern const struct load_stages registry_stages;

#endif
