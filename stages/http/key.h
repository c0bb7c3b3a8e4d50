/* SPDX-License-Identifier: MIT */
/* The name of a request: the same when the same records of the same batch are sent again, by whichever process, and no other's. */
#ifndef STAGES_HTTP_KEY_H
#define STAGES_HTTP_KEY_H

#include <sluice/stage.h>

#define KEY_SIZE 37

/* FNV-1a, 128 bits: a name in a program, no protection against whoever wants two things to have the same. */
struct hash {
	unsigned __int128 value;
};

void hash_init(struct hash *hash);
void hash_add(struct hash *hash, const void *data, size_t size);

/* As an UUID (RFC 9562, version 8). `sink`: whose request it is; `records`: their places in the batch. */
void key_make(char text[static KEY_SIZE], const struct sl_identity *id, const char *sink,
	const uint32_t *records, uint32_t count);

#endif
