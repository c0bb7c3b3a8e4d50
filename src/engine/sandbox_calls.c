/* SPDX-License-Identifier: MIT */
/*
 * The system calls of a stage, by libseccomp: a list of what libc, ZeroMQ, libuv, SQLite, libcurl and libpq need to move records. What harms is refused
 * with EPERM and a line in the log that names it: a thread of its own hears of each such call from the kernel. What is on neither list answers ENOSYS, as
 * a kernel would that has not got it: libraries know how to do without. (clone3 is such a one: its flags are in memory, where no filter sees them; libc
 * uses clone.) Calls that this processor has not got have negative numbers here, and are left out.
 */
#include "engine/sandbox.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/log.h"

#define WATCH_STACK (64u << 10)
/* libseccomp's word for a kernel (5.7) in which a filter for all threads can have a listener. */
#define API_WITH_LISTENER 6
/* The kernel asks the filter for each number when it is loaded, and again for each call: a tree, not a list. */
#define AS_TREE 2

#define CALL(name) SCMP_SYS(name)
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* clang-format off */
static const int allowed[] = {
	/* memory */
	CALL(brk), CALL(mmap), CALL(munmap), CALL(mremap), CALL(mprotect), CALL(madvise), CALL(mincore), CALL(msync), CALL(membarrier),
	CALL(memfd_create),
	/* files: which ones is for sandbox_files.c */
	CALL(openat), CALL(close), CALL(close_range), CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(pread64), CALL(pwrite64),
	CALL(preadv), CALL(pwritev), CALL(preadv2), CALL(pwritev2), CALL(lseek), CALL(sendfile), CALL(copy_file_range), CALL(fstat),
	CALL(newfstatat), CALL(statx), CALL(statfs), CALL(fstatfs), CALL(faccessat), CALL(faccessat2), CALL(readlinkat), CALL(getdents64),
	CALL(getcwd), CALL(renameat2), CALL(renameat), CALL(linkat), CALL(unlinkat), CALL(mkdirat), CALL(truncate), CALL(ftruncate),
	CALL(fallocate), CALL(fsync), CALL(syncfs), CALL(fdatasync), CALL(sync_file_range), CALL(fadvise64), CALL(flock), CALL(fcntl), CALL(fchmod),
	CALL(fchmodat), CALL(fchown), CALL(utimensat), CALL(umask), CALL(dup), CALL(dup3), CALL(pipe2), CALL(ioctl), CALL(inotify_init1),
	CALL(inotify_add_watch), CALL(inotify_rm_watch),
	/* waiting */
	CALL(ppoll), CALL(pselect6), CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_pwait), CALL(epoll_pwait2), CALL(eventfd2),
	CALL(timerfd_create), CALL(timerfd_settime), CALL(timerfd_gettime),
	/* sockets, once there is one */
	CALL(socketpair), CALL(bind), CALL(connect), CALL(listen), CALL(accept), CALL(accept4), CALL(getsockname), CALL(getpeername),
	CALL(getsockopt), CALL(setsockopt), CALL(sendto), CALL(recvfrom), CALL(sendmsg), CALL(recvmsg), CALL(sendmmsg), CALL(recvmmsg),
	CALL(shutdown),
	/* threads */
	CALL(futex), CALL(futex_waitv), CALL(set_robust_list), CALL(get_robust_list), CALL(rseq), CALL(set_tid_address), CALL(gettid),
	CALL(getcpu), CALL(exit), CALL(exit_group), CALL(sched_yield), CALL(sched_getaffinity), CALL(sched_setaffinity), CALL(sched_getparam),
	CALL(sched_setparam), CALL(sched_getscheduler), CALL(sched_setscheduler), CALL(sched_get_priority_min), CALL(sched_get_priority_max),
	CALL(prctl),
	/* signals */
	CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(rt_sigpending), CALL(rt_sigtimedwait), CALL(rt_sigsuspend),
	CALL(sigaltstack), CALL(tgkill), CALL(tkill), CALL(kill), CALL(restart_syscall),
	/* time, and what it asks about itself */
	CALL(clock_gettime), CALL(clock_getres), CALL(clock_nanosleep), CALL(nanosleep), CALL(gettimeofday), CALL(times), CALL(getpid),
	CALL(getppid), CALL(getuid), CALL(geteuid), CALL(getgid), CALL(getegid), CALL(getresuid), CALL(getresgid), CALL(getgroups),
	CALL(getrusage), CALL(prlimit64), CALL(uname), CALL(sysinfo), CALL(getrandom), CALL(capget), CALL(wait4), CALL(waitid),
	/* older names of the same */
	CALL(open), CALL(creat), CALL(stat), CALL(lstat), CALL(access), CALL(readlink), CALL(getdents), CALL(rename), CALL(link), CALL(unlink),
	CALL(mkdir), CALL(rmdir), CALL(chmod), CALL(dup2), CALL(pipe), CALL(poll), CALL(select), CALL(epoll_create), CALL(epoll_wait), CALL(pause),
	CALL(time), CALL(getpgrp), CALL(arch_prctl), CALL(getrlimit), CALL(setrlimit),
};

static const char network[] = "the network (SL_NEEDS_NETWORK)";
static const char programs[] = "other programs (SL_NEEDS_EXEC)";
static const char never[] = "that";

#define REFUSED(name, why) { CALL(name), #name, why }
static const struct refused {
	int number;
	const char *name;
	const char *why; /* what the stage would have to need */
} refused[] = {
	/* The first two depend on an argument: add_socket, add_clone. */
	REFUSED(socket, network), REFUSED(clone, programs), REFUSED(execve, programs), REFUSED(execveat, programs), REFUSED(fork, programs),
	REFUSED(vfork, programs), REFUSED(mknod, never), REFUSED(symlink, never), REFUSED(chown, never), REFUSED(lchown, never),
	REFUSED(mknodat, never), REFUSED(symlinkat, never), REFUSED(fchownat, never), REFUSED(ptrace, never), REFUSED(process_vm_readv, never),
	REFUSED(process_vm_writev, never), REFUSED(pidfd_getfd, never), REFUSED(kcmp, never), REFUSED(bpf, never), REFUSED(perf_event_open, never),
	REFUSED(userfaultfd, never), REFUSED(open_by_handle_at, never), REFUSED(mount, never), REFUSED(umount2, never), REFUSED(chroot, never),
	REFUSED(pivot_root, never), REFUSED(unshare, never), REFUSED(setns, never), REFUSED(setuid, never), REFUSED(setgid, never),
	REFUSED(setresuid, never), REFUSED(setresgid, never), REFUSED(setreuid, never), REFUSED(setregid, never), REFUSED(setgroups, never),
	REFUSED(setfsuid, never), REFUSED(setfsgid, never), REFUSED(capset, never), REFUSED(setsid, never), REFUSED(setpgid, never),
	REFUSED(keyctl, never), REFUSED(add_key, never), REFUSED(request_key, never), REFUSED(init_module, never), REFUSED(finit_module, never),
	REFUSED(delete_module, never), REFUSED(kexec_load, never), REFUSED(reboot, never), REFUSED(swapon, never), REFUSED(swapoff, never),
	REFUSED(acct, never), REFUSED(quotactl, never), REFUSED(settimeofday, never), REFUSED(clock_settime, never), REFUSED(adjtimex, never),
	REFUSED(sethostname, never), REFUSED(personality, never),
};
/* clang-format on */

/* --- what is said of a refused call --------------------------------------------------------------- */

/*
 * Once for each system call: a stage may try it with every record. No memory is asked for, and no stream written to: whoever waits may be libc's fork,
 * which holds the locks of both.
 */
static void say_refused(int number)
{
	static bool is_said[COUNT(refused)]; /* the watcher's */

	for (size_t i = 0; i < COUNT(refused); i++) {
		if (refused[i].number != number || is_said[i])
			continue;
		is_said[i] = true;
		log_write(LOG_LEVEL_WARNING,
			"the sandbox refused the system call %s: the stage does not declare that "
			"it needs %s; if it should have it all the same, write sandbox = false; in "
			"its config",
			refused[i].name, refused[i].why);
	}
}

/* Hears of each refused call and answers it. Whoever made the call waits for that, whatever signals it has blocked. */
static void *watch(void *arg)
{
	int fd = (int)(intptr_t)arg;

	for (;;) {
		struct seccomp_notif request = { 0 };
		struct seccomp_notif_resp answer = { .error = -EPERM };

		/* By hand: libseccomp's calls want structs of a size that they ask the kernel for first. */
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0) {
			if (errno == EINTR || errno == ENOENT)
				continue;
			return NULL;
		}
		say_refused(request.data.nr);
		answer.id = request.id;
		/* Gone if a signal ended the call meanwhile. */
		(void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

static int start_watch(int fd)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, WATCH_STACK);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attributes, watch, (void *)(intptr_t)fd);
	(void)pthread_attr_destroy(&attributes);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

/* --- the filter ----------------------------------------------------------------------------------- */

static int add_allowed(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; i < COUNT(allowed) && r == 0; i++)
		if (allowed[i] >= 0)
			r = seccomp_rule_add_exact(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	return r;
}

static int add_refused(scmp_filter_ctx filter, uint32_t refusal)
{
	int r = 0;

	for (size_t i = 0; i < COUNT(refused) && r == 0; i++) {
		int number = refused[i].number;

		if (number >= 0 && number != CALL(socket) && number != CALL(clone))
			r = seccomp_rule_add_exact(filter, refusal, number, 0);
	}
	return r;
}

/* A thread is no program. */
static int add_clone(scmp_filter_ctx filter, uint32_t refusal)
{
	const struct scmp_arg_cmp thread = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
	const struct scmp_arg_cmp process = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0);
	int r = seccomp_rule_add_exact(filter, SCMP_ACT_ALLOW, CALL(clone), 1, thread);

	return r == 0 ? seccomp_rule_add_exact(filter, refusal, CALL(clone), 1, process) : r;
}

/* A socket in the file system is no network. */
static int add_socket(scmp_filter_ctx filter, uint32_t refusal)
{
	const struct scmp_arg_cmp local = SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX);
	const struct scmp_arg_cmp other = SCMP_A0_32(SCMP_CMP_NE, AF_UNIX);
	int r = seccomp_rule_add_exact(filter, SCMP_ACT_ALLOW, CALL(socket), 1, local);

	return r == 0 ? seccomp_rule_add_exact(filter, refusal, CALL(socket), 1, other) : r;
}

static int set_up(scmp_filter_ctx filter)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, AS_TREE);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	return r;
}

static int fill(scmp_filter_ctx filter, uint32_t refusal, bool has_network)
{
	int r = set_up(filter);

	if (r == 0)
		r = add_allowed(filter);
	if (r == 0)
		r = add_refused(filter, refusal);
	if (r == 0)
		r = add_clone(filter, refusal);
	if (r == 0 && has_network)
		return seccomp_rule_add_exact(filter, SCMP_ACT_ALLOW, CALL(socket), 0);
	return r == 0 ? add_socket(filter, refusal) : r;
}

/* The descriptor of a listener, where refused calls are told to one, else 0; negative errno. */
static int load(uint32_t refusal, bool has_network)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r;

	if (!filter)
		return -ENOMEM;
	r = fill(filter, refusal, has_network);
	if (r == 0)
		r = seccomp_load(filter);
	if (r == 0 && refusal == SCMP_ACT_NOTIFY)
		r = seccomp_notify_fd(filter);
	seccomp_release(filter);
	return r;
}

int sandbox_filter_calls(const struct sandbox *sandbox, struct err *err)
{
	bool has_network = sandbox->needs & SL_NEEDS_NETWORK;
	int r = -EOPNOTSUPP;

	if (seccomp_api_get() >= API_WITH_LISTENER)
		r = load(SCMP_ACT_NOTIFY, has_network);
	if (r >= 0) {
		r = start_watch(r);
		return r < 0 ? err_set(err, r, "cannot start a thread: %s", err_name(r)) : 0;
	}
	/* Older than that; or whoever runs us listens already, and there is one listener only. */
	if (r != -ENOMEM)
		r = load(SCMP_ACT_ERRNO(EPERM), has_network);
	if (r == -ENOMEM)
		return err_set(err, r, "cannot filter the system calls: %s", err_name(r));
	return r < 0 ? -ENOSYS : 0;
}
