/* SPDX-License-Identifier: MIT */
/* The verdict of `sluice test` on one test whose part of the pipeline has run: sluice-stage gives it, since the command line reads no records. */
#ifndef ENGINE_JUDGE_H
#define ENGINE_JUDGE_H

#include <stdbool.h>

#define JUDGE_TEST "test" /* in the folder: the test, as config/tests.h has it */

/*
 * Compares what the first tap and the dead letters of `folder`, the state folder, have with what the test expects, and prints each difference. `any_order`: records
 * may come in any. The exit status: 0: as expected; 1: not; 2: could not be told.
 */
int judge_answer(const char *folder, bool any_order);

#endif
