/* SPDX-License-Identifier: MIT */
/* See set.h. */
#include "cli/set.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_name(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '_')
			return false;
	return size > 0 && !isdigit((unsigned char)text[0]);
}

int sets_add(struct sets *sets, const char *text, struct err *err)
{
	size_t size = strcspn(text, "=");

	if (text[size] != '=' || !is_name(text, size))
		return err_set(err, -EINVAL,
			"--set %.80s names nothing: write --set NAME=VALUE, NAME of letters, "
			"digits and _",
			text);
	for (unsigned i = 0; i < sets->count; i++)
		if (strncmp(sets->items[i], text, size + 1) == 0)
			return err_set(
				err, -EINVAL, "--set %.*s=... twice: choose one", (int)size, text);
	if (sets->count == SETS_MAX)
		return err_set(err, -EINVAL, "more than %d times --set", SETS_MAX);
	sets->items[sets->count++] = text;
	return 0;
}
