/* SPDX-License-Identifier: MIT */
/* What the makefile defines, for the tools of `make lint`. */
#ifndef SCRIPTS_LINT_H
#define SCRIPTS_LINT_H

#define SLUICE_VERSION "0"
#define SLUICE_LIBEXECDIR "/"
#define SLUICE_STAGE_DIR "/"

#endif
