/* SPDX-License-Identifier: MIT */
/* What both stages check. */
#ifndef STAGES_POSTGRES_CHECK_H
#define STAGES_POSTGRES_CHECK_H

#include <sluice/stage.h>

/* Whether libpq understands it. 0, or -EINVAL, said. */
int check_connection(struct sl_context *ctx, const char *connection);

#endif
