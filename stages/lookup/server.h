/* SPDX-License-Identifier: MIT */
/* What there is of PostgreSQL when sluice is built without libpq: a reason. */
#ifndef STAGES_LOOKUP_SERVER_H
#define STAGES_LOOKUP_SERVER_H

#include <sluice/stage.h>

/* Whether libpq understands it. */
int server_check(struct sl_context *ctx, const char *connection);
/* As sl_stage's `files`. */
void server_files(const char *connection, sl_files_fn *tell, void *user);

#endif
