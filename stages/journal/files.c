/* SPDX-License-Identifier: MIT */
/* See files.h. */
#include "files.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The beginning of a file, little-endian. */
struct header {
	char signature[8];
	char flags_and_ids[64];
	sd_id128_t sequence;
	uint64_t sizes[7];
	uint64_t objects;
	uint64_t entries;
	uint64_t last;
};
_Static_assert(offsetof(struct header, sequence) == 72, "as the format has it");
_Static_assert(offsetof(struct header, last) == 160, "as the format has it");

struct scan {
	files_fn *each;
	void *user;
	struct files_found found;
};

/* --- one file ----------------------------------------------------------------------------------- */

static int scan_file(struct scan *scan, int folder, const char *name)
{
	struct header header;
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t got;

	/* One may have been removed, or be nobody else's business. */
	scan->found.forbidden += fd < 0 && (errno == EACCES || errno == EPERM);
	if (fd < 0)
		return 0;
	got = pread(fd, &header, sizeof(header), 0);
	(void)close(fd);
	if (got != (ssize_t)sizeof(header) || memcmp(header.signature, "LPKSHHRH", 8) != 0)
		return 0;
	scan->found.readable++;
	if (header.last == 0)
		return 0;
	return scan->each(
		scan->user, header.sequence, le64toh(header.last), le64toh(header.entries));
}

static bool ends_with(const char *name, const char *end)
{
	size_t size = strlen(name), end_size = strlen(end);

	return size > end_size && strcmp(name + size - end_size, end) == 0;
}

static bool is_journal(const char *name)
{
	return ends_with(name, ".journal") || ends_with(name, ".journal~");
}

#define FOLDER_SIZE 512

/* --- folders ------------------------------------------------------------------------------------ */

static bool is_of_a_machine(const char *name)
{
	sd_id128_t id;

	return strlen(name) == 32 && sd_id128_from_string(name, &id) == 0;
}

static int scan_folder(struct scan *scan, int at, const char *path, bool is_top)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int r = 0;

	if (!folder) {
		scan->found.forbidden += errno == EACCES;
		if (fd >= 0)
			(void)close(fd);
		return 0;
	}
	while (r == 0 && (entry = readdir(folder))) {
		if (is_journal(entry->d_name))
			r = scan_file(scan, fd, entry->d_name);
		else if (is_top && is_of_a_machine(entry->d_name))
			r = scan_folder(scan, fd, entry->d_name, false);
	}
	(void)closedir(folder);
	return r;
}

/* Where journald keeps them while it may not, and while it may, write to the disk. */
static const char *const roots[FILES_FOLDERS] = { "/run/log/journal", "/var/log/journal" };

static int machine_folder(const struct files *files, int i, char path[static FOLDER_SIZE])
{
	const char *space = files->namespace;
	char id[SD_ID128_STRING_MAX];
	sd_id128_t machine;
	int r = sd_id128_get_machine(&machine);

	if (r == 0)
		(void)snprintf(path, FOLDER_SIZE, "%s/%s%s%s", roots[i],
			sd_id128_to_string(machine, id), space ? "." : "", space ? space : "");
	return r;
}

static int scan_machine(struct scan *scan, const struct files *files)
{
	char path[FOLDER_SIZE];
	int r = 0;

	for (int i = 0; i < FILES_FOLDERS && r == 0; i++) {
		r = machine_folder(files, i, path);
		if (r == 0)
			r = scan_folder(scan, AT_FDCWD, path, false);
	}
	return r;
}

unsigned files_folders(const struct files *files)
{
	char path[FOLDER_SIZE];
	unsigned found = 0;

	for (int i = 0; i < FILES_FOLDERS; i++)
		if (files->path || (machine_folder(files, i, path) == 0 && access(path, F_OK) == 0))
			found |= 1U << i;
	return found;
}

int files_scan(const struct files *files, files_fn *each, void *user, struct files_found *ret_found)
{
	struct scan scan = { .each = each, .user = user };
	struct stat st;
	int r;

	if (!files->path)
		r = scan_machine(&scan, files);
	else if (stat(files->path, &st) == 0 && !S_ISDIR(st.st_mode))
		r = scan_file(&scan, AT_FDCWD, files->path);
	else
		r = scan_folder(&scan, AT_FDCWD, files->path, true);
	*ret_found = scan.found;
	return r;
}
