/* SPDX-License-Identifier: MIT */
/* libmicrohttpd, loaded when it is needed: see mhd.c. Its functions are called by their own names. */
#ifndef SUPERVISOR_MHD_H
#define SUPERVISOR_MHD_H

#include <microhttpd.h>

#include "base/err.h"

/* Before any other of its functions. 0, or -ENOENT with the reason in `err`. Once it succeeded it always does. */
int mhd_load(struct err *err);

#endif
