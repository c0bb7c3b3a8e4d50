/* SPDX-License-Identifier: MIT */
/*
 * Fault injection: makes the n-th call of a chosen kind fail, so that a test can walk through every place where the kernel may
 * say no. Only where configure was given --enable-fault-injection; no other build compiles or links any of it.
 *
 * The environment chooses: SLUICE_FAULT="KIND:N[+[M]][:ERRNO][@NAME]", for example "pwrite:3:ENOSPC@save.0".
 *   KIND   one of enum fault_kind, as written in faults.c
 *   N      the n-th call of that kind, counted in each process from 1; with `+M` it and the M after it, with `+` it and all after it
 *   ERRNO  what the call answers; without it what is usual for the kind
 *   NAME   only in that process: an instance ("save.0"), else a program ("sluice"); without it in every one
 * SLUICE_FAULT_LOG names a file: it is made when the fault happens, and without `+` a fault whose file is there does not happen
 * again, not even in a successor. Calls are those of our own code (the linker wraps them) and, by
 * engine/faults_sqlite.c, those that SQLite makes. Any thread.
 */
#ifndef BASE_FAULTS_H
#define BASE_FAULTS_H

enum fault_kind {
	FAULT_WRITE,
	FAULT_PWRITE,
	FAULT_FSYNC,
	FAULT_MMAP,
	FAULT_FTRUNCATE,
	FAULT_FALLOCATE,
	FAULT_FORK,
	FAULT_OPEN,
	FAULT_RENAME,
	FAULT_MEMFD,
	FAULT_MALLOC,
	FAULT_SQLITE_OPEN,
	FAULT_SQLITE_WRITE,
	FAULT_SQLITE_SYNC,
	FAULT_SQLITE_TRUNCATE,
	FAULT_SQLITE_MMAP,
	FAULT_SQLITE_MALLOC,
	FAULT_KINDS
};

/* Counts a call. 0: go on; else the errno (positive) with which it fails. */
int fault_due(enum fault_kind kind);

#endif
