/* SPDX-License-Identifier: MIT */
/* See journal.h. */
#include "supervisor/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* What would name this file and its lines as where an entry is from. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "base/clock.h"

/* clang-format off */
static const char *const ids[LOG_EVENTS] = {
	[LOG_EVENT_READY]        = "47eaa0992cb6416d86dc283cf0480ff9",
	[LOG_EVENT_RESUMED]      = "1509bb0a9bf143318a118783593942a4",
	[LOG_EVENT_STOPPING]     = "f5ec52ed0108447592e1bc7656670b14",
	[LOG_EVENT_ENDED]        = "59ba1b0d5c904158a909406c2e416788",
	[LOG_EVENT_FAILED]       = "5d32fe61985f44e7aa095ee82bb29976",
	[LOG_EVENT_DIED]         = "9a1e40b458154a9999e2d15364c7a500",
	[LOG_EVENT_SUSPECT]      = "68b4aef73eaa4e179d8a4eace693ae2d",
	[LOG_EVENT_DISK_FULL]    = "142c83647806457793e783e7eb04b39b",
	[LOG_EVENT_SILENT]       = "3b041641178844f2a60df25453fe2e85",
	[LOG_EVENT_REFUSED]      = "00a154d85ed84bccb5c719c2add9ca88",
	[LOG_EVENT_HELD]         = "c0290103855d4f5599ec8712e8e3574f",
	[LOG_EVENT_RELOADING]    = "6e704245a4ff41e3a7949b80dcb0b82e",
	[LOG_EVENT_RELOADED]     = "de1b1471320a48eab7a788d106762832",
	[LOG_EVENT_NOT_RELOADED] = "4350cc1721e54f21acd552a09ddbef12",
	[LOG_EVENT_NO_CONTROL]   = "9ed89eddd6844325b600e6129ec04ece",
	[LOG_EVENT_BAD_CONFIG]   = "627bf3225fac4cb6a34acb115ee347dd",
	[LOG_EVENT_STALLED]      = "fb951e0c8b85462f97e0f31fabb5b979",
	[LOG_EVENT_AWAY]         = "cd0c0900f2bc4e39b424290514df038b",
	[LOG_EVENT_DISK_AGAIN]   = "aa2af3602e22465882e340634677b80e",
	[LOG_EVENT_HELD_UP]      = "3ab49d5dabd2495cbe5b010abf011824",
	[LOG_EVENT_STORE_FULL]   = "2ef8ac8d993944ea9be390c75413ffd8",
	[LOG_EVENT_DROPPED]      = "d93a1f934b7a44c4bc9ecf278c8da591",
	[LOG_EVENT_MISSED]       = "1180a4bfd23c42a39dc213b850cd8e5b",
	[LOG_EVENT_LIMIT]        = "5b43a9a6ca0f4e42ba2c13510dd90664",
	[LOG_EVENT_WENT_BACK]    = "9ca0977695874e5095bf88be4906638e",
	[LOG_EVENT_NOT_SAFE]     = "2db6fcceceed49e487bd924bc4bd0b17",
	[LOG_EVENT_SAFE]         = "c45ee49836674d43a076795cb83d2bd3",
	[LOG_EVENT_STUCK]        = "dc68215156b94a6ab7f7ef52a2112d6b",
	[LOG_EVENT_MORE]         = "a930d55d954540f3ae889fe46f2c7a8c",
	[LOG_EVENT_NO_MEMORY]    = "9a2146f6c2e64fcdb351401c517f92f3",
};
/* clang-format on */

#define FIELDS_MAX 8
#define FIELD_SIZE 192

const char *journal_id(enum log_event event)
{
	return event < LOG_EVENTS ? ids[event] : NULL;
}

int journal_open(struct journal *journal, const char *program)
{
	*journal = (struct journal){
		.form = log_is_journal()        ? JOURNAL_FIELDS
			: isatty(STDERR_FILENO) ? JOURNAL_PLAIN
						: JOURNAL_PREFIXED,
		.program = program,
		.repeats = calloc(1, sizeof(*journal->repeats)),
	};
	return journal->repeats ? 0 : -ENOMEM;
}

void journal_name(struct journal *journal, const char *pipeline)
{
	(void)snprintf(journal->pipeline, sizeof(journal->pipeline), "%s", pipeline);
}

/* --- one line ----------------------------------------------------------------------------------- */

struct entry {
	struct iovec fields[FIELDS_MAX];
	char text[FIELDS_MAX][FIELD_SIZE];
	int count;
};

static __attribute__((format(printf, 2, 3))) void add(struct entry *entry, const char *format, ...)
{
	char *text = entry->text[entry->count];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, FIELD_SIZE, format, args);
	va_end(args);
	entry->fields[entry->count++] = (struct iovec){ text, strlen(text) };
}

static int send_fields(
	const struct journal *journal, const struct log_line *line, char *message, size_t size)
{
	struct entry entry = { .count = 0 };

	entry.fields[entry.count++] = (struct iovec){ message, size };
	add(&entry, "PRIORITY=%d", line->level);
	add(&entry, "SYSLOG_IDENTIFIER=%s", journal->program);
	if (journal->pipeline[0])
		add(&entry, "PIPELINE=%s", journal->pipeline);
	if (line->stage) {
		add(&entry, "STAGE=%s", line->stage);
		add(&entry, "INSTANCE=%u", line->instance);
	}
	if (journal_id(line->event))
		add(&entry, "MESSAGE_ID=%s", journal_id(line->event));
	return sd_journal_sendv(entry.fields, entry.count);
}

static void show(const struct journal *journal, const struct log_line *line)
{
	static const char field[] = "MESSAGE=";
	char text[LOG_LINE_MAX + 256], message[LOG_LINE_MAX + 256];
	char whose[128];
	size_t size = sizeof(field) - 1;

	(void)snprintf(
		text, sizeof(text), "%s%s", log_whose(line, whose, sizeof(whose)), line->text);
	memcpy(message, field, size);
	size += log_clean(text, strlen(text), message + size, sizeof(message) - size);
	if (journal->form == JOURNAL_FIELDS && send_fields(journal, line, message, size) >= 0)
		return;
	if (journal->form != JOURNAL_PLAIN)
		(void)fprintf(stderr, "<%d>", line->level);
	(void)fprintf(
		stderr, "%.*s\n", (int)(size - sizeof(field) + 1), message + sizeof(field) - 1);
}

/* --- repeats ------------------------------------------------------------------------------------ */

static void say_more(struct journal *journal, bool is_end)
{
	int64_t now = clock_now();
	char text[LOG_LINE_MAX + 64];
	struct log_line line;
	uint32_t count;

	while (repeats_due(journal->repeats, now, is_end, &line, &count)) {
		(void)snprintf(text, sizeof(text), "%.*s ... %u more like this in %d s",
			LOG_LINE_MAX, line.text, count, REPEATS_SECONDS);
		line.text = text;
		line.event = LOG_EVENT_MORE;
		show(journal, &line);
	}
}

void journal_line(struct journal *journal, const struct log_line *line)
{
	if (repeats_take(journal->repeats, line, clock_now()))
		show(journal, line);
}

void journal_tick(struct journal *journal)
{
	say_more(journal, false);
}

void journal_flush(struct journal *journal)
{
	if (journal->repeats)
		say_more(journal, true);
}

void journal_close(struct journal *journal)
{
	journal_flush(journal);
	free(journal->repeats);
	journal->repeats = NULL;
}
