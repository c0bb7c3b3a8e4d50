/* SPDX-License-Identifier: MIT */
/* See text.h. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int reason_set(struct reason *reason, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(reason->text, sizeof(reason->text), format, args);
	va_end(args);
	return error;
}

void text_put(struct sl_writer *w, const char *data, size_t size)
{
	char *at = sl_writer_reserve(w, size + 1);

	if (!at)
		return;
	memcpy(at, data, size);
	w->size += size;
}

void text_put_cstr(struct sl_writer *w, const char *text)
{
	text_put(w, text, strlen(text));
}

const char *text_end(struct sl_writer *w)
{
	char *at = sl_writer_reserve(w, 1);

	if (!at)
		return NULL;
	*at = '\0';
	return w->data;
}

/* How many bytes follow this one in its character; -1: none may begin so. *ret_least: the least code that needs them. */
static int following(unsigned char first, uint32_t *ret_code, uint32_t *ret_least)
{
	if (first < 0x80) {
		*ret_code = first;
		*ret_least = 0;
		return 0;
	}
	if (first < 0xc0 || first > 0xf4)
		return -1;
	*ret_code = first & (first < 0xe0 ? 0x1f : first < 0xf0 ? 0x0f : 0x07);
	*ret_least = first < 0xe0 ? 0x80 : first < 0xf0 ? 0x800 : 0x10000;
	return first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
}

/* Bytes in front that are ASCII, looked at eight at a time. */
static size_t ascii_size(const char *text, size_t size)
{
	size_t at = 0;
	uint64_t eight;

	for (; at + sizeof(eight) <= size; at += sizeof(eight)) {
		(void)memcpy(&eight, text + at, sizeof(eight));
		if (eight & UINT64_C(0x8080808080808080))
			break;
	}
	while (at < size && (unsigned char)text[at] < 0x80)
		at++;
	return at;
}

bool text_is_utf8(const char *text, size_t size)
{
	for (size_t i = ascii_size(text, size); i < size; i += ascii_size(text + i, size - i)) {
		uint32_t code = 0, least = 0;
		int more = following((unsigned char)text[i++], &code, &least);

		if (more < 0 || (size_t)more > size - i)
			return false;
		for (; more > 0; more--, i++) {
			if (((unsigned char)text[i] & 0xc0) != 0x80)
				return false;
			code = code << 6 | ((unsigned char)text[i] & 0x3f);
		}
		if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
			return false;
	}
	return true;
}

bool text_has_control(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
			return true;
	return false;
}
