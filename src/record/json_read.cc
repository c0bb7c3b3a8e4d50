/* SPDX-License-Identifier: MIT */
/*
 * JSON to MessagePack by simdjson's on-demand parser: it finds the structure and checks UTF-8 for the whole document
 * first; values are checked as they are visited, so all of them are.
 *
 * That API is of one instruction set, chosen when it is compiled. So this file is compiled twice, and json.cc chooses when it
 * runs. JSON_SET names the set: it is part of the name of the one function that is seen from outside.
 */
#include "record/json_read.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include <msgpuck.h>
#include <simdjson.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

using namespace simdjson;

namespace
{

constexpr unsigned depth_max = 64;

const char reason_big[] = "an integer does not fit 64 bits";
const char reason_deep[] = "nested more than 64 deep";

const char *reason_of(error_code error)
{
	switch (error) {
	case UTF8_ERROR:
		return "invalid UTF-8";
	case UNESCAPED_CHARS:
		return "a control character in a string";
	case UNCLOSED_STRING:
		return "an unclosed string";
	case EMPTY:
		return "nothing where a value should be";
	case NUMBER_ERROR:
		return "a malformed or too large number";
	case STRING_ERROR:
		return "a malformed escape in a string";
	case TRAILING_CONTENT:
		return "something behind the end of the value";
	case DEPTH_ERROR:
		return reason_deep;
	case INCOMPLETE_ARRAY_OR_OBJECT:
		return "an array or object is not closed";
	default:
		return "malformed JSON";
	}
}

struct refusal {
	const char *reason;
};

void check(error_code error)
{
	if (error)
		throw refusal{ reason_of(error) };
}

/*
 * Room for all of a document is made before its first value: "1e9," is nine bytes, no other text grows as much. So nothing below asks for
 * more.
 */
void make_room(sl_writer *w, size_t size)
{
	if (!sl_writer_reserve(w, 3 * size + 64))
		throw refusal{ json_reason_memory };
}

char *here(sl_writer *w)
{
	return w->data + w->size;
}

void claim(sl_writer *w, const char *end)
{
	w->size = (size_t)(end - w->data);
}

void put_text(sl_writer *w, const char *text, size_t size)
{
	claim(w, mp_encode_str(here(w), text, (uint32_t)size));
}

constexpr uint64_t ones = 0x0101010101010101u;
constexpr uint64_t highs = 0x8080808080808080u;

/* The first quote or backslash. There is one, and behind the text is padding. */
const char *find_special(const char *text)
{
	for (;; text += 8) {
		uint64_t word, quote, slash;

		memcpy(&word, text, 8);
		quote = word ^ (ones * '"');
		slash = word ^ (ones * '\\');
		if ((((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs)
			break;
	}
	while (*text != '"' && *text != '\\')
		text++;
	return text;
}

/* A JSON string's raw inside: copied as it is when nothing is escaped. */
bool put_raw(sl_writer *w, const char *inside)
{
	const char *end = find_special(inside);

	if (*end != '"')
		return false;
	put_text(w, inside, (size_t)(end - inside));
	return true;
}

bool is_integer(std::string_view token)
{
	size_t i = !token.empty() && token[0] == '-';
	size_t digits = 0;

	for (; i < token.size() && token[i] >= '0' && token[i] <= '9'; i++)
		digits++;
	return digits > 18 && (i == token.size() || strchr(" \t\r\n,]}", token[i]));
}

/*
 * A container's head is one byte while it has at most 15 members, as nearly all have; for the others what was
 * written behind it moves up.
 */
void close_head(sl_writer *w, size_t head, uint32_t count, bool is_map)
{
	char bytes[5];
	char *end = is_map ? mp_encode_map(bytes, count) : mp_encode_array(bytes, count);
	size_t size = (size_t)(end - bytes);

	if (size > 1) {
		memmove(w->data + head + size, w->data + head + 1, w->size - head - 1);
		w->size += size - 1;
	}
	memcpy(w->data + head, bytes, size);
}

size_t open_head(sl_writer *w)
{
	size_t head = w->size;

	w->size++;
	return head;
}

void put_string(sl_writer *w, ondemand::value value)
{
	std::string_view token = value.raw_json_token();
	std::string_view text;

	if (put_raw(w, token.data() + 1))
		return;
	check(value.get_string().get(text));
	put_text(w, text.data(), text.size());
}

template <class V> void put_number(sl_writer *w, V &value, std::string_view token)
{
	ondemand::number number;
	int64_t integer;
	error_code error = value.get_number().get(number);

	if (error && is_integer(token))
		throw refusal{ reason_big };
	check(error);
	switch (number.get_number_type()) {
	case ondemand::number_type::signed_integer:
		integer = number.get_int64();
		claim(w, integer < 0 ? mp_encode_int(here(w), integer)
				     : mp_encode_uint(here(w), (uint64_t)integer));
		break;
	case ondemand::number_type::unsigned_integer:
		claim(w, mp_encode_uint(here(w), number.get_uint64()));
		break;
	default:
		claim(w, mp_encode_double(here(w), number.get_double()));
	}
}

void put_value(sl_writer *w, ondemand::value value, unsigned depth);

void put_object(sl_writer *w, ondemand::object object, unsigned depth)
{
	size_t head = open_head(w);
	uint32_t count = 0;

	for (auto field : object) {
		ondemand::raw_json_string key;
		ondemand::value value;
		std::string_view text;

		check(field.error());
		key = field.key();
		if (!put_raw(w, key.raw())) {
			check(field.unescaped_key().get(text));
			put_text(w, text.data(), text.size());
		}
		check(field.value().get(value));
		put_value(w, value, depth + 1);
		count++;
	}
	close_head(w, head, count, true);
}

void put_array(sl_writer *w, ondemand::array array, unsigned depth)
{
	size_t head = open_head(w);
	uint32_t count = 0;

	for (auto element : array) {
		ondemand::value value;

		check(element.get(value));
		put_value(w, value, depth + 1);
		count++;
	}
	close_head(w, head, count, false);
}

void put_value(sl_writer *w, ondemand::value value, unsigned depth)
{
	ondemand::json_type type;
	ondemand::object object;
	ondemand::array array;
	bool truth;

	if (depth > depth_max)
		throw refusal{ reason_deep };
	check(value.type().get(type));
	switch (type) {
	case ondemand::json_type::object:
		check(value.get_object().get(object));
		put_object(w, object, depth);
		break;
	case ondemand::json_type::array:
		check(value.get_array().get(array));
		put_array(w, array, depth);
		break;
	case ondemand::json_type::string:
		put_string(w, value);
		break;
	case ondemand::json_type::number:
		put_number(w, value, value.raw_json_token());
		break;
	case ondemand::json_type::boolean:
		check(value.get_bool().get(truth));
		claim(w, mp_encode_bool(here(w), truth));
		break;
	default: {
		bool is_null = false;

		check(value.is_null().get(is_null));
		if (!is_null)
			throw refusal{ "malformed JSON" };
		claim(w, mp_encode_nil(here(w)));
	}
	}
}

/* A document that is a bare scalar: simdjson treats the root of a document differently. */
void put_scalar(sl_writer *w, ondemand::document &document, ondemand::json_type type)
{
	std::string_view text;
	bool truth = false;

	switch (type) {
	case ondemand::json_type::string:
		check(document.get_string().get(text));
		put_text(w, text.data(), text.size());
		break;
	case ondemand::json_type::number:
		check(document.raw_json_token().get(text));
		put_number(w, document, text);
		break;
	case ondemand::json_type::boolean:
		check(document.get_bool().get(truth));
		claim(w, mp_encode_bool(here(w), truth));
		break;
	default:
		check(document.is_null().get(truth));
		if (!truth)
			throw refusal{ "malformed JSON" };
		claim(w, mp_encode_nil(here(w)));
	}
}

void put_document(sl_writer *w, ondemand::document &document)
{
	ondemand::json_type type;
	ondemand::object object;
	ondemand::array array;

	check(document.type().get(type));
	switch (type) {
	case ondemand::json_type::object:
		check(document.get_object().get(object));
		put_object(w, object, 1);
		break;
	case ondemand::json_type::array:
		check(document.get_array().get(array));
		put_array(w, array, 1);
		break;
	default:
		put_scalar(w, document, type);
	}
	if (!document.current_location().error())
		throw refusal{ reason_of(TRAILING_CONTENT) };
}

struct parser : json_parser {
	ondemand::parser own;

	int read(const char *text, size_t size, struct sl_writer *w,
		const char **ret_reason) override
	{
		size_t before = w->size;

		try {
			ondemand::document document;

			make_room(w, size);
			check(own.iterate(padded_string_view(text, size, size + JSON_PADDING))
					.get(document));
			put_document(w, document);
			return 0;
		} catch (const refusal &refused) {
			w->size = before;
			*ret_reason = refused.reason;
			return refused.reason == json_reason_memory ? -ENOMEM : -EINVAL;
		} catch (const std::bad_alloc &) {
			w->size = before;
			*ret_reason = json_reason_memory;
			return -ENOMEM;
		}
	}
};

} // namespace

json_parser *JOIN(json_parser_, JSON_SET)()
{
	return new (std::nothrow) parser;
}
