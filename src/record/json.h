/* SPDX-License-Identifier: MIT */
/*
 * JSON to MessagePack and back, over simdjson and std::to_chars, behind a C header. Reading: exactly one document,
 * every value visited, so that nothing malformed passes; integers exact in 64 bits, UTF-8 valid, nested at
 * most 64 deep. Writing: the shortest number that reads back the same, a float stays a float ("1.0").
 */
#ifndef RECORD_JSON_H
#define RECORD_JSON_H

#include <sluice/record.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that must be readable (whatever they hold) behind what json_read is given. */
#define JSON_PADDING 64

struct json_reader;
struct json_reader *json_reader_new(void);
void json_reader_free(struct json_reader *reader);

/*
 * Puts the one document in [text, text + size) into `w`, as one value, without sl_record_done. 0, or -EINVAL with
 * *ret_reason (constant text) and what was put taken back; -ENOMEM.
 */
int json_read(struct json_reader *reader, const char *text, size_t size, struct sl_writer *w,
	const char **ret_reason);

/* A growing text. Zeroed to begin with. */
struct json_text {
	char *data;
	size_t size;
	size_t capacity;
};
void json_text_free(struct json_text *text);
/* Room for `more` bytes; false without memory. */
bool json_text_reserve(struct json_text *text, size_t more);

/* Appends the value. 0; -EINVAL with *ret_reason and the text as before: JSON has no such value; -ENOMEM. */
int json_write(struct json_text *text, struct sl_value v, const char **ret_reason);
/* For messages: what JSON has not is shown some other way; stops soon behind `enough` bytes. */
int json_write_lax(struct json_text *text, struct sl_value v, size_t enough);

/* The double as json_write prints it, into 32 bytes; the length. x must be finite. */
size_t json_print_double(char *text, double x);
/* A number in JSON's form or with leading zeros, and nothing else, whatever the locale; false: it is none, or beyond what a double holds. */
bool json_read_double(const char *text, size_t size, double *ret);
bool json_is_utf8(const char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
