/* SPDX-License-Identifier: MIT */
/* `sluice-stage --check`: a config's problems for a person, its graph for the supervisor. */
#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include <stdio.h>

#include "config/load.h"

/*
 * Prints every problem of `path` to `problems`, one line each, errors counted in a last line, and writes the encoded
 * graph to graph_fd when that is >= 0 and there was no error. Returns an exit status: 0, EX_CONFIG (78), or EX_IOERR
 * when the graph could not be written.
 */
int report_check(const char *path, const char *const *parameters, const char *runtime,
	const struct load_stages *stages, FILE *problems, int graph_fd);
/* Writes the config's `tests` (tests.h), one record, to `fd`; prints errors, and no warnings, which a check has printed. An exit status, as above. */
int report_tests(const char *path, const char *const *parameters, const struct load_stages *stages,
	FILE *problems, int fd);
/* Writes the name of the pipeline to `fd`, or says to `problems` what hides it. An exit status, as above. */
int report_name(const char *path, const char *const *parameters, FILE *problems, int fd);

#endif
