/* SPDX-License-Identifier: MIT */
/* See pieces.h. */
#include "pieces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "target.h"

int pieces_init(struct sl_context *ctx, struct pieces *p)
{
	*p = (struct pieces){ .memory = memfd_create("sluice-http", MFD_CLOEXEC) };
	return p->memory < 0
		       ? sl_error(ctx, -errno, "cannot get memory: %s", strerrordesc_np(errno))
		       : 0;
}

static void free_arrays(struct pieces *p)
{
	free(p->items);
	free(p->order);
	free(p->parts);
	free(p->begins);
	free(p->groups);
	p->items = NULL;
	p->order = NULL;
	p->parts = NULL;
	p->begins = NULL;
	p->groups = NULL;
	p->capacity = 0;
}

void pieces_fini(struct pieces *p)
{
	sl_writer_fini(&p->text);
	sl_writer_fini(&p->target);
	sl_writer_fini(&p->head);
	free_arrays(p);
	if (p->memory >= 0)
		(void)close(p->memory);
}

static int make_room(struct pieces *p, uint32_t count)
{
	if (count <= p->capacity)
		return 0;
	free_arrays(p);
	p->items = calloc(count, sizeof(*p->items));
	p->order = calloc(count, sizeof(*p->order));
	p->parts = calloc(count, sizeof(*p->parts));
	p->begins = calloc((size_t)count + 1, sizeof(*p->begins));
	p->groups = calloc(count, sizeof(*p->groups));
	if (!p->items || !p->order || !p->parts || !p->begins || !p->groups)
		return -ENOMEM;
	p->capacity = count;
	return 0;
}

/* --- one record ----------------------------------------------------------------------------------- */

/* With the line before it; what follows it stands there too. */
static int put_json(
	struct pieces *p, const struct sink *sink, struct sl_value record, struct reason *reason)
{
	const struct template_input input = { .record = record };
	const char *why = "";
	int r = 0;

	if (sink->before) {
		r = template_print(&sink->before_template, TEMPLATE_JSON, &input, &p->text, reason);
		if (r < 0)
			return r;
		text_put_cstr(&p->text, "\n");
	}
	r = sl_json_print(&p->text, record, &why);
	if (r == -EINVAL)
		return reason_set(reason, r, "no form in JSON: %s", why);
	if (sink->body == BODY_NDJSON)
		text_put_cstr(&p->text, "\n");
	return r < 0 ? r : p->text.error;
}

/* Takes what the encoder wrote. */
static int take_memory(struct pieces *p)
{
	off_t size = lseek(p->memory, 0, SEEK_CUR);
	char *at = sl_writer_reserve(&p->text, (size_t)size + 1);
	ssize_t n = at ? pread(p->memory, at, (size_t)size, 0) : 0;

	if (!at)
		return -ENOMEM;
	if (n != size || lseek(p->memory, 0, SEEK_SET) < 0)
		return -EIO;
	p->text.size += (size_t)n;
	return 0;
}

static int put_csv(
	struct pieces *p, struct sl_encoder *encoder, struct sl_value record, struct reason *reason)
{
	int r = sl_encoder_write(encoder, record);

	if (r == -EINVAL)
		return reason_set(reason, r, "no form in CSV: %s", sl_encoder_reason(encoder));
	r = r ? r : sl_encoder_flush(encoder);
	return r ? r : take_memory(p);
}

/* Where it goes; -EINVAL: nowhere. The key is not known yet, and tells no groups apart. */
static int find_target(struct pieces *p, const struct sink *sink, struct sl_value record,
	struct hash *hash, struct reason *reason)
{
	const struct template_input input = { .record = record, .key = "" };
	int r;

	sl_writer_reset(&p->target);
	r = target_print(&sink->url_template, &input, &p->target, reason);
	if (r == 0) {
		text_put(&p->target, "", 1);
		r = client_print_headers(&sink->http, &input, &p->target, reason);
	}
	/* Where each record is a request nothing is put together, and the order of the batch stays. */
	if (r == 0 && sink->body != BODY_RECORD)
		hash_add(hash, p->target.data, p->target.size);
	return r;
}

static uint32_t find_group(struct pieces *p, const struct hash *hash)
{
	for (uint32_t i = p->group_count; i > 0; i--)
		if (p->groups[i - 1].value == hash->value)
			return i - 1;
	p->groups[p->group_count] = *hash;
	return p->group_count++;
}

static int put_piece(struct pieces *p, const struct sink *sink, struct sl_encoder *encoder,
	struct sl_value record, struct reason *reason)
{
	bool has_fields =
		template_has_fields(&sink->url_template) || client_has_fields(&sink->http);
	struct piece *piece = &p->items[p->count];
	struct hash hash;
	int r = 0;

	hash_init(&hash);
	piece->at = p->text.size;
	if (has_fields)
		r = find_target(p, sink, record, &hash, reason);
	if (r == 0)
		r = encoder ? put_csv(p, encoder, record, reason)
			    : put_json(p, sink, record, reason);
	if (r < 0) {
		p->text.size = piece->at;
		return r;
	}
	piece->size = p->text.size - piece->at;
	piece->group = find_group(p, &hash);
	p->count++;
	return 0;
}

/* --- csv ------------------------------------------------------------------------------------------ */

static void put_name(struct sl_writer *w, const char *name)
{
	if (*name && !strpbrk(name, ",\"\r\n")) {
		text_put_cstr(w, name);
		return;
	}
	text_put_cstr(w, "\"");
	for (; *name; name++)
		text_put(w, *name == '"' ? "\"\"" : name, *name == '"' ? 2 : 1);
	text_put_cstr(w, "\"");
}

static int put_head(struct pieces *p, const char *const *names, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		text_put_cstr(&p->head, i > 0 ? "," : "");
		put_name(&p->head, names[i]);
	}
	text_put_cstr(&p->head, "\n");
	return p->head.error;
}

/* The fields of the first record are the columns of all: 0-terminated names in `names`, which `list` points to. */
static int name_columns(struct sl_value record, struct sl_writer *names, const char ***ret_list,
	uint32_t *ret_count)
{
	struct sl_cursor c = sl_walk(record);
	struct sl_value key, value;
	uint32_t count = 0;
	const char *text;
	size_t size;

	if (sl_kind(record) != SL_MAP)
		text_put(names, "value", 6);
	while (sl_kind(record) == SL_MAP && sl_next(&c, &key, &value))
		if (sl_get_str(key, &text, &size)) {
			text_put(names, text, size);
			text_put(names, "", 1);
		}
	for (size_t i = 0; i < names->size; i++)
		count += names->data[i] == '\0';
	*ret_list = calloc((size_t)count + 1, sizeof(**ret_list));
	if (names->error || !*ret_list)
		return -ENOMEM;
	text = names->data;
	for (uint32_t i = 0; i < count; i++, text += strlen(text) + 1)
		(*ret_list)[i] = text;
	*ret_count = count;
	return 0;
}

static struct sl_encoder *open_encoder(
	struct pieces *p, const char *const *names, uint32_t count, int *ret_error)
{
	const struct sl_codec codec = {
		.format = SL_FORMAT_CSV,
		.compression = SL_COMPRESSION_NONE,
		.no_header = true,
		.columns = names,
		.column_count = count,
	};

	*ret_error = lseek(p->memory, 0, SEEK_SET) < 0 ? -errno : put_head(p, names, count);
	return *ret_error == 0 ? sl_encoder_new(&codec, p->memory, ret_error) : NULL;
}

/* --- the batch ------------------------------------------------------------------------------------ */

static int put_pieces(struct sl_context *ctx, struct pieces *p, const struct sink *sink,
	struct sl_encoder *encoder, const struct sl_batch *in)
{
	struct reason reason;

	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		struct sl_value record = sl_batch_record(in, i);
		int r;

		p->items[p->count].record = i;
		r = put_piece(p, sink, encoder, record, &reason);
		if (r == -EINVAL) {
			(void)sl_reject(ctx, NULL, record, "%s", reason.text);
			p->rejected++;
		} else if (r < 0) {
			return r;
		}
	}
	return 0;
}

static int put_rows(struct sl_context *ctx, struct pieces *p, const struct sink *sink,
	const struct sl_batch *in)
{
	const char *const *names = sink->columns.items;
	uint32_t count = sink->columns.count;
	struct sl_encoder *encoder = NULL;
	const char **list = NULL;
	struct sl_writer text;
	int r = 0;

	sl_writer_init(&text);
	if (count == 0) {
		r = name_columns(sl_batch_record(in, 0), &text, &list, &count);
		names = list;
	}
	if (r == 0)
		encoder = open_encoder(p, names, count, &r);
	if (r == 0)
		r = put_pieces(ctx, p, sink, encoder, in);
	sl_encoder_free(encoder);
	sl_writer_fini(&text);
	free(list);
	return r;
}

/* Groups in the order in which they begin, in each the order of the batch. */
static void put_in_order(struct pieces *p)
{
	memset(p->begins, 0, ((size_t)p->group_count + 1) * sizeof(*p->begins));
	for (uint32_t i = 0; i < p->count; i++)
		p->begins[p->items[i].group + 1]++;
	for (uint32_t i = 1; i <= p->group_count; i++)
		p->begins[i] += p->begins[i - 1];
	for (uint32_t i = 0; i < p->count; i++)
		p->order[p->begins[p->items[i].group]++] = i;
}

static void cut(struct pieces *p, const struct sink *sink)
{
	uint64_t records_max = sink->body == BODY_RECORD ? 1 : (uint64_t)sink->batch_records;
	struct part *part = NULL;
	size_t size = 0;

	p->part_count = 0;
	for (uint32_t i = 0; i < p->count; i++) {
		const struct piece *piece = &p->items[p->order[i]];

		if (!part || p->items[p->order[part->from]].group != piece->group ||
			i - part->from >= records_max || size + piece->size > sink->batch_bytes) {
			part = &p->parts[p->part_count++];
			part->from = i;
			size = 0;
		}
		part->to = i + 1;
		size += piece->size;
	}
}

int pieces_make(struct sl_context *ctx, struct pieces *p, const struct sink *sink,
	const struct sl_batch *in)
{
	int r = make_room(p, sl_batch_count(in));

	sl_writer_reset(&p->text);
	sl_writer_reset(&p->head);
	p->count = p->group_count = 0;
	p->rejected = 0;
	if (r == 0)
		r = sink->body == BODY_CSV ? put_rows(ctx, p, sink, in)
					   : put_pieces(ctx, p, sink, NULL, in);
	if (r < 0)
		return r;
	put_in_order(p);
	cut(p, sink);
	return 0;
}
