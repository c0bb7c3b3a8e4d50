/* SPDX-License-Identifier: MIT */
/*
 * Errors. Functions answer a negative errno, 0, or a positive documented outcome. Where a person will read why,
 * they also take a `struct err *` (may be NULL) and write one line into it: object, action, reason, what to do.
 * Low rooms never log; the place that decides what happens next does, once.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

struct err {
	char text[1024]; /* 0-terminated; "" when nothing went wrong */
};

/* Writes the text (cut to fit) and returns `error`, so that `return err_set(err, -EINVAL, "...")` reads well. */
int err_set(struct err *err, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int err_vset(struct err *err, int error, const char *format, va_list args);
/* strerror of a positive or negative errno, thread-safe. */
const char *err_name(int error);

#endif
