/* SPDX-License-Identifier: MIT */
/*
 * The records of a test: a list in the config, or the text of a JSON array, or a file. A record of a list that is a string and begins with { or [ is JSON, which
 * has what libconfig has not: null, arrays of several types.
 */
#include "config/tests.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define EXAMPLE "( { id = 1; }, \"{ \\\"id\\\": null }\" )"

static bool is_json(const char *text)
{
	text += strspn(text, " \t\r\n");
	return *text == '{' || *text == '[';
}

static const char *text_of(struct loader *loader, const config_setting_t *setting)
{
	return convert_string(loader, config_setting_name(setting), setting, EXAMPLE);
}

/* Puts the value that the text says. */
static bool put_json(struct loader *loader, unsigned line, const char *text, struct sl_writer *out)
{
	const char *reason = "";
	int r = sl_json_parse(out, text, strlen(text), &reason);

	if (r < 0)
		problems_error(&loader->problems, line,
			"what begins with { or [ is JSON, and this is none: %s", reason);
	return r == 0;
}

/* --- a list --------------------------------------------------------------------------------------- */

static bool put_member(
	struct loader *loader, const config_setting_t *member, struct sl_writer *records)
{
	const char *text = NULL;
	bool is_right;

	if (config_setting_type(member) == CONFIG_TYPE_STRING) {
		text = text_of(loader, member);
		if (!text)
			return false;
	}
	if (text && is_json(text))
		is_right = put_json(loader, config_setting_source_line(member), text, records);
	else
		is_right = convert_value(loader, member, records);
	return is_right && sl_record_done(records) == 0;
}

static bool put_list(
	struct loader *loader, const config_setting_t *setting, struct sl_writer *records)
{
	bool is_right = true;

	for (int i = 0; i < config_setting_length(setting); i++)
		is_right = put_member(loader, config_setting_get_elem(setting, (unsigned)i),
				   records) &&
			   is_right;
	return is_right;
}

/* --- a text --------------------------------------------------------------------------------------- */

/* One JSON value: a record, or an array of them. */
static bool put_text(
	struct loader *loader, unsigned line, const char *text, struct sl_writer *records)
{
	struct sl_writer one;
	struct sl_value key, record;
	struct sl_cursor cursor;
	bool is_right;

	sl_writer_init(&one);
	is_right = put_json(loader, line, text, &one) && sl_record_done(&one) == 0;
	if (is_right && sl_kind((struct sl_value){ one.data, one.mark }) == SL_ARRAY) {
		cursor = sl_walk((struct sl_value){ one.data, one.mark });
		while (is_right && sl_next(&cursor, &key, &record)) {
			sl_put_value(records, record);
			is_right = sl_record_done(records) == 0;
		}
	} else if (is_right) {
		sl_put_value(records, (struct sl_value){ one.data, one.mark });
		is_right = sl_record_done(records) == 0;
	}
	sl_writer_fini(&one);
	return is_right;
}

/* --- a file --------------------------------------------------------------------------------------- */

struct reading {
	struct loader *loader;
	unsigned line;
	const char *path;
	bool is_right;
};

static void refuse(void *user, uint64_t line, const char *reason, const char *text, size_t size)
{
	struct reading *reading = user;

	(void)text;
	(void)size;
	if (reading->is_right)
		problems_error(&reading->loader->problems, reading->line, "%s:%llu: %s",
			reading->path, (unsigned long long)line, reason);
	reading->is_right = false;
}

static bool read_all(struct reading *reading, int fd, struct sl_writer *records)
{
	struct sl_codec codec = { .format = sl_format_of(reading->path),
		.compression = sl_compression_of(reading->path) };
	struct sl_decoder *decoder;
	uint64_t position;
	int r;

	decoder = sl_decoder_new(&codec, fd, refuse, reading, &r);
	r = decoder ? SL_DECODE_MORE : r;
	while (r == SL_DECODE_MORE)
		r = sl_decoder_read(decoder, records, 1000, SIZE_MAX, &position);
	if (r < 0)
		problems_error(&reading->loader->problems, reading->line, "cannot read %s: %s",
			reading->path, decoder ? sl_decoder_reason(decoder) : err_name(r));
	if (decoder)
		sl_decoder_free(decoder);
	return r >= 0 && reading->is_right;
}

/* Beside the config, whatever folder the command is run in. */
static const char *path_of(struct loader *loader, unsigned line, const char *name)
{
	struct text_place place = text_place(&loader->text, line);
	const char *slash = strrchr(place.file, '/');

	if (name[0] == '/' || !slash)
		return name;
	return arena_printf(&loader->arena, "%.*s/%s", (int)(slash - place.file), place.file, name);
}

static bool put_file(struct loader *loader, const config_setting_t *setting, const char *name,
	struct sl_writer *records)
{
	unsigned line = config_setting_source_line(setting);
	struct reading reading = { .loader = loader,
		.line = line,
		.path = path_of(loader, line, name),
		.is_right = true };
	_cleanup_close_ int fd = -1;

	if (!reading.path)
		return false;
	if (sl_format_of(name) == SL_FORMAT_AUTO) {
		problems_error(&loader->problems, line,
			"\"%.60s\" is neither JSON nor the name of a file that ends in .ndjson, "
			".json, .csv or .msgpack: write %s = %s;",
			name, config_setting_name(setting), EXAMPLE);
		return false;
	}
	fd = open(reading.path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		problems_error(&loader->problems, line, "cannot read %s: %s", reading.path,
			err_name(errno));
	return fd >= 0 && read_all(&reading, fd, records);
}

/* --- the whole ------------------------------------------------------------------------------------ */

static bool put_records(
	struct loader *loader, const config_setting_t *setting, struct sl_writer *records)
{
	unsigned line = config_setting_source_line(setting);
	const char *text;

	if (config_setting_is_list(setting) || config_setting_is_array(setting))
		return put_list(loader, setting, records);
	if (config_setting_is_group(setting))
		return put_member(loader, setting, records);
	if (config_setting_type(setting) != CONFIG_TYPE_STRING) {
		problems_error(&loader->problems, line,
			"`%s` takes a list of records, JSON or the name of a file, not %s: write "
			"%s = %s;",
			config_setting_name(setting), convert_found(loader, setting),
			config_setting_name(setting), EXAMPLE);
		return false;
	}
	text = text_of(loader, setting);
	if (!text)
		return false;
	return is_json(text) ? put_text(loader, line, text, records)
			     : put_file(loader, setting, text, records);
}

bool test_records(struct loader *loader, const config_setting_t *setting, struct sl_writer *out)
{
	struct sl_writer records;
	bool is_right;
	char *at;

	sl_writer_init(&records);
	is_right = put_records(loader, setting, &records);
	sl_put_array(out, is_right ? records.count : 0);
	at = is_right && records.mark > 0 ? sl_writer_reserve(out, records.mark) : NULL;
	if (at) {
		memcpy(at, records.data, records.mark);
		out->size += records.mark;
	}
	sl_writer_fini(&records);
	return is_right;
}
