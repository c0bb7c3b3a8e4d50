/* SPDX-License-Identifier: MIT */
/* See json.h: writing. */
#include "record/json.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include <msgpuck.h>
#include <simdjson.h>

extern "C" void json_text_free(struct json_text *text)
{
	free(text->data);
	*text = json_text{};
}

extern "C" bool json_text_reserve(struct json_text *text, size_t more)
{
	size_t capacity = text->capacity ? text->capacity : 4096;
	char *data;

	if (text->capacity - text->size >= more)
		return true;
	while (capacity - text->size < more)
		capacity *= 2;
	data = (char *)realloc(text->data, capacity);
	if (!data)
		return false;
	text->data = data;
	text->capacity = capacity;
	return true;
}

extern "C" bool json_is_utf8(const char *text, size_t size)
{
	return simdjson::validate_utf8(text, size);
}

extern "C" bool json_read_double(const char *text, size_t size, double *ret)
{
	double x;
	auto [end, error] = std::from_chars(text, text + size, x);

	if (error != std::errc() || end != text + size || !std::isfinite(x))
		return false;
	*ret = x;
	return true;
}

extern "C" size_t json_print_double(char *text, double x)
{
	double size = std::fabs(x);
	bool is_plain = size == 0 || (size >= 1e-5 && size < 1e16);
	char *end = std::to_chars(text, text + 31, x,
		is_plain ? std::chars_format::fixed : std::chars_format::scientific)
			    .ptr;

	if (is_plain && x == std::trunc(x)) {
		*end++ = '.';
		*end++ = '0';
	}
	return (size_t)(end - text);
}

namespace
{

/*
 * Room for the whole text is made before the first byte: no value needs more than six bytes for each of its own ("false," is one, a string's byte
 * may be \u0001), and a few more.
 */
struct output {
	char *to;
	const char *reason;
	bool lax;
	const char *enough; /* lax: stop behind it */
	size_t string_max;  /* lax: no longer piece of a string */
};

constexpr unsigned depth_max = 64;
constexpr size_t growth = 6;
constexpr size_t spare = 64;

constexpr uint64_t ones = 0x0101010101010101u;
constexpr uint64_t highs = 0x8080808080808080u;

/* Bytes of a word that a JSON string cannot hold as they are: below 0x20, quote, backslash. */
uint64_t special(uint64_t word)
{
	uint64_t quote = word ^ (ones * '"');
	uint64_t slash = word ^ (ones * '\\');

	return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
		       ((word - ones * 0x20) & ~word)) &
	       highs;
}

/* What stands behind the backslash; 0: it is written as \u00XX. */
char short_escape(unsigned char c)
{
	switch (c) {
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return c == '"' || c == '\\' ? (char)c : '\0';
	}
}

char *escape(char *to, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char letter = short_escape(c);

	*to++ = '\\';
	if (letter) {
		*to++ = letter;
		return to;
	}
	memcpy(to, "u00", 3);
	to[3] = hex[c >> 4];
	to[4] = hex[c & 15];
	return to + 5;
}

char *copy_bytes(char *to, const char *text, size_t size, uint64_t *seen)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		*seen |= c;
		if (c < 0x20 || c == '"' || c == '\\')
			to = escape(to, c);
		else
			*to++ = (char)c;
	}
	return to;
}

/* Four to seven bytes: two halves of a word that lie over each other. */
char *copy_short(char *to, const char *text, size_t size, uint64_t *seen)
{
	uint32_t first, last;
	uint64_t word;

	memcpy(&first, text, 4);
	memcpy(&last, text + size - 4, 4);
	word = (uint64_t)first << 32 | last;
	if (special(word))
		return copy_bytes(to, text, size, seen);
	*seen |= word;
	memcpy(to, &first, 4);
	memcpy(to + size - 4, &last, 4);
	return to + size;
}

char *copy_escaped(char *to, const char *text, size_t size, bool *ret_high)
{
	uint64_t seen = 0, word;
	size_t i = 0;

	for (; i + 8 <= size; i += 8) {
		memcpy(&word, text + i, 8);
		if (special(word)) {
			to = copy_bytes(to, text + i, 8, &seen);
			continue;
		}
		memcpy(to, &word, 8);
		seen |= word;
		to += 8;
	}
	to = size - i >= 4 ? copy_short(to, text + i, size - i, &seen)
			   : copy_bytes(to, text + i, size - i, &seen);
	*ret_high = seen & highs;
	return to;
}

int write_string(output &out, const char *text, size_t size)
{
	bool has_high;

	if (size > out.string_max)
		size = out.string_max;
	*out.to++ = '"';
	out.to = copy_escaped(out.to, text, size, &has_high);
	*out.to++ = '"';
	if (has_high && !out.lax && !simdjson::validate_utf8(text, size)) {
		out.reason = "a string is not valid UTF-8";
		return -EINVAL;
	}
	return 0;
}

void write_plain(output &out, const char *text, size_t size)
{
	memcpy(out.to, text, size);
	out.to += size;
}

int write_number(output &out, const char *&at, mp_type type)
{
	double x;

	if (type == MP_UINT) {
		out.to = std::to_chars(out.to, out.to + 24, mp_decode_uint(&at)).ptr;
	} else if (type == MP_INT) {
		out.to = std::to_chars(out.to, out.to + 24, mp_decode_int(&at)).ptr;
	} else {
		x = type == MP_DOUBLE ? mp_decode_double(&at) : (double)mp_decode_float(&at);
		if (std::isfinite(x)) {
			out.to += json_print_double(out.to, x);
			return 0;
		}
		out.reason = "JSON has no infinity and no not-a-number";
		write_plain(out, "NaN", 3);
		return out.lax ? 0 : -EINVAL;
	}
	return 0;
}

int write_any(output &out, const char *&at, unsigned depth);

int write_key(output &out, const char *&at, unsigned depth)
{
	uint32_t size;
	const char *text;
	int r;

	if (mp_typeof(*at) != MP_STR) {
		out.reason = "a map has a key that is no string";
		if (!out.lax)
			return -EINVAL;
		r = write_any(out, at, depth);
	} else {
		text = mp_decode_str(&at, &size);
		r = write_string(out, text, size);
	}
	*out.to++ = ':';
	return r;
}

int write_container(output &out, const char *&at, bool is_map, unsigned depth)
{
	uint32_t count = is_map ? mp_decode_map(&at) : mp_decode_array(&at);
	int r = 0;

	if (depth > depth_max) {
		out.reason = "nested more than 64 deep";
		return -EINVAL;
	}
	*out.to++ = is_map ? '{' : '[';
	for (uint32_t i = 0; i < count && r == 0 && out.to <= out.enough; i++) {
		if (i > 0)
			*out.to++ = ',';
		if (is_map)
			r = write_key(out, at, depth);
		if (r == 0)
			r = write_any(out, at, depth + 1);
	}
	*out.to++ = is_map ? '}' : ']';
	return r;
}

int write_other(output &out, const char *&at, mp_type type)
{
	mp_next(&at);
	out.reason = type == MP_BIN ? "binary data has no form in JSON"
				    : "a MessagePack extension has no form in JSON";
	write_plain(out, "(binary)", 8);
	return out.lax ? 0 : -EINVAL;
}

int write_any(output &out, const char *&at, unsigned depth)
{
	mp_type type = mp_typeof(*at);
	const char *text;
	uint32_t size;

	switch (type) {
	case MP_STR:
		text = mp_decode_str(&at, &size);
		return write_string(out, text, size);
	case MP_UINT:
	case MP_INT:
	case MP_FLOAT:
	case MP_DOUBLE:
		return write_number(out, at, type);
	case MP_BOOL:
		if (mp_decode_bool(&at))
			write_plain(out, "true", 4);
		else
			write_plain(out, "false", 5);
		return 0;
	case MP_NIL:
		mp_decode_nil(&at);
		write_plain(out, "null", 4);
		return 0;
	case MP_MAP:
	case MP_ARRAY:
		return write_container(out, at, type == MP_MAP, depth);
	default:
		return write_other(out, at, type);
	}
}

} // namespace

extern "C" int json_write(struct json_text *text, struct sl_value v, const char **ret_reason)
{
	const char *at = v.data;
	int r;

	if (!json_text_reserve(text, growth * v.size + spare)) {
		*ret_reason = "no memory";
		return -ENOMEM;
	}
	output out = { text->data + text->size, nullptr, false, text->data + text->capacity,
		SIZE_MAX };

	r = write_any(out, at, 1);
	if (r < 0)
		*ret_reason = out.reason;
	else
		text->size = (size_t)(out.to - text->data);
	return r;
}

/* Behind `enough` come at most one key, one value and what closes the containers. */
extern "C" int json_write_lax(struct json_text *text, struct sl_value v, size_t enough)
{
	const char *at = v.data;
	size_t small = growth * v.size + spare;
	size_t large = enough + 2 * growth * enough + 4 * spare;
	int r;

	if (!json_text_reserve(text, small < large ? small : large))
		return -ENOMEM;
	output out = { text->data + text->size, nullptr, true, text->data + text->size + enough,
		enough };

	r = write_any(out, at, 1);
	if (r == 0)
		text->size = (size_t)(out.to - text->data);
	return r;
}
