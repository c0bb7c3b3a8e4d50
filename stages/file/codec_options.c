/* SPDX-License-Identifier: MIT */
/* See codec_options.h. */
#include "codec_options.h"

#include <string.h>

enum { TYPES_TEXT, TYPES_INFER };
const char *const codec_types_names[] = { "text", "infer", NULL };
enum { EMPTY_TEXT, EMPTY_NULL };
const char *const codec_empty_names[] = { "text", "null", NULL };
enum { DIALECT_GIVEN, DIALECT_SNIFF };
const char *const codec_dialect_names[] = { "given", "sniff", NULL };

static bool is_tsv(const char *path)
{
	const char *found = strstr(path, ".tsv");

	return found && (found[4] == '\0' || found[4] == '.');
}

static int check_fields(struct sl_context *ctx, const struct sl_codec *codec)
{
	char text[256];
	int r;

	if (codec->format != SL_FORMAT_FIXED && !codec->fields.data)
		return 0;
	if (codec->format != SL_FORMAT_FIXED)
		return sl_error(ctx, -EINVAL,
			"`fields` is for lines of fields of a fixed width: write format = "
			"\"fixed\"; or "
			"remove it");
	r = sl_fields_check(codec->fields, text, sizeof(text));
	return r < 0 ? sl_error(ctx, r, "%s", r == -EINVAL ? text : strerrordesc_np(-r)) : 0;
}

/* A record has one field of a name. */
static int check_columns(struct sl_context *ctx, const struct sl_strings *columns)
{
	for (uint32_t i = 1; i < columns->count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(columns->items[i], columns->items[k]) == 0)
				return sl_error(ctx, -EINVAL,
					"`columns` has \"%.60s\" twice: write another name for one",
					columns->items[i]);
	return 0;
}

int codec_options_resolve(struct sl_context *ctx, const struct codec_options *options,
	const char *path, struct sl_codec *ret_codec)
{
	struct sl_codec codec = {
		.format = (enum sl_format)options->format,
		.compression = (enum sl_compression)options->compression,
		.delimiter = options->delimiter,
		.quote = options->quote,
		.no_quoting = options->no_quoting,
		.columns = options->columns.count > 0 ? options->columns.items : NULL,
		.column_count = options->columns.count,
		.record_max = options->record_max,
		.header = (enum sl_header)options->header,
		.infers = options->types == TYPES_INFER,
		.empty_is_null = options->empty == EMPTY_NULL,
		.fields = options->fields,
	};
	int r;

	if (codec.format == SL_FORMAT_AUTO)
		codec.format = sl_format_of(path);
	if (codec.format == SL_FORMAT_AUTO)
		return sl_error(ctx, -EINVAL,
			"%s: the ending of the file does not say its format: set `format` to "
			"ndjson, json, csv, lines, msgpack or fixed",
			path);
	if (codec.compression == SL_COMPRESSION_AUTO)
		codec.compression = sl_compression_of(path);
	if (codec.delimiter == '\0' && is_tsv(path) && options->dialect != DIALECT_SNIFF)
		codec.delimiter = '\t';
	*ret_codec = codec;
	r = check_fields(ctx, &codec);
	return r == 0 ? check_columns(ctx, &options->columns) : r;
}

bool codec_options_sniff(const struct codec_options *options, const struct sl_codec *codec)
{
	return options->dialect == DIALECT_SNIFF && codec->format == SL_FORMAT_CSV;
}
