/* SPDX-License-Identifier: MIT */
/* See key.h. */
#include "key.h"

#include <stdio.h>
#include <string.h>

void hash_init(struct hash *hash)
{
	hash->value = (unsigned __int128)UINT64_C(0x6c62272e07bb0142) << 64 |
		      UINT64_C(0x62b821756295c58d);
}

void hash_add(struct hash *hash, const void *data, size_t size)
{
	static const unsigned __int128 prime = (unsigned __int128)1 << 88 | 0x13b;
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		hash->value = (hash->value ^ bytes[i]) * prime;
}

void key_make(char text[static KEY_SIZE], const struct sl_identity *id, const char *sink,
	const uint32_t *records, uint32_t count)
{
	const uint64_t numbers[] = { id->run, id->origin, id->path, id->start, id->end };
	struct hash hash;
	uint64_t high, low;

	hash_init(&hash);
	hash_add(&hash, sink, strlen(sink) + 1);
	hash_add(&hash, numbers, sizeof(numbers));
	hash_add(&hash, records, count * sizeof(*records));
	high = (uint64_t)(hash.value >> 64);
	low = (uint64_t)hash.value;
	(void)snprintf(text, KEY_SIZE, "%08x-%04x-8%03x-%04x-%012llx", (unsigned)(high >> 32),
		(unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xfff),
		(unsigned)(low >> 48 & 0x3fff) | 0x8000,
		(unsigned long long)(low & UINT64_C(0xffffffffffff)));
}
