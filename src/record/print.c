/* SPDX-License-Identifier: MIT */
/* Values as JSON text and back, for stages and messages: see include/sluice/record.h. */
#include <sluice/record.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "record/json.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t reader_key;

void sl_print(struct sl_value v, char *text, size_t size)
{
	struct json_text out = { 0 };

	if (size == 0)
		return;
	text[0] = '\0';
	if (v.data && json_write_lax(&out, v, size) == 0) {
		bool is_cut = out.size >= size;
		bool has_dots = is_cut && size > 4;
		size_t fits = is_cut ? utf8_cut(out.data, size - (has_dots ? 4 : 1)) : out.size;

		memcpy(text, out.data, fits);
		memcpy(text + fits, has_dots ? "..." : "", has_dots ? 4 : 1);
	}
	json_text_free(&out);
}

int sl_json_print(struct sl_writer *w, struct sl_value v, const char **ret_reason)
{
	struct json_text text = { .data = w->data, .size = w->size, .capacity = w->capacity };
	int r = json_write(&text, v, ret_reason);

	/* Both are malloc()ed buffers of the same shape; the text may have moved it. */
	w->data = text.data;
	w->size = text.size;
	w->capacity = text.capacity;
	return r;
}

static void free_reader(void *reader)
{
	json_reader_free(reader);
}

static void make_key(void)
{
	(void)pthread_key_create(&reader_key, free_reader);
}

static struct json_reader *thread_reader(void)
{
	struct json_reader *reader;

	(void)pthread_once(&once, make_key);
	reader = pthread_getspecific(reader_key);
	if (!reader) {
		reader = json_reader_new();
		(void)pthread_setspecific(reader_key, reader);
	}
	return reader;
}

int sl_json_parse(struct sl_writer *w, const char *text, size_t size, const char **ret_reason)
{
	struct json_reader *reader = thread_reader();
	char *padded = malloc(size + JSON_PADDING);
	int r = -ENOMEM;

	*ret_reason = "no memory";
	if (reader && padded) {
		memcpy(padded, text, size);
		memset(padded + size, 0, JSON_PADDING);
		r = json_read(reader, padded, size, w, ret_reason);
	}
	free(padded);
	return r;
}
