/* SPDX-License-Identifier: MIT */
/* Records that an earlier start of this run spilled for a stage that has no store now: nobody would read them. */
#ifndef ENGINE_LEFT_H
#define ENGINE_LEFT_H

#include "engine/host.h"

/* 0; -EUCLEAN and the text: there are some. One process of the pipeline asks. */
int left_check(const struct host *host, struct err *err);

#endif
