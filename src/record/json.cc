/* SPDX-License-Identifier: MIT */
/* See json.h: choosing a parser, and writing. */
#include "record/json.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include <msgpuck.h>
#include <simdjson.h>

#include "record/json_read.h"

const char json_reason_memory[] = "no memory";

namespace
{

constexpr unsigned depth_max = 64;

json_parser *choose_parser()
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
		__builtin_cpu_supports("pclmul"))
		return json_parser_avx2();
#endif
	return json_parser_plain();
}

} // namespace

/* The C side's name for a parser. */
extern "C" struct json_reader *json_reader_new(void)
{
	return reinterpret_cast<struct json_reader *>(choose_parser());
}

extern "C" void json_reader_free(struct json_reader *reader)
{
	delete reinterpret_cast<json_parser *>(reader);
}

extern "C" int json_read(struct json_reader *reader, const char *text, size_t size,
	struct sl_writer *w, const char **ret_reason)
{
	return reinterpret_cast<json_parser *>(reader)->read(text, size, w, ret_reason);
}

/* --- writing ------------------------------------------------------------------------------------- */

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

extern "C" size_t json_print_double(char *text, double x)
{
	double size = std::fabs(x);
	bool is_plain = size == 0 || (size >= 1e-5 && size < 1e16);
	char *end = std::to_chars(text, text + 31, x,
		is_plain ? std::chars_format::fixed : std::chars_format::scientific)
			    .ptr;

	if (is_plain && !memchr(text, '.', (size_t)(end - text))) {
		*end++ = '.';
		*end++ = '0';
	}
	return (size_t)(end - text);
}

namespace
{

struct output {
	json_text *text;
	const char *reason;
	bool lax;
	size_t enough; /* lax: stop behind so many bytes */
};

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

char *escape(char *to, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char into[] = "\"\\bfnrt";
	const char *found = (const char *)memchr(from, c, 7);

	*to++ = '\\';
	if (found) {
		*to++ = into[found - from];
		return to;
	}
	memcpy(to, "u00", 3);
	to[3] = hex[c >> 4];
	to[4] = hex[c & 15];
	return to + 5;
}

/* Room for the worst case is there: six bytes for each. */
char *copy_escaped(char *to, const char *text, size_t size, bool *ret_high)
{
	uint64_t seen = 0;
	size_t i = 0;

	while (i < size) {
		uint64_t word;

		if (i + 8 <= size) {
			memcpy(&word, text + i, 8);
			if (!special(word)) {
				memcpy(to, &word, 8);
				seen |= word;
				to += 8;
				i += 8;
				continue;
			}
		}
		unsigned char c = (unsigned char)text[i++];

		seen |= c;
		if (c < 0x20 || c == '"' || c == '\\')
			to = escape(to, c);
		else
			*to++ = (char)c;
	}
	*ret_high = seen & highs;
	return to;
}

int write_string(output &out, const char *text, size_t size)
{
	char *at;
	bool has_high;

	if (out.lax && size > out.enough)
		size = out.enough;
	if (!json_text_reserve(out.text, 6 * size + 2))
		return -ENOMEM;
	at = out.text->data + out.text->size;
	*at++ = '"';
	at = copy_escaped(at, text, size, &has_high);
	*at++ = '"';
	if (has_high && !out.lax && !simdjson::validate_utf8(text, size)) {
		out.reason = "a string is not valid UTF-8";
		return -EINVAL;
	}
	out.text->size = (size_t)(at - out.text->data);
	return 0;
}

int write_plain(output &out, const char *text, size_t size)
{
	if (!json_text_reserve(out.text, size))
		return -ENOMEM;
	memcpy(out.text->data + out.text->size, text, size);
	out.text->size += size;
	return 0;
}

int write_number(output &out, const char *&at, mp_type type)
{
	char *to;
	double x;

	if (!json_text_reserve(out.text, 32))
		return -ENOMEM;
	to = out.text->data + out.text->size;
	if (type == MP_UINT) {
		to = std::to_chars(to, to + 24, mp_decode_uint(&at)).ptr;
	} else if (type == MP_INT) {
		to = std::to_chars(to, to + 24, mp_decode_int(&at)).ptr;
	} else {
		x = type == MP_DOUBLE ? mp_decode_double(&at) : (double)mp_decode_float(&at);
		if (!std::isfinite(x)) {
			out.reason = "JSON has no infinity and no not-a-number";
			return out.lax ? write_plain(out, "NaN", 3) : -EINVAL;
		}
		to += json_print_double(to, x);
	}
	out.text->size = (size_t)(to - out.text->data);
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
	return r < 0 ? r : write_plain(out, ":", 1);
}

bool is_enough(const output &out)
{
	return out.lax && out.text->size > out.enough;
}

int write_container(output &out, const char *&at, bool is_map, unsigned depth)
{
	uint32_t count = is_map ? mp_decode_map(&at) : mp_decode_array(&at);
	int r = write_plain(out, is_map ? "{" : "[", 1);

	if (depth > depth_max) {
		out.reason = "nested more than 64 deep";
		return -EINVAL;
	}
	for (uint32_t i = 0; i < count && r == 0 && !is_enough(out); i++) {
		if (i > 0)
			r = write_plain(out, ",", 1);
		if (r == 0 && is_map)
			r = write_key(out, at, depth);
		if (r == 0)
			r = write_any(out, at, depth + 1);
	}
	return r < 0 ? r : write_plain(out, is_map ? "}" : "]", 1);
}

int write_other(output &out, const char *&at, mp_type type)
{
	mp_next(&at);
	out.reason = type == MP_BIN ? "binary data has no form in JSON"
				    : "a MessagePack extension has no form in JSON";
	return out.lax ? write_plain(out, "(binary)", 8) : -EINVAL;
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
		return mp_decode_bool(&at) ? write_plain(out, "true", 4)
					   : write_plain(out, "false", 5);
	case MP_NIL:
		mp_decode_nil(&at);
		return write_plain(out, "null", 4);
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
	output out = { text, nullptr, false, 0 };
	size_t before = text->size;
	const char *at = v.data;
	int r = write_any(out, at, 1);

	if (r < 0) {
		text->size = before;
		*ret_reason = r == -ENOMEM ? json_reason_memory : out.reason;
	}
	return r;
}

extern "C" int json_write_lax(struct json_text *text, struct sl_value v, size_t enough)
{
	output out = { text, nullptr, true, enough };
	const char *at = v.data;

	return write_any(out, at, 1);
}
