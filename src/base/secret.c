/* SPDX-License-Identifier: MIT */
/* See secret.h. */
#include "base/secret.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define LINE_MIN 8 /* of a text of several lines: shorter ones are hardly secret */

static char *secrets[SECRETS_MAX];
static size_t count;

static bool is_known(const char *text, size_t size)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(secrets[i]) == size && memcmp(secrets[i], text, size) == 0)
			return true;
	return false;
}

/* The longest come first: one that is part of another must not leave the rest of it. */
static int add(const char *text, size_t size)
{
	char *copy;
	size_t at = count;

	if (size < SECRET_MIN || is_known(text, size))
		return 0;
	if (count == SECRETS_MAX)
		return -E2BIG;
	copy = strndup(text, size);
	if (!copy)
		return -ENOMEM;
	for (; at > 0 && strlen(secrets[at - 1]) < size; at--)
		secrets[at] = secrets[at - 1];
	secrets[at] = copy;
	count++;
	return 0;
}

static int add_lines(const char *text)
{
	int r = 0;

	if (!strchr(text, '\n'))
		return 0;
	while (*text && r == 0) {
		size_t size = strcspn(text, "\r\n");

		if (size >= LINE_MIN)
			r = add(text, size);
		text += size;
		text += strspn(text, "\r\n");
	}
	return r;
}

static int add_encoded(const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	_cleanup_free_ char *encoded = malloc(3 * strlen(text) + 1);
	size_t size = 0;

	if (!encoded)
		return -ENOMEM;
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		if (isalnum(*at) || strchr("-._~", *at)) {
			encoded[size++] = (char)*at;
			continue;
		}
		encoded[size++] = '%';
		encoded[size++] = digits[*at >> 4];
		encoded[size++] = digits[*at & 15];
	}
	return add(encoded, size);
}

/* As it stands in JSON: with a backslash before its quotes and backslashes. */
static int add_escaped(const char *text)
{
	_cleanup_free_ char *escaped = malloc(2 * strlen(text) + 1);
	size_t size = 0;

	if (!escaped)
		return -ENOMEM;
	for (const char *at = text; *at; at++) {
		if (*at == '"' || *at == '\\')
			escaped[size++] = '\\';
		escaped[size++] = *at;
	}
	return add(escaped, size);
}

int secret_add(const char *text)
{
	int r = add(text, strlen(text));

	if (r == 0)
		r = add_encoded(text);
	if (r == 0)
		r = add_escaped(text);
	return r == 0 ? add_lines(text) : r;
}

char *secret_hide(char *text)
{
	static const char stars[] = "***";

	for (size_t i = 0; i < count; i++) {
		size_t size = strlen(secrets[i]);

		for (char *at = text; (at = strstr(at, secrets[i])); at += sizeof(stars) - 1) {
			memcpy(at, stars, sizeof(stars) - 1);
			memmove(at + sizeof(stars) - 1, at + size, strlen(at + size) + 1);
		}
	}
	return text;
}
