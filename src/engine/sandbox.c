/* SPDX-License-Identifier: MIT */
/* See sandbox.h. */
#include "engine/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "task/switch.h"
#ifdef HAVE_VALGRIND
#include <valgrind/valgrind.h>
#endif

#define CAPABILITY(x) (UINT64_C(1) << (x))
/* For the owner root is whoever owns a file; CAP_CHOWN: SQLite gives its journals to the owner of the database. */
#define OVER_FILES                                                                                 \
	(CAPABILITY(CAP_DAC_OVERRIDE) | CAPABILITY(CAP_DAC_READ_SEARCH) | CAPABILITY(CAP_CHOWN) |  \
		CAPABILITY(CAP_FOWNER))

static bool is_instrumented(void)
{
#ifdef HAVE_VALGRIND
	if (RUNNING_ON_VALGRIND)
		return true;
#endif
	return switch_is_sanitized;
}

/* Is more than no_new_privs taken? */
static bool is_filtered(const struct sandbox *sandbox)
{
	return !sandbox->is_off && (sandbox->needs & SL_CONFINED) &&
	       !(sandbox->needs & SL_NEEDS_EXEC) && !is_instrumented();
}

static bool is_ours(const char *folder)
{
	struct stat st;

	return stat(folder, &st) == 0 && st.st_uid == geteuid();
}

static uint64_t needed(const struct sandbox *sandbox)
{
	bool has_folders =
		is_ours(sandbox->state) && (!sandbox->runtime || is_ours(sandbox->runtime));

	return (sandbox->needs & SL_NEEDS_FILES) || !has_folders ? OVER_FILES : 0;
}

/* Of this thread, and so of all that it will start. Where there is nothing to drop, a filter around us may refuse to hear of it. */
static int drop_capabilities(uint64_t keep, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	uint32_t dropped = 0;

	if (syscall(SYS_capget, &head, data) < 0)
		return err_set(err, -errno, "cannot read the capabilities: %s", err_name(errno));
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		uint32_t part = (uint32_t)(keep >> (32 * i));

		dropped |= (data[i].permitted & ~part) | data[i].inheritable;
		data[i].permitted &= part;
		data[i].effective &= part;
		data[i].inheritable = 0;
	}
	if (dropped != 0 && syscall(SYS_capset, &head, data) < 0)
		return err_set(err, -errno, "cannot drop capabilities: %s", err_name(errno));
	return 0;
}

static int without(const char *what, int r)
{
	if (r != -ENOSYS)
		return r;
	log_write(LOG_LEVEL_DEBUG, "the kernel does not let a process limit its own %s", what);
	return 0;
}

int sandbox_enter(const struct sandbox *sandbox, struct err *err)
{
	int r;

	if (sandbox->is_off)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, -errno, "cannot set no_new_privs: %s", err_name(errno));
	if (!is_filtered(sandbox))
		return 0;
	r = without("files", sandbox_limit_files(sandbox, err));
	if (r == 0)
		r = drop_capabilities(needed(sandbox), err);
	return r == 0 ? without("system calls", sandbox_filter_calls(sandbox, err)) : r;
}

/* --- of a stage ----------------------------------------------------------------------------------- */

static void tell_files(void *of, sl_files_fn *tell, void *user)
{
	struct host *host = of;
	struct callback callback;

	callback_init(&callback, host, NULL);
	host->impl->files(&callback.context, host->shared, tell, user);
}

static struct sandbox sandbox_of(const struct host *host)
{
	return (struct sandbox){ .needs = host->impl->flags, .is_off = !host->stage->sandbox };
}

int sandbox_enter_stage(struct host *host, const char *runtime, struct err *err)
{
	struct sandbox sandbox = sandbox_of(host);

	sandbox.state = host->state;
	sandbox.runtime = runtime;
	sandbox.files = tell_files;
	sandbox.of = host;
	return sandbox_enter(&sandbox, err);
}

const char *sandbox_hint(const struct host *host, int error)
{
	struct sandbox sandbox = sandbox_of(host);

	if ((error != -EPERM && error != -EACCES) || !is_filtered(&sandbox))
		return "";
	return "; if the stage's sandbox is why (`sluice describe` shows what the stage needs), "
	       "write sandbox = false; in its config";
}
