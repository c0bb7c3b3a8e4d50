/* SPDX-License-Identifier: MIT */
/* Whether the options fit together. */
#ifndef STAGES_LOOKUP_CHECK_H
#define STAGES_LOOKUP_CHECK_H

#include "lookup.h"

int check_options(struct sl_context *ctx, const struct lookup *options);

#endif
