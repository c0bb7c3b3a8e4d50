/* SPDX-License-Identifier: MIT */
/* The stages of this module. */
#ifndef STAGES_POSTGRES_STAGES_H
#define STAGES_POSTGRES_STAGES_H

#include <sluice/stage.h>

extern const struct sl_stage postgres_source, postgres_sink;

#endif
