/* SPDX-License-Identifier: MIT */
/*
 * Text with fields of the record in it: "https://shop.example/orders/{id}". {a.b} is a field of a field; {{ and }} are the braces
 * themselves. Compiled once, then constant: any number of threads may print it.
 */
#ifndef STAGES_HTTP_TEMPLATE_H
#define STAGES_HTTP_TEMPLATE_H

#include "text.h"

enum part_kind {
	PART_TEXT,
	PART_FIELD,
	PART_RAW, /* {+field}: a piece of an address that is already one, RFC 6570 */
	PART_KEY, /* {!key}: the name of the request, in a sink */
};

struct template_part {
	enum part_kind kind;
	const char *text;
	size_t size;
};

/* The texts are borrowed from what was compiled. Zeroed: empty. */
struct template
{
	struct template_part *parts;
	uint32_t count;
};

enum template_mode {
	TEMPLATE_URL, /* percent-encoded, as in a form; maps, arrays and null have no place there */
	TEMPLATE_HEADER, /* as it is; what would break the line is refused too */
	TEMPLATE_TEXT,   /* as it is */
	TEMPLATE_JSON,   /* as JSON, quotes and all */
};

/* What stands for the fields. */
struct template_input {
	struct sl_value record;
	const char *key; /* NULL: none */
};

/* `has_key`: {!key} may stand there. 0; -EINVAL with the reason, which quotes nothing of `text`; -ENOMEM. In any case template_fini may be called. */
int template_compile(
	struct template *ret_template, const char *text, bool has_key, struct reason *reason);
void template_fini(struct template *t);

bool template_has_fields(const struct template *t);
bool template_has_raw(const struct template *t);
bool template_has_key(const struct template *t);

/* Appends to the text in `w`. 0; -EINVAL with the reason, which names the field and not its value; -ENOMEM. */
int template_print(const struct template *t, enum template_mode mode,
	const struct template_input *input, struct sl_writer *w, struct reason *reason);
/* The same with `sample` for every field: to see what it will look like. 0 or -ENOMEM. */
int template_sample(const struct template *t, const char *sample, struct sl_writer *w);

#endif
