/* SPDX-License-Identifier: MIT */
/* What the module postgres.so has. */
#include "stages.h"

SL_MODULE(&postgres_source, &postgres_sink);
