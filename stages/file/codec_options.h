/* SPDX-License-Identifier: MIT */
/*
 * The options that every stage with records in text has, as rows for its table, and what they make of a path. A stage's
 * shared struct has a member `struct codec_options codec`.
 */
#ifndef STAGES_FILE_CODEC_OPTIONS_H
#define STAGES_FILE_CODEC_OPTIONS_H

#include <errno.h>

#include <sluice/stage.h>

struct codec_options {
	int format;
	int compression;
	struct sl_strings columns;
	char delimiter;
	char quote;
	bool no_quoting;
	uint64_t record_max;
	int header;
	struct sl_value fields;
	/* of sources */
	int types, empty, dialect;
};

extern const char *const codec_types_names[];
extern const char *const codec_empty_names[];
extern const char *const codec_dialect_names[];

/* clang-format off */
#define CODEC_OPTIONS(struct_, format_) \
	{ SL_OPTION("format", CHOICE, struct_, codec.format), .fallback = format_, .choices = sl_format_names, \
	  .help = "how records stand in the text; auto: by the file's ending", .example = "\"ndjson\"" }, \
	{ SL_OPTION("compression", CHOICE, struct_, codec.compression), .fallback = "auto", .choices = sl_compression_names, \
	  .help = "auto: by the file's ending (.gz, .zst)", .example = "\"gzip\"" }, \
	{ SL_OPTION("columns", STRINGS, struct_, codec.columns), \
	  .help = "csv: the names of the columns; reading: there is no header line then", .example = "[ \"id\", \"name\" ]" }, \
	{ SL_OPTION("delimiter", CHAR, struct_, codec.delimiter), \
	  .help = "csv: between fields; default: a comma, a tab for .tsv", .example = "\";\"" }, \
	{ SL_OPTION("quote", CHAR, struct_, codec.quote), \
	  .help = "csv: around fields that hold the delimiter; default: \"", .example = "\"'\"" }, \
	{ SL_OPTION("no_quoting", BOOL, struct_, codec.no_quoting), .fallback = "false", \
	  .help = "csv: the quote is an ordinary character", .example = "true" }, \
	{ SL_OPTION("header", CHOICE, struct_, codec.header), .fallback = "auto", .choices = sl_header_names, \
	  .help = "csv: is the first line the header; auto: reading, unless there are columns; writing, always", .example = "\"absent\"" }, \
	{ SL_OPTION("fields", VALUES, struct_, codec.fields), \
	  .help = "fixed: what stands in a line, one behind the other, with name, width, type, align, pad", \
	  .example = "( { name = \"id\"; width = 8; type = \"int\"; }, { name = \"name\"; width = 20; } )" }

/* Of those that read. */
#define CODEC_READ_OPTIONS(struct_) \
	{ SL_OPTION("types", CHOICE, struct_, codec.types), .fallback = "text", .choices = codec_types_names, \
	  .help = "csv: text: fields are strings; infer: what has the form of a number, true or false is one", .example = "\"infer\"" }, \
	{ SL_OPTION("empty", CHOICE, struct_, codec.empty), .fallback = "text", .choices = codec_empty_names, \
	  .help = "csv, fixed: an empty field is an empty string, or null", .example = "\"null\"" }
/* clang-format on */

/* What to do with the file at `path`. 0, or -EINVAL with what to write: the format is not known. */
int codec_options_resolve(struct sl_context *ctx, const struct codec_options *options,
	const char *path, struct sl_codec *ret_codec);
/* Is what was resolved to be completed by sl_sniff? */
bool codec_options_sniff(const struct codec_options *options, const struct sl_codec *codec);

#endif
