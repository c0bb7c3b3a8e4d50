/* SPDX-License-Identifier: MIT */
/* The stages of the module patterns.so, which has PCRE2. */
#ifndef STAGES_PARSE_PARSE_H
#define STAGES_PARSE_PARSE_H

#include <sluice/stage.h>

extern const struct sl_stage parse_stage, validate_stage;

#endif
