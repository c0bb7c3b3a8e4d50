/* SPDX-License-Identifier: MIT */
/* See watch.h. */
#include "watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLDER_EVENTS                                                                              \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF |     \
		IN_ONLYDIR)
#define FILE_EVENTS (IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF)

static void poll_instead(struct sl_context *ctx, struct watch *watch, const char *setting)
{
	if (!watch->polls)
		sl_log(ctx, SL_LOG_WARNING,
			"inotify: %s: looks at the files every second instead; sysctl "
			"fs.inotify.%s "
			"sets the limit",
			strerrordesc_np(errno), setting);
	watch->polls = true;
}

void watch_open(struct sl_context *ctx, struct watch *watch)
{
	watch->polls = false;
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0)
		poll_instead(ctx, watch, "max_user_instances");
}

void watch_close(struct watch *watch)
{
	if (watch->fd >= 0)
		(void)close(watch->fd);
	watch->fd = -1;
}

static int add(struct sl_context *ctx, struct watch *watch, const char *path, uint32_t events)
{
	int number = watch->fd < 0 ? -1 : inotify_add_watch(watch->fd, path, events);

	/* A folder that is not there, or not ours to read, is looked for with every scan. */
	if (watch->fd >= 0 && number < 0 && (errno == ENOSPC || errno == ENOMEM))
		poll_instead(ctx, watch, "max_user_watches");
	return number;
}

int watch_folder(struct sl_context *ctx, struct watch *watch, const char *path)
{
	return add(ctx, watch, path, FOLDER_EVENTS);
}

int watch_file(struct sl_context *ctx, struct watch *watch, int fd)
{
	char path[64];
	int number;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	number = add(ctx, watch, path, FILE_EVENTS);
	if (number < 0 && watch->fd >= 0)
		poll_instead(ctx, watch, "max_user_watches");
	return number;
}

void watch_remove(struct watch *watch, int number)
{
	/* The kernel may have removed it with the file. */
	if (watch->fd >= 0 && number >= 0)
		(void)inotify_rm_watch(watch->fd, number);
}

void watch_read(const struct watch *watch, watch_fn *each, void *user)
{
	_Alignas(struct inotify_event) char data[16 << 10];
	ssize_t got;

	while (watch->fd >= 0 && (got = read(watch->fd, data, sizeof(data))) > 0) {
		for (char *at = data; at < data + got;) {
			const struct inotify_event *event = (void *)at;

			each(user, event->wd, event->mask);
			at += sizeof(*event) + event->len;
		}
	}
}
