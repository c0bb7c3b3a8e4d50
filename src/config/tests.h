/* SPDX-License-Identifier: MIT */
/*
 * The `tests` of a config: what becomes of given records in a part of the pipeline. No graph has them, since no run wants them; `sluice test` asks for them.
 * Each is a map of
 *
 *   name       string
 *   file, line where it stands
 *   from, to   names of stages: the first and the last of the part
 *   port       index of the output of `to` that is looked at; 0 for a sink
 *   feed       array of records, which go into `from`, or come from it where it is a source; nil: the source reads
 *   expect     array of records; nil: whatever comes out is right
 *   dead       nil: no record may be given up; how many are; or an array of strings, which the reasons hold
 *   tolerance  float: by how much numbers may differ
 */
#ifndef CONFIG_TESTS_H
#define CONFIG_TESTS_H

#include "config/loader.h"

/* tests.c: reports what is wrong with them, and puts one value, the array of all, into `out`. */
void tests_resolve(struct loader *loader, struct sl_writer *out);

/* test_records.c: puts the array of the records that a `feed` or `expect` gives. False, and reported: they cannot be had. */
bool test_records(struct loader *loader, const config_setting_t *setting, struct sl_writer *out);

#endif
