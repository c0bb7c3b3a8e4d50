/* SPDX-License-Identifier: MIT */
/* See expand.h. */
#include "config/expand.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "config/suggest.h"

static const char credential[] = "credential:";
static bool does_without;

void expand_do_without(void)
{
	does_without = true;
}

bool expand_is_secret(const char *text)
{
	return strstr(text, "${credential:") != NULL;
}

/* At most EXPAND_CREDENTIAL_MAX bytes. */
static int read_credential(const char *path, struct arena *arena, const char **ret_text)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *data = malloc(EXPAND_CREDENTIAL_MAX + 1);
	size_t size = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	if (!data)
		return -ENOMEM;
	while (n > 0 && size <= EXPAND_CREDENTIAL_MAX) {
		n = read(fd, data + size, EXPAND_CREDENTIAL_MAX + 1 - size);
		if (n < 0)
			return -errno;
		size += (size_t)n;
	}
	if (size > EXPAND_CREDENTIAL_MAX)
		return -EFBIG;
	if (memchr(data, '\0', size))
		return -EILSEQ;
	if (size > 0 && data[size - 1] == '\n')
		size--;
	*ret_text = arena_copy(arena, data, size);
	return *ret_text ? 0 : -ENOMEM;
}

static int note(struct arena *arena, const char *text, const struct expand_word **words)
{
	struct expand_word *word = arena_alloc(arena, sizeof(*word));

	if (!word)
		return -ENOMEM;
	*word = (struct expand_word){ .text = text, .next = *words };
	*words = word;
	return 0;
}

/* Before anything can be said that holds it. */
static int keep_secret(struct expand *expand, const char *text)
{
	int r = secret_add(text);

	return r < 0 ? r : note(expand->arena, text, &expand->secrets);
}

static int stand_for_itself(struct expand *expand, const char *name, const char **ret_text)
{
	*ret_text = arena_printf(expand->arena, "${%s%s}", credential, name);
	return *ret_text ? 0 : -ENOMEM;
}

static int expand_credential(
	struct expand *expand, const char *name, const char **ret_text, struct err *err)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	char path[PATH_MAX] = "";
	int r;

	if (!*name || strchr(name, '/') || name[0] == '.')
		return err_set(err, -EINVAL,
			"`${credential:%s}` names no credential: write a file name without `/`",
			name);
	if (folder && snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		return err_set(err, -EINVAL, "the path of `${credential:%s}` is too long", name);
	if (does_without && access(path, F_OK) < 0) {
		expand->missing++;
		return stand_for_itself(expand, name, ret_text);
	}
	if (!folder)
		return err_set(err, -EINVAL,
			"`${credential:%s}` is not there, because $CREDENTIALS_DIRECTORY is not "
			"set: run the pipeline as a "
			"service with LoadCredential=%s:PATH, or set the variable to a folder with "
			"that file",
			name, name);
	r = read_credential(path, expand->arena, ret_text);
	if (r == 0)
		r = keep_secret(expand, *ret_text);
	if (r < 0)
		return err_set(err, r == -ENOMEM ? r : -EINVAL,
			"cannot read `${credential:%s}` from %s: %s", name, path,
			r == -EILSEQ ? "it holds a zero byte" : err_name(r));
	return 0;
}

static bool is_variable(const char *name, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '_')
			return false;
	return size > 0 && !isdigit((unsigned char)name[0]);
}

/* The value of a parameter of the command line, or NULL. */
static const char *parameter(const struct expand *expand, const char *name)
{
	size_t size = strlen(name);

	for (const char *const *at = expand->parameters; at && *at; at++)
		if (strncmp(*at, name, size) == 0 && (*at)[size] == '=')
			return *at + size + 1;
	return NULL;
}

static bool is_asked(const struct expand *expand, const char *parameter_text)
{
	size_t size = strcspn(parameter_text, "=");

	for (const struct expand_word *word = expand->asked; word; word = word->next)
		if (strlen(word->text) == size && strncmp(word->text, parameter_text, size) == 0)
			return true;
	return false;
}

const char *expand_unused(const struct expand *expand, const char **ret_meant)
{
	for (const char *const *at = expand->parameters; at && *at; at++) {
		const char *name = arena_copy(expand->arena, *at, strcspn(*at, "="));
		struct suggest suggest;

		if (!name || is_asked(expand, *at))
			continue;
		suggest_init(&suggest, name);
		for (const struct expand_word *word = expand->asked; word; word = word->next)
			suggest_offer(&suggest, word->text);
		*ret_meant = suggest.best;
		return name;
	}
	return NULL;
}

/* What stands between "${" and "}". */
static int expand_one(
	struct expand *expand, const char *inside, const char **ret_text, struct err *err)
{
	const char *fallback = strstr(inside, ":-");
	size_t size = fallback ? (size_t)(fallback - inside) : strlen(inside);
	const char *value;
	char *name;

	if (strncmp(inside, credential, sizeof(credential) - 1) == 0 && expand->names_credentials)
		return stand_for_itself(expand, inside + sizeof(credential) - 1, ret_text);
	if (strncmp(inside, credential, sizeof(credential) - 1) == 0)
		return expand_credential(expand, inside + sizeof(credential) - 1, ret_text, err);
	if (!is_variable(inside, size))
		return err_set(err, -EINVAL,
			"`${%s}` names no environment variable: write ${NAME}, ${NAME:-default} or "
			"${credential:NAME}, "
			"and $${ for a plain ${",
			inside);
	name = arena_copy(expand->arena, inside, size);
	if (!name || note(expand->arena, name, &expand->asked) < 0)
		return -ENOMEM;
	value = parameter(expand, name);
	if (!value)
		value = getenv(name);
	if (fallback && (!value || !*value))
		value = fallback + 2;
	if (!value)
		return err_set(err, -EINVAL,
			"the environment variable %s is not set: set it, say --set %s=VALUE, or "
			"write ${%s:-default}",
			name, name, name);
	*ret_text = value;
	return 0;
}

/* Writes `text` with everything expanded to `out`. */
static int expand_into(FILE *out, struct expand *expand, const char *text, struct err *err)
{
	const char *start, *end, *inside, *value = "";
	int r = 0;

	for (; r == 0 && (start = strstr(text, "${")); text = end + 1) {
		if (start > text && start[-1] == '$') {
			(void)fprintf(out, "%.*s{", (int)(start - text), text);
			end = start + 1;
			continue;
		}
		end = strchr(start, '}');
		if (!end)
			return err_set(err, -EINVAL,
				"`%s` has no `}`: write ${NAME}, or $${ for a plain ${", start);
		inside = arena_copy(expand->arena, start + 2, (size_t)(end - start - 2));
		r = inside ? expand_one(expand, inside, &value, err) : -ENOMEM;
		(void)fprintf(out, "%.*s%s", (int)(start - text), text, r == 0 ? value : "");
	}
	(void)fputs(text, out);
	return r;
}

int expand_string(struct expand *expand, const char *text, const char **ret_text, struct err *err)
{
	char *expanded = NULL;
	size_t size = 0;
	FILE *out;
	int r;

	if (!strstr(text, "${")) {
		*ret_text = text;
		return 0;
	}
	out = open_memstream(&expanded, &size);
	if (!out)
		return -ENOMEM;
	r = expand_into(out, expand, text, err);
	if (fclose(out) != 0 && r == 0)
		r = -ENOMEM;
	if (r == 0) {
		*ret_text = arena_copy(expand->arena, expanded, size);
		r = *ret_text ? 0 : -ENOMEM;
	}
	free(expanded);
	return r;
}
