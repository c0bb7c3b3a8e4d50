/* SPDX-License-Identifier: MIT */
/* See plan.h. */
#include "supervisor/plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/secret.h"

#define OWN_FOLDER "/sluice-%u/" /* below $TMPDIR or /tmp */
#define LOCK_WAIT_US 10000
#define LOCK_TRIES 200

const char *plan_stage_program(void)
{
	static char path[PATH_MAX];
	ssize_t size;
	char *slash;

	if (path[0])
		return path;
	size = readlink("/proc/self/exe", path, sizeof(path) - 32);
	if (size > 0) {
		path[size] = '\0';
		slash = strrchr(path, '/');
		memcpy(slash + 1, "sluice-stage", sizeof("sluice-stage"));
		if (access(path, X_OK) == 0)
			return path;
	}
	(void)snprintf(path, sizeof(path), "%s/sluice-stage", SLUICE_LIBEXECDIR);
	return path;
}

/* --- the check ---------------------------------------------------------------------------------- */

struct question {
	const char *what; /* "--check" */
	const char *file;
	const char *const *parameters;
	const char *runtime;
	bool does_without; /* credentials that are not there */
};

#define ARGUMENTS_MAX 160

static void exec_question(const struct question *question, int fd)
{
	char fd_text[16];
	const char *argv[ARGUMENTS_MAX] = { "sluice-stage", question->what, question->file,
		"--graph-fd", fd_text };
	int count = 5;
	sigset_t none;

	(void)snprintf(fd_text, sizeof(fd_text), "%d", fd);
	if (question->runtime) {
		argv[count++] = "--runtime";
		argv[count++] = question->runtime;
	}
	if (question->does_without)
		argv[count++] = "--do-without";
	for (const char *const *at = question->parameters; at && *at && count < ARGUMENTS_MAX - 2;
		at++) {
		argv[count++] = "--set";
		argv[count++] = *at;
	}
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)fcntl(fd, F_SETFD, 0);
	(void)execv(plan_stage_program(), (char *const *)argv);
	(void)dprintf(STDERR_FILENO, "cannot run %s: %s\n", plan_stage_program(), err_name(errno));
	_exit(127);
}

/* Asks sluice-stage. 0: the answer is in `fd`; -EINVAL: the config is wrong. */
static int ask_about(const struct question *question, int fd, struct err *err)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return err_set(err, -errno, "cannot fork: %s", err_name(errno));
	if (pid == 0)
		exec_question(question, fd);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(
				err, -errno, "cannot wait for the check: %s", err_name(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EX_CONFIG)
		return -EINVAL;
	return err_set(err, -ECHILD, "the check of %s did not end well (status %d)", question->file,
		status);
}

static int hide_secrets(const struct graph *graph, struct err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < graph->secret_count && r == 0; i++)
		r = secret_add(graph->secrets[i]);
	return r < 0 ? err_set(err, r, "the config has too many credentials: %s", err_name(r)) : 0;
}

int plan_tests(const char *file, const char *const *parameters, char **ret_data, size_t *ret_size,
	struct err *err)
{
	_cleanup_close_ int fd = memfd_create("sluice-tests", MFD_CLOEXEC);
	struct stat st;
	char *data;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "no memory file: %s", err_name(errno));
	r = ask_about(&(struct question){ "--tests", file, parameters, NULL, true }, fd, err);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot read the tests: %s", err_name(errno));
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return err_set(err, -ENOMEM, "no memory for the tests");
	if (pread(fd, data, (size_t)st.st_size, 0) != st.st_size ||
		!sl_check(data, (size_t)st.st_size)) {
		free(data);
		return err_set(err, -EBADMSG, "the tests of %s cannot be read", file);
	}
	*ret_data = data;
	*ret_size = (size_t)st.st_size;
	return 0;
}

/* --- the folders -------------------------------------------------------------------------------- */

static int compose(char *path, const char *folder, const char *middle, const char *name)
{
	int size = snprintf(path, PATH_MAX, "%s%s%s", folder, middle, name);

	return size < 0 || size >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* systemd gives a list where several are configured; ours is the first. */
static int from_environment(char *path, const char *variable, const char *middle, const char *name)
{
	const char *value = getenv(variable);
	char first[PATH_MAX];

	if (!value || value[0] != '/')
		return 0;
	(void)snprintf(first, sizeof(first), "%.*s", (int)strcspn(value, ":"), value);
	return compose(path, first, middle, name) < 0 ? -ENAMETOOLONG : 1;
}

int plan_find_state(const char *name, const char *option, char *ret_path)
{
	int r;

	if (option)
		return compose(ret_path, option, "", "");
	r = from_environment(ret_path, "STATE_DIRECTORY", "", "");
	if (r == 0)
		r = from_environment(ret_path, "XDG_STATE_HOME", "/sluice/", name);
	if (r == 0)
		r = from_environment(ret_path, "HOME", "/.local/state/sluice/", name);
	if (r == 0)
		r = compose(ret_path, "/var/lib/sluice/", "", name);
	return r < 0 ? r : 0;
}

static int find_runtime(char *runtime, const char *name, const char *option)
{
	char own[64];
	int r;

	if (option)
		return compose(runtime, option, "", "");
	(void)snprintf(own, sizeof(own), OWN_FOLDER, (unsigned)getuid());
	r = from_environment(runtime, "RUNTIME_DIRECTORY", "", "");
	if (r == 0)
		r = from_environment(runtime, "XDG_RUNTIME_DIR", "/sluice/", name);
	if (r == 0)
		r = from_environment(runtime, "TMPDIR", own, name);
	if (r == 0)
		r = compose(runtime, "/tmp", own, name);
	return r < 0 ? r : 0;
}

/* The kernel takes 107 bytes of a socket's path. */
static int check_socket(const char *path, int size, struct err *err)
{
	size_t limit = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if ((size_t)size <= limit)
		return 0;
	return err_set(err, -ENAMETOOLONG,
		"the socket path %s has %d bytes, and the kernel takes %zu: give a shorter folder "
		"with --runtime",
		path, size, limit);
}

static int check_control_socket(const char *runtime, struct err *err)
{
	char path[PATH_MAX + 32];

	return check_socket(
		path, snprintf(path, sizeof(path), "%s/" PLAN_CONTROL_SOCKET, runtime), err);
}

static int check_sockets(const struct plan *plan, struct err *err)
{
	for (uint32_t s = 0; s < plan->graph->stage_count; s++) {
		const struct graph_stage *stage = &plan->graph->stages[s];

		for (uint32_t p = 0; p < stage->port_count; p++) {
			char path[PATH_MAX + 128];
			int size = snprintf(path, sizeof(path), "%s/%s.%s.%u", plan->runtime,
				stage->name, stage->ports[p], stage->processes - 1);
			int r = check_socket(path, size, err);

			if (r < 0)
				return r;
		}
	}
	return check_control_socket(plan->runtime, err);
}

/* What the pipeline of `file` is called, into `name`. */
static int ask_name(
	const char *file, const char *const *parameters, char *name, size_t size, struct err *err)
{
	_cleanup_close_ int fd = memfd_create("sluice-name", MFD_CLOEXEC);
	ssize_t n;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "no memory file: %s", err_name(errno));
	r = ask_about(&(struct question){ "--name", file, parameters, NULL }, fd, err);
	if (r < 0)
		return r;
	n = pread(fd, name, size - 1, 0);
	name[n > 0 ? n : 0] = '\0';
	return n > 0 ? 0 : err_set(err, -EBADMSG, "%s was given no name", file);
}

static void name_by_stem(const char *file, char *name, size_t size)
{
	const char *slash = strrchr(file, '/');
	const char *base = slash ? slash + 1 : file;

	(void)snprintf(name, size, "%.*s", (int)strcspn(base, "."), base);
}

/* Where the service has it, if the user's own place has none. */
static void try_service(struct plan_place *place)
{
	char path[PATH_MAX + 32];

	(void)snprintf(path, sizeof(path), "%s/" PLAN_CONTROL_SOCKET, place->runtime);
	if (access(path, F_OK) == 0)
		return;
	(void)snprintf(path, sizeof(path), "/run/sluice/%s/" PLAN_CONTROL_SOCKET, place->name);
	if (access(path, F_OK) == 0)
		(void)snprintf(
			place->runtime, sizeof(place->runtime), "/run/sluice/%s", place->name);
}

int plan_find(const char *file, const char *const *parameters, const char *runtime,
	struct plan_place *ret_place, struct err *err)
{
	struct plan_place place;
	int r = 0;

	if (runtime)
		name_by_stem(file, place.name, sizeof(place.name));
	else
		r = ask_name(file, parameters, place.name, sizeof(place.name), err);
	if (r < 0)
		return r;
	if (find_runtime(place.runtime, place.name, runtime) < 0)
		return err_set(err, -ENAMETOOLONG, "the path of the runtime folder is too long");
	r = check_control_socket(place.runtime, err);
	if (r < 0)
		return r;
	if (!runtime)
		try_service(&place);
	*ret_place = place;
	return 0;
}

bool plan_is_wrong(int r)
{
	return r == -EINVAL || r == -ENAMETOOLONG;
}

static int make(
	const struct question *question, const char *state, struct plan *ret_plan, struct err *err)
{
	_cleanup_close_ int graph_fd = memfd_create("sluice-graph", MFD_CLOEXEC);
	struct plan plan = {
		.state_lock = -1, .runtime_lock = -1, .parameters = question->parameters
	};
	int r;

	if (graph_fd < 0)
		return err_set(err, -errno, "no memory file: %s", err_name(errno));
	r = ask_about(question, graph_fd, err);
	if (r == 0)
		r = graph_read(graph_fd, &plan.graph, err);
	if (r == 0)
		r = hide_secrets(plan.graph, err);
	if (r < 0)
		return r;
	if (plan_find_state(plan.graph->name, state, plan.state) < 0 ||
		find_runtime(plan.runtime, plan.graph->name, question->runtime) < 0)
		r = err_set(
			err, -ENAMETOOLONG, "the path of the state or runtime folder is too long");
	else
		r = check_sockets(&plan, err);
	if (r < 0) {
		graph_free(plan.graph);
		return r;
	}
	*ret_plan = plan;
	return 0;
}

int plan_make(const char *file, const char *const *parameters, const char *state,
	const char *runtime, struct plan *ret_plan, struct err *err)
{
	return make(
		&(struct question){ "--check", file, parameters, runtime }, state, ret_plan, err);
}

int plan_make_for_tests(const char *file, const char *const *parameters, const char *folder,
	struct plan *ret_plan, struct err *err)
{
	return make(&(struct question){ "--check", file, parameters, folder, true }, folder,
		ret_plan, err);
}

/* --- the locks ---------------------------------------------------------------------------------- */

static int make_folders(const char *path, struct err *err)
{
	char part[PATH_MAX];

	for (const char *slash = path; slash; slash = strchr(slash + 1, '/')) {
		const char *end = strchr(slash + 1, '/');

		(void)snprintf(part, sizeof(part), "%.*s",
			end ? (int)(end - path) : (int)strlen(path), path);
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return err_set(err, -errno, "cannot make the folder %s: %s", part,
				err_name(errno));
	}
	return 0;
}

/* A folder for sockets must be ours alone: whoever may write there could pose as a stage. */
static int check_private(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(err, -errno, "cannot look at %s: %s", path, err_name(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "%s is no folder: give another with --runtime", path);
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return err_set(err, -EPERM,
			"others may write to %s: chmod 700 it, or give another folder with "
			"--runtime",
			path);
	return 0;
}

/* What stands in everybody's /tmp may have been there before us. */
static int check_parent(const char *runtime, struct err *err)
{
	char own[64], parent[PATH_MAX];
	const char *found;

	(void)snprintf(own, sizeof(own), OWN_FOLDER, (unsigned)getuid());
	found = strstr(runtime, own);
	if (!found)
		return 0;
	(void)snprintf(parent, sizeof(parent), "%.*s",
		(int)(found - runtime) + (int)strlen(own) - 1, runtime);
	return check_private(parent, err);
}

/* Who has written its number into the lock. */
static void read_holder(int fd, char *pid, size_t size)
{
	ssize_t got = pread(fd, pid, size - 1, 0);

	pid[got > 0 ? got : 0] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
}

/* A child that a supervisor was about to start when it was killed has its lock until it notices. */
static bool try_lock(int fd, char *pid, size_t size)
{
	bool is_locked = flock(fd, LOCK_EX | LOCK_NB) == 0;

	for (int i = 0; !is_locked && i < LOCK_TRIES; i++) {
		read_holder(fd, pid, size);
		if (atoi(pid) <= 0 || kill(atoi(pid), 0) == 0 || errno != ESRCH)
			return false;
		(void)usleep(LOCK_WAIT_US);
		is_locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
	}
	return is_locked;
}

static int lock_folder(const char *folder, int *ret_fd, struct err *err)
{
	char path[PATH_MAX + 8], pid[32] = "";
	_cleanup_close_ int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/lock", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, err_name(errno));
	if (!try_lock(fd, pid, sizeof(pid)))
		return err_set(err, -EBUSY,
			"%s is in use by the supervisor with pid %s: stop that one, or set another "
			"`name`",
			folder, pid[0] ? pid : "?");
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return err_set(err, -errno, "cannot write %s: %s", path, err_name(errno));
	*ret_fd = take_fd(fd);
	return 0;
}

/* The state folder belongs to one config file, whose path it names. */
static int own_state(const struct plan *plan, struct err *err)
{
	char path[PATH_MAX + 8], owner[PATH_MAX] = "";
	_cleanup_close_ int fd = -1;
	ssize_t size;

	(void)snprintf(path, sizeof(path), "%s/config", plan->state);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, err_name(errno));
	size = read(fd, owner, sizeof(owner) - 1);
	owner[size > 0 ? size : 0] = '\0';
	owner[strcspn(owner, "\n")] = '\0';
	if (owner[0] && strcmp(owner, plan->graph->file) != 0)
		return err_set(err, -EEXIST,
			"the state folder %s belongs to %s: set `name` in %s to something of its "
			"own",
			plan->state, owner, plan->graph->file);
	if (!owner[0] && dprintf(fd, "%s\n", plan->graph->file) < 0)
		return err_set(err, -errno, "cannot write %s: %s", path, err_name(errno));
	return 0;
}

int plan_lock(struct plan *plan, struct err *err)
{
	int r = make_folders(plan->state, err);

	if (r == 0)
		r = make_folders(plan->runtime, err);
	if (r == 0)
		r = check_parent(plan->runtime, err);
	if (r == 0)
		r = check_private(plan->runtime, err);
	if (r == 0)
		r = lock_folder(plan->state, &plan->state_lock, err);
	if (r == 0 && strcmp(plan->state, plan->runtime) != 0)
		r = lock_folder(plan->runtime, &plan->runtime_lock, err);
	return r == 0 ? own_state(plan, err) : r;
}

/* Sockets outlive the processes that bound them; only the holder of the lock may remove them. */
static void remove_sockets(const struct plan *plan)
{
	char control[PATH_MAX + 32];

	(void)snprintf(control, sizeof(control), "%s/" PLAN_CONTROL_SOCKET, plan->runtime);
	(void)unlink(control);
	for (uint32_t s = 0; s < plan->graph->stage_count; s++) {
		const struct graph_stage *stage = &plan->graph->stages[s];

		for (uint32_t i = 0; i < stage->port_count * stage->processes; i++) {
			char path[PATH_MAX + 128];

			(void)snprintf(path, sizeof(path), "%s/%s.%s.%u", plan->runtime,
				stage->name, stage->ports[i / stage->processes],
				i % stage->processes);
			(void)unlink(path);
		}
	}
}

void plan_fini(struct plan *plan)
{
	if (plan->graph && (plan->runtime_lock >= 0 || plan->state_lock >= 0))
		remove_sockets(plan);
	if (plan->runtime_lock >= 0)
		(void)close(plan->runtime_lock);
	if (plan->state_lock >= 0)
		(void)close(plan->state_lock);
	graph_free(plan->graph);
	plan->graph = NULL;
}
