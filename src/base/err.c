/* SPDX-License-Identifier: MIT */
/* See err.h. */
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int err_vset(struct err *err, int error, const char *format, va_list args)
{
	if (err)
		(void)vsnprintf(err->text, sizeof(err->text), format, args);
	return error;
}

int err_set(struct err *err, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error = err_vset(err, error, format, args);
	va_end(args);
	return error;
}

const char *err_name(int error)
{
	const char *text = strerrordesc_np(abs(error));

	return text ? text : "unknown error";
}
