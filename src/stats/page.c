/* SPDX-License-Identifier: MIT */
/* See page.h. */
#include "stats/page.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static int create(size_t size)
{
	int fd = memfd_create("sluice-page", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0) {
		int error = -errno;

		(void)close(fd);
		return error;
	}
	return fd;
}

static void *map(int fd, size_t size, int *ret_error)
{
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (page != MAP_FAILED)
		return page;
	*ret_error = -errno;
	return NULL;
}

int page_create(void)
{
	return create(sizeof(struct page));
}

struct page *page_map(int fd, int *ret_error)
{
	return map(fd, sizeof(struct page), ret_error);
}

void page_unmap(struct page *page)
{
	if (page)
		(void)munmap(page, sizeof(*page));
}

int page_shared_create(void)
{
	return create(sizeof(struct page_shared));
}

struct page_shared *page_shared_map(int fd, int *ret_error)
{
	return map(fd, sizeof(struct page_shared), ret_error);
}

void page_shared_unmap(struct page_shared *shared)
{
	if (shared)
		(void)munmap(shared, sizeof(*shared));
}
