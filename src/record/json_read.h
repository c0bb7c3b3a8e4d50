/* SPDX-License-Identifier: MIT */
/* Between json.cc and json_read.cc: a parser of one instruction set. */
#ifndef RECORD_JSON_READ_H
#define RECORD_JSON_READ_H

#include "record/json.h"

extern const char json_reason_memory[];

struct json_parser {
	virtual ~json_parser() = default;
	/* As json_read. */
	virtual int read(
		const char *text, size_t size, struct sl_writer *w, const char **ret_reason) = 0;
};

/* nullptr: no memory. */
json_parser *json_parser_plain();
json_parser *json_parser_avx2();

#endif
