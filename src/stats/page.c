/* SPDX-License-Identifier: MIT */
/* See page.h. */
#include "stats/page.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int page_create(void)
{
	int fd = memfd_create("sluice-page", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sizeof(struct page)) < 0) {
		int error = -errno;

		(void)close(fd);
		return error;
	}
	return fd;
}

struct page *page_map(int fd, int *ret_error)
{
	void *page = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (page == MAP_FAILED) {
		*ret_error = -errno;
		return NULL;
	}
	return page;
}

void page_unmap(struct page *page)
{
	if (page)
		(void)munmap(page, sizeof(*page));
}
