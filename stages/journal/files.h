/* SPDX-License-Identifier: MIT */
/*
 * The files of a journal, by their headers (systemd's "Journal File Format"): which sequences there are, and up to which number each has come. libsystemd reads the
 * entries, but does not say that. A sequence is what one writer numbers, journald over all its files, from 1 on.
 */
#ifndef STAGES_JOURNAL_FILES_H
#define STAGES_JOURNAL_FILES_H

#include <sluice/stage.h>
#include <systemd/sd-id128.h>

/* Where they are. */
struct files {
	const char *path;      /* a folder, or one file; NULL: this machine's */
	const char *namespace; /* of this machine's; NULL: the default one */
};

/* What has been found of one file: it has so many entries, of numbers up to `last`; that one may still be written. */
typedef int files_fn(void *user, sd_id128_t sequence, uint64_t last, uint64_t entries);

/* What a scan has come upon. */
struct files_found {
	uint32_t readable;
	uint32_t forbidden;
};

/* Calls `each` for every file that has entries. 0, a negative errno, or what `each` gave when not 0. */
int files_scan(
	const struct files *files, files_fn *each, void *user, struct files_found *ret_found);

/* Of this machine's two folders those that are there, as bits; with `path` all. */
enum { FILES_FOLDERS = 2, FILES_FOLDERS_ALL = (1 << FILES_FOLDERS) - 1 };
unsigned files_folders(const struct files *files);

#endif
