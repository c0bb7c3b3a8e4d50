/* SPDX-License-Identifier: MIT */
/* Any bytes as JSON: refused, or a well-formed value whose text reads back as the same value. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/record.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_writer value, text, again;
	const char *reason;

	sl_writer_init(&value);
	sl_writer_init(&text);
	sl_writer_init(&again);
	if (sl_json_parse(&value, (const char *)data, size, &reason) == 0) {
		if (!sl_check(value.data, value.size))
			abort();
		if (sl_json_print(&text, (struct sl_value){ value.data, value.size }, &reason) != 0)
			abort();
		if (sl_json_parse(&again, text.data, text.size, &reason) != 0)
			abort();
		if (again.size != value.size || memcmp(again.data, value.data, value.size) != 0)
			abort();
	}
	sl_writer_fini(&value);
	sl_writer_fini(&text);
	sl_writer_fini(&again);
	return 0;
}
