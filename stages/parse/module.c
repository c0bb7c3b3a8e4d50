/* SPDX-License-Identifier: MIT */
/* What the module patterns.so has. */
#include "parse.h"

SL_MODULE(&parse_stage, &validate_stage);
