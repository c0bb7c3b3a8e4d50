/* SPDX-License-Identifier: MIT */
/* What was left in the store between two stages (stages/spill/store.h), for who has no such store. Only looks. */
#ifndef STATE_LEFT_H
#define STATE_LEFT_H

#include <stdint.h>

/* Records of that series in the file; 0 also when it cannot be read, or is no such store. */
uint64_t left_count(const char *path, uint64_t series);

#endif
