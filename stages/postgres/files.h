/* SPDX-License-Identifier: MIT */
/* The files that libpq reads when it connects: for `files` of both stages. */
#ifndef STAGES_POSTGRES_FILES_H
#define STAGES_POSTGRES_FILES_H

#include <sluice/stage.h>

void files_tell(const char *connection, sl_files_fn *tell, void *user);

#endif
