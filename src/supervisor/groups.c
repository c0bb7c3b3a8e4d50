/* SPDX-License-Identifier: MIT */
/* See groups.h. */
#include "supervisor/groups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

#define LEAF "supervisor"
#define REMOVE_PATIENCE (1 * NSEC_PER_SEC)

/* --- files -------------------------------------------------------------------------------------- */

int groups_write(int folder, const char *file, const char *text)
{
	int fd = openat(folder, file, O_WRONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	(void)close(fd);
	return r;
}

int groups_read(int folder, const char *file, char *text, size_t size)
{
	int fd = openat(folder, file, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	n = n < 0 ? -errno : n;
	(void)close(fd);
	return (int)n;
}

/* --- which it is -------------------------------------------------------------------------------- */

bool groups_parse_own(const char *text, char *path, size_t size)
{
	const char *line = text;

	while (line && strncmp(line, "0::/", 4) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line || strcspn(line + 3, "\n") >= size)
		return false;
	(void)snprintf(path, size, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
	return true;
}

bool groups_is_instance(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && dot > name && dot[1] && dot[strspn(dot + 1, "0123456789") + 1] == '\0';
}

/* Where the v2 hierarchy is mounted, as systemd does it: alone, or beside those of v1. */
static const char *find_mount(void)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	struct statfs fs;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (statfs(places[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
			return places[i];
	return NULL;
}

static bool has_mark(int folder, const char *name)
{
	char value[4] = "";

	return fgetxattr(folder, name, value, sizeof(value)) == 1 && value[0] == '1';
}

/* systemd marks what it delegates; an older one that gives a group of its own to a user has delegated it. */
static bool is_delegated(int folder)
{
	uid_t user = geteuid();
	struct stat own, parent;

	if (has_mark(folder, "user.delegate") || has_mark(folder, "trusted.delegate"))
		return true;
	return user != 0 && fstat(folder, &own) == 0 && own.st_uid == user &&
	       fstatat(folder, "..", &parent, 0) == 0 && parent.st_uid != user;
}

/* With DelegateSubgroup=supervisor systemd has started us in the leaf already. */
static int go_up(struct groups *groups, int folder)
{
	char *name = strrchr(groups->path, '/');
	int parent;

	if (strcmp(name, "/" LEAF) != 0)
		return folder;
	parent = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 || !is_delegated(parent)) {
		if (parent >= 0)
			(void)close(parent);
		return folder;
	}
	(void)close(folder);
	name[name == groups->path] = '\0';
	return parent;
}

static int open_own(struct groups *groups)
{
	const char *mount = find_mount();
	char text[2 * PATH_MAX], full[PATH_MAX + 64];
	int folder;

	if (!mount || groups_read(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0 ||
		!groups_parse_own(text, groups->path, sizeof(groups->path))) {
		(void)snprintf(groups->why, sizeof(groups->why), "there are no cgroups v2 here");
		return -ENOENT;
	}
	(void)snprintf(full, sizeof(full), "%s%s", mount, groups->path);
	folder = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0) {
		(void)snprintf(groups->why, sizeof(groups->why), "the cgroup %s cannot be seen: %s",
			groups->path, err_name(errno));
		return -ENOENT;
	}
	return go_up(groups, folder);
}

/* --- ours --------------------------------------------------------------------------------------- */

static int lock(struct groups *groups, int folder)
{
	if (flock(folder, LOCK_EX | LOCK_NB) == 0)
		return 0;
	(void)snprintf(groups->why, sizeof(groups->why),
		"another pipeline has the cgroup %s for its stages", groups->path);
	return -EBUSY;
}

int groups_remove(int root, const char *name)
{
	const struct timespec pause = { .tv_nsec = 5 * NSEC_PER_MSEC };
	int64_t until = clock_now() + REMOVE_PATIENCE;
	int folder;

	if (unlinkat(root, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	folder = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	(void)groups_write(folder, "cgroup.kill", "1");
	(void)close(folder);
	while (unlinkat(root, name, AT_REMOVEDIR) < 0) {
		if (errno != EBUSY || clock_now() > until)
			return -errno;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

/* What a supervisor that was killed has left. */
static void remove_instances(int root)
{
	int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (entry->d_type == DT_DIR && groups_is_instance(entry->d_name))
			(void)groups_remove(root, entry->d_name);
	if (folder)
		(void)closedir(folder);
	else if (fd >= 0)
		(void)close(fd);
}

static int enter_leaf(struct groups *groups, int folder)
{
	int r = mkdirat(folder, LEAF, 0755) < 0 && errno != EEXIST ? -errno : 0;

	if (r == 0)
		r = groups_write(folder, LEAF "/cgroup.procs", "0");
	if (r < 0)
		(void)snprintf(groups->why, sizeof(groups->why),
			"the cgroup %s cannot be divided: %s", groups->path, err_name(r));
	groups->has_moved = r == 0;
	return r;
}

void groups_open(struct groups *groups)
{
	int folder;

	*groups = (struct groups){ .root = -1 };
	folder = open_own(groups);
	if (folder < 0)
		return;
	if (!is_delegated(folder))
		(void)snprintf(groups->why, sizeof(groups->why),
			"the cgroup %s is not delegated to it (Delegate=yes)", groups->path);
	else if (lock(groups, folder) == 0) {
		remove_instances(folder);
		if (enter_leaf(groups, folder) == 0) {
			groups->root = folder;
			return;
		}
	}
	(void)close(folder);
}

/* --- controllers -------------------------------------------------------------------------------- */

static bool has_word(const char *text, const char *word)
{
	size_t size = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += size)
		if ((at == text || at[-1] == ' ') &&
			(at[size] == ' ' || at[size] == '\n' || !at[size]))
			return true;
	return false;
}

/* The first reason stays. */
static void explain(struct groups *groups, const char *name, int r)
{
	if (groups->why[0])
		return;
	if (r == -EBUSY)
		(void)snprintf(groups->why, sizeof(groups->why),
			"there are other processes in the cgroup %s", groups->path);
	else if (r == -ENOENT)
		(void)snprintf(groups->why, sizeof(groups->why),
			"the cgroup %s has no %s controller", groups->path, name);
	else
		(void)snprintf(groups->why, sizeof(groups->why),
			"the cgroup %s does not hand on its %s controller: %s", groups->path, name,
			err_name(r));
}

static bool enable(struct groups *groups, const char *controllers, const char *name)
{
	char text[32];
	int r = -ENOENT;

	(void)snprintf(text, sizeof(text), "+%s", name);
	if (has_word(controllers, name))
		r = groups_write(groups->root, "cgroup.subtree_control", text);
	if (r < 0)
		explain(groups, name, r);
	return r >= 0;
}

void groups_enable(struct groups *groups, bool wants_cpu)
{
	char controllers[512] = "";

	if (groups->root < 0)
		return;
	groups->why[0] = '\0';
	(void)groups_read(groups->root, "cgroup.controllers", controllers, sizeof(controllers));
	groups->has_memory = enable(groups, controllers, "memory");
	groups->has_tasks = enable(groups, controllers, "pids");
	if (wants_cpu)
		groups->has_cpu = enable(groups, controllers, "cpu");
	else if (groups->has_cpu)
		groups->has_cpu = groups_write(groups->root, "cgroup.subtree_control", "-cpu") < 0;
}

/* --- the end ------------------------------------------------------------------------------------ */

void groups_close(struct groups *groups)
{
	static const char *const controllers[] = { "-memory", "-pids", "-cpu" };

	if (groups->root >= 0) {
		remove_instances(groups->root);
		for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++)
			(void)groups_write(groups->root, "cgroup.subtree_control", controllers[i]);
		if (groups_write(groups->root, "cgroup.procs", "0") == 0)
			(void)unlinkat(groups->root, LEAF, AT_REMOVEDIR);
		(void)close(groups->root);
	}
	groups->root = -1;
}
