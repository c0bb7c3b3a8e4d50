/* SPDX-License-Identifier: MIT */
/*
 * Transforms that try what a record says (`try`) and write down what came of it (`result`: "ok" or the name of an errno). `greedy` declares
 * that it needs nothing, `greedy_network` and `greedy_files` one thing each, `greedy_programs` programs, `greedy_silent`
 * declares nothing at all. With `fatal` a refusal is an error of the stage.
 */
#include <errno.h>
#include <fcntl.h>
#include <sluice/stage.h>
#include <sluice/task.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct shared {
	const char *folder; /* of greedy_files */
	bool fatal;
};

static int try_socket(int family, int type)
{
	int fd = socket(family, type, 0);

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static int try_spawn(struct sl_context *ctx)
{
	const char *const argv[] = { "/bin/true", NULL };
	struct sl_program program = { .argv = argv };
	struct sl_child child;
	int r = sl_spawn(ctx, &program, &child);

	return r < 0 ? r : sl_child_end(ctx, &child, SL_SECOND) == 0 ? 0 : -EIO;
}

static int try_posix_spawn(void)
{
	char *argv[] = { "true", NULL };
	pid_t pid;
	int r = posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ);

	return r != 0 ? -r : waitpid(pid, NULL, 0) == pid ? 0 : -EIO;
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? -errno : waitpid(pid, NULL, 0) == pid ? 0 : -EIO;
}

/* The rights that a process has, by number; 0: none. */
static int64_t rights(void)
{
	struct {
		uint32_t version;
		int pid;
	} head = { 0x20080522, 0 };
	uint32_t data[6] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	return (int64_t)data[0] | (int64_t)data[3] << 32;
}

static int attempt(struct sl_context *ctx, const char *what)
{
	if (strcmp(what, "inet") == 0)
		return try_socket(AF_INET, SOCK_STREAM);
	if (strcmp(what, "inet6") == 0)
		return try_socket(AF_INET6, SOCK_DGRAM);
	if (strcmp(what, "netlink") == 0)
		return try_socket(AF_NETLINK, SOCK_RAW);
	if (strcmp(what, "unix") == 0)
		return try_socket(AF_UNIX, SOCK_STREAM);
	if (strcmp(what, "spawn") == 0)
		return try_spawn(ctx);
	if (strcmp(what, "posix_spawn") == 0)
		return try_posix_spawn();
	if (strcmp(what, "fork") == 0)
		return try_fork();
	if (strcmp(what, "exec") == 0)
		return execl("/nowhere", "nowhere", NULL) < 0 ? -errno : 0;
	if (strcmp(what, "ptrace") == 0)
		return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? -errno : 0;
	if (strcmp(what, "unknown") == 0)
		return syscall(SYS_io_uring_setup, 1, NULL) < 0 ? -errno : 0;
	if (strcmp(what, "parent") == 0)
		return kill(getppid(), 0) < 0 ? -errno : 0;
	if (strncmp(what, "read ", 5) == 0)
		return try_open(what + 5, O_RDONLY);
	if (strncmp(what, "write ", 6) == 0)
		return try_open(what + 6, O_WRONLY | O_CREAT);
	if (strncmp(what, "unlink ", 7) == 0)
		return unlink(what + 7) < 0 ? -errno : 0;
	return -EDOM;
}

static int transform(struct sl_context *ctx, void *shared, void *worker, struct sl_value record,
	struct sl_writer *const *out)
{
	const struct shared *o = shared;
	char what[4096] = "";
	const char *text;
	size_t size;
	int r;

	(void)worker;
	if (sl_get_str(sl_find(record, "try", 3), &text, &size) && size < sizeof(what))
		memcpy(what, text, size);
	r = attempt(ctx, what);
	if (r < 0 && o->fatal)
		return sl_error(ctx, r, "%s: %s", what, strerrordesc_np(-r));
	sl_put_map(out[0], 4);
	sl_put_cstr(out[0], "try");
	sl_put_cstr(out[0], what);
	sl_put_cstr(out[0], "result");
	sl_put_cstr(out[0], r < 0 ? strerrorname_np(-r) : "ok");
	sl_put_cstr(out[0], "rights");
	sl_put_int(out[0], rights());
	sl_put_cstr(out[0], "no_new_privs");
	sl_put_int(out[0], prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	return sl_record_done(out[0]);
}

static void files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	const struct shared *o = shared;
	char path[4096];

	(void)ctx;
	(void)snprintf(path, sizeof(path), "%s/any", o->folder);
	tell(user, path, SL_FILES_WRITE);
}

static const struct sl_option options[] = {
	{ SL_OPTION("folder", STRING, struct shared, folder), .fallback = "/nowhere",
		.help = "which `greedy_files` may use" },
	{ SL_OPTION("fatal", BOOL, struct shared, fatal), .fallback = "false",
		.help = "a refusal is an error" },
	{ 0 },
};

#define GREEDY(name_, flags_)                                                                      \
	{                                                                                          \
		.abi = SL_ABI, .name = name_, .role = SL_TRANSFORM,                                \
		.summary = "tries what each record says", .flags = SL_RESUMES | (flags_),          \
		.shared_size = sizeof(struct shared), .transform = transform, .options = options,  \
		.files = files,                                                                    \
	}

static const struct sl_stage greedy = GREEDY("greedy", SL_CONFINED);
static const struct sl_stage network = GREEDY("greedy_network", SL_CONFINED | SL_NEEDS_NETWORK);
static const struct sl_stage programs = GREEDY("greedy_programs", SL_CONFINED | SL_NEEDS_EXEC);
static const struct sl_stage with_files = GREEDY("greedy_files", SL_CONFINED | SL_NEEDS_FILES);
static const struct sl_stage silent = GREEDY("greedy_silent", 0);

SL_MODULE(&greedy, &network, &programs, &with_files, &silent);
