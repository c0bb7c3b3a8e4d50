/* SPDX-License-Identifier: MIT */
/* See identity.h. */
#include "identity.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define OF_ITSELF UINT64_MAX /* in part[1]: no device has that number */

/* As the kernel writes it: `struct xfs_fsop_geom_v1`. */
struct xfs_geometry {
	uint32_t before[8];
	uint64_t blocks[4];
	unsigned char uuid[16];
	uint32_t after[7];
};
#define XFS_GEOMETRY _IOR('X', 100, struct xfs_geometry)

static uint64_t xfs_uuid(int fd, const char *path)
{
	struct xfs_geometry geometry;
	int own = fd < 0 ? open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
	bool is_known = ioctl(fd < 0 ? own : fd, XFS_GEOMETRY, &geometry) == 0;

	if (own >= 0)
		(void)close(own);
	return is_known ? XXH3_64bits(geometry.uuid, sizeof(geometry.uuid)) : 0;
}

/* Many have no identity of their own, and give the number of their device, as the kernel packs it. */
static bool is_device(uint64_t identity, uint64_t device)
{
	uint64_t major = gnu_dev_major(device), minor = gnu_dev_minor(device);

	return identity == ((minor & 0xff) | major << 8 | (minor & ~UINT64_C(0xff)) << 12);
}

uint64_t file_system(int fd, const char *path, uint64_t device)
{
	struct statfs fs;
	uint32_t half[2];
	uint64_t identity;

	if ((fd < 0 ? statfs(path, &fs) : fstatfs(fd, &fs)) < 0)
		return 0;
	if (fs.f_type == XFS_SUPER_MAGIC)
		return xfs_uuid(fd, path);
	memcpy(half, &fs.f_fsid, sizeof(half));
	identity = half[0] | (uint64_t)half[1] << 32;
	return is_device(identity, device) ? 0 : identity;
}

struct file_id input_id(int fd, const char *path, const struct statx *st)
{
	bool is_born = st->stx_mask & STATX_BTIME;
	uint64_t device = gnu_dev_makedev(st->stx_dev_major, st->stx_dev_minor);
	uint64_t system = S_ISREG(st->stx_mode) ? file_system(fd, path, device) : 0;

	return (struct file_id){
		.part = { system ? system : st->stx_dev_major,
			system ? OF_ITSELF : st->stx_dev_minor, st->stx_ino,
			is_born ? (uint64_t)st->stx_btime.tv_sec : 0,
			is_born ? st->stx_btime.tv_nsec : 0 },
		.device = device,
	};
}

bool input_is_same(const struct file_id *a, const struct file_id *b)
{
	return memcmp(a->part, b->part, sizeof(a->part)) == 0;
}

bool input_is_born(const struct file_id *id)
{
	return id->part[3] != 0 || id->part[4] != 0;
}

bool input_by_device(const struct file_id *id, struct file_id *ret)
{
	if (id->part[1] != OF_ITSELF || id->device == 0)
		return false;
	*ret = *id;
	ret->part[0] = gnu_dev_major(id->device);
	ret->part[1] = gnu_dev_minor(id->device);
	return true;
}
