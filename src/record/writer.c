/* SPDX-License-Identifier: MIT */
/* Writing MessagePack values: see include/sluice/record.h. */
#include <sluice/record.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <msgpuck.h>

#define FIRST_CAPACITY 256
#define HEAD_MAX 9 /* of any value: type byte and 8 bytes */

void sl_writer_init(struct sl_writer *w)
{
	*w = (struct sl_writer){ 0 };
}

void sl_writer_fini(struct sl_writer *w)
{
	free(w->data);
	sl_writer_init(w);
}

void sl_writer_reset(struct sl_writer *w)
{
	w->size = 0;
	w->mark = 0;
	w->count = 0;
	w->error = 0;
}

static bool grow(struct sl_writer *w, size_t size)
{
	size_t capacity = w->capacity ? w->capacity : FIRST_CAPACITY;
	char *data;

	while (capacity - w->size < size) {
		if (capacity > SIZE_MAX / 2)
			return false;
		capacity *= 2;
	}
	data = realloc(w->data, capacity);
	if (!data)
		return false;
	w->data = data;
	w->capacity = capacity;
	return true;
}

char *sl_writer_reserve(struct sl_writer *w, size_t size)
{
	if (w->error)
		return NULL;
	if (w->capacity - w->size < size && !grow(w, size)) {
		w->error = -ENOMEM;
		return NULL;
	}
	return w->data + w->size;
}

/* What an encoder left behind is now part of the buffer. */
static void claim(struct sl_writer *w, const char *end)
{
	w->size = (size_t)(end - w->data);
}

void sl_put_nil(struct sl_writer *w)
{
	char *at = sl_writer_reserve(w, HEAD_MAX);

	if (at)
		claim(w, mp_encode_nil(at));
}

void sl_put_bool(struct sl_writer *w, bool x)
{
	char *at = sl_writer_reserve(w, HEAD_MAX);

	if (at)
		claim(w, mp_encode_bool(at, x));
}

void sl_put_int(struct sl_writer *w, int64_t x)
{
	char *at = sl_writer_reserve(w, HEAD_MAX);

	if (at)
		claim(w, x < 0 ? mp_encode_int(at, x) : mp_encode_uint(at, (uint64_t)x));
}

void sl_put_uint(struct sl_writer *w, uint64_t x)
{
	char *at = sl_writer_reserve(w, HEAD_MAX);

	if (at)
		claim(w, mp_encode_uint(at, x));
}

void sl_put_double(struct sl_writer *w, double x)
{
	char *at = sl_writer_reserve(w, HEAD_MAX);

	if (at)
		claim(w, mp_encode_double(at, x));
}

void sl_put_str(struct sl_writer *w, const char *text, size_t size)
{
	char *at = size <= UINT32_MAX ? sl_writer_reserve(w, size + HEAD_MAX) : NULL;

	if (at)
		claim(w, mp_encode_str(at, text, (uint32_t)size));
	else if (!w->error)
		w->error = -ENOMEM;
}

void sl_put_cstr(struct sl_writer *w, const char *text)
{
	sl_put_str(w, text, strlen(text));
}

void sl_put_bin(struct sl_writer *w, const void *data, size_t size)
{
	char *at = size <= UINT32_MAX ? sl_writer_reserve(w, size + HEAD_MAX) : NULL;

	if (at)
		claim(w, mp_encode_bin(at, data, (uint32_t)size));
	else if (!w->error)
		w->error = -ENOMEM;
}

void sl_put_array(struct sl_writer *w, uint32_t count)
{
	char *at = sl_writer_reserve(w, HEAD_MAX);

	if (at)
		claim(w, mp_encode_array(at, count));
}

void sl_put_map(struct sl_writer *w, uint32_t count)
{
	char *at = sl_writer_reserve(w, HEAD_MAX);

	if (at)
		claim(w, mp_encode_map(at, count));
}

void sl_put_value(struct sl_writer *w, struct sl_value v)
{
	char *at = sl_writer_reserve(w, v.size);

	if (at) {
		memcpy(at, v.data, v.size);
		w->size += v.size;
	}
}

int sl_record_done(struct sl_writer *w)
{
	if (w->error)
		return w->error;
	w->mark = w->size;
	w->count++;
	return 0;
}

void sl_record_abandon(struct sl_writer *w)
{
	w->size = w->mark;
}
