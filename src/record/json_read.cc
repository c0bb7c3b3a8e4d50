/* SPDX-License-Identifier: MIT */
/*
 * JSON to MessagePack by simdjson's DOM parser: it checks the whole document and leaves a tape of it, which is walked here. It is compiled
 * into simdjson for several instruction sets and chooses one when it runs; our walk needs none of them.
 */
#include "record/json.h"

#include <cctype>
#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>

#include <msgpuck.h>
#include <simdjson.h>

using namespace simdjson;

namespace
{

constexpr size_t depth_max = 64;
constexpr size_t first_capacity = 4096; /* bytes of a document */

/* Room for all of a document is made before its first value: "1e9," is nine bytes, no other text grows as much. So nothing below asks for more. */
constexpr size_t growth = 3;
constexpr size_t spare = 64;

const char reason_memory[] = "no memory";
const char reason_deep[] = "nested more than 64 deep";

/* --- why not -------------------------------------------------------------------------------------- */

/* Behind the string that begins there. */
size_t skip_string(std::string_view text, size_t at)
{
	for (at++; at < text.size() && text[at] != '"'; at++)
		at += text[at] == '\\';
	return at + 1;
}

/* Is there an integer of more than 18 digits? Then it is most likely what was refused. */
bool has_big_integer(std::string_view text)
{
	for (size_t at = 0; at < text.size();) {
		size_t end = at;

		if (text[at] == '"') {
			at = skip_string(text, at);
			continue;
		}
		while (end < text.size() && isdigit((unsigned char)text[end]))
			end++;
		if (end - at > 18 && (end == text.size() || strchr(" \t\r\n,]}", text[end])))
			return true;
		at = end > at ? end : at + 1;
	}
	return false;
}

/* What simdjson has one error for: something is missing, or stands where it should not. */
const char *reason_of_structure(std::string_view text)
{
	size_t open = 0;

	for (size_t at = 0; at < text.size(); at++) {
		if (text[at] == '"')
			at = skip_string(text, at) - 1;
		else if (text[at] == '{' || text[at] == '[')
			open++;
		else if ((text[at] == '}' || text[at] == ']') && --open == 0)
			return text.find_first_not_of(" \t\r\n", at + 1) < text.size()
				       ? "something behind the end of the value"
				       : "malformed JSON";
		else if (open == 0 && !strchr(" \t\r\n", text[at]))
			return "malformed JSON";
	}
	return "an array or object is not closed";
}

const char *reason_of(error_code error, std::string_view text)
{
	switch (error) {
	case MEMALLOC:
		return reason_memory;
	case CAPACITY:
		return "a document of 4 GiB or more";
	case UTF8_ERROR:
		return "invalid UTF-8";
	case UNESCAPED_CHARS:
		return "a control character in a string";
	case UNCLOSED_STRING:
		return "an unclosed string";
	case EMPTY:
		return "nothing where a value should be";
	case NUMBER_ERROR:
		return has_big_integer(text) ? "an integer does not fit 64 bits"
					     : "a malformed or too large number";
	case STRING_ERROR:
		return "a malformed escape in a string";
	case DEPTH_ERROR:
		return reason_deep;
	case TAPE_ERROR:
		return reason_of_structure(text);
	default:
		return "malformed JSON";
	}
}

/* --- the tape ------------------------------------------------------------------------------------- */

char *put_value(char *to, dom::element value);

char *put_text(char *to, std::string_view text)
{
	return mp_encode_str(to, text.data(), (uint32_t)text.size());
}

/* simdjson counts members up to 2^24 - 1 only. */
template <class Container> uint32_t count_of(const Container &container)
{
	uint32_t count = (uint32_t)container.size();

	if (count == 0xffffff) {
		count = 0;
		for (auto at = container.begin(); at != container.end(); ++at)
			count++;
	}
	return count;
}

char *put_object(char *to, dom::object object)
{
	to = mp_encode_map(to, count_of(object));
	for (dom::key_value_pair field : object)
		to = put_value(put_text(to, field.key), field.value);
	return to;
}

char *put_array(char *to, dom::array array)
{
	to = mp_encode_array(to, count_of(array));
	for (dom::element element : array)
		to = put_value(to, element);
	return to;
}

char *put_integer(char *to, int64_t x)
{
	return x < 0 ? mp_encode_int(to, x) : mp_encode_uint(to, (uint64_t)x);
}

char *put_value(char *to, dom::element value)
{
	switch (value.type()) {
	case dom::element_type::OBJECT:
		return put_object(to, value.get_object().value_unsafe());
	case dom::element_type::ARRAY:
		return put_array(to, value.get_array().value_unsafe());
	case dom::element_type::STRING:
		return put_text(to, value.get_string().value_unsafe());
	case dom::element_type::INT64:
		return put_integer(to, value.get_int64().value_unsafe());
	case dom::element_type::UINT64:
		return mp_encode_uint(to, value.get_uint64().value_unsafe());
	case dom::element_type::DOUBLE:
		return mp_encode_double(to, value.get_double().value_unsafe());
	case dom::element_type::BOOL:
		return mp_encode_bool(to, value.get_bool().value_unsafe());
	default:
		return mp_encode_nil(to);
	}
}

} // namespace

/* --- for C ---------------------------------------------------------------------------------------- */

struct json_reader {
	dom::parser parser;
};

extern "C" struct json_reader *json_reader_new(void)
{
	struct json_reader *reader = new (std::nothrow) json_reader;

	if (reader && reader->parser.allocate(first_capacity, depth_max) == SUCCESS)
		return reader;
	delete reader;
	return nullptr;
}

extern "C" void json_reader_free(struct json_reader *reader)
{
	delete reader;
}

extern "C" int json_read(struct json_reader *reader, const char *text, size_t size,
	struct sl_writer *w, const char **ret_reason)
{
	dom::element document;
	error_code error = reader->parser.parse(text, size, false).get(document);
	char *to = error ? nullptr : sl_writer_reserve(w, growth * size + spare);

	if (to) {
		w->size = (size_t)(put_value(to, document) - w->data);
		return 0;
	}
	*ret_reason = error ? reason_of(error, { text, size }) : reason_memory;
	return *ret_reason == reason_memory ? -ENOMEM : -EINVAL;
}
