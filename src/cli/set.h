/* SPDX-License-Identifier: MIT */
/* --set NAME=VALUE: what ${NAME} stands for in a config. */
#ifndef CLI_SET_H
#define CLI_SET_H

#include "base/err.h"

#define SETS_MAX 64

struct sets {
	const char *items[SETS_MAX + 1]; /* "NAME=VALUE", ends with NULL; borrowed from argv */
	unsigned count;
};

/* 0, or -EINVAL with the reason in err. */
int sets_add(struct sets *sets, const char *text, struct err *err);

#endif
