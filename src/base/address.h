/* SPDX-License-Identifier: MIT */
/*
 * Where a source listens, as a config writes it:
 *
 *     tcp://127.0.0.1:5514   tcp://[::1]:5514    streams; the host "*" is every address of the machine
 *     udp://127.0.0.1:5514                                        datagrams
 *     unix:///run/shop.sock  unixgram:///run/shop.sock            of this machine, streams or datagrams
 *     fd:NAME                                                     a socket of that name which systemd opened
 *
 * Numbers only, no names: what a name means may change between the check and the start.
 */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"

struct address {
	const char *given; /* NULL, or behind "fd:" of the text: borrowed from it */
	const char *path;  /* of a Unix socket: borrowed from the text; NULL: none */
	int type;          /* SOCK_STREAM or SOCK_DGRAM; of a given one not known: 0 */
	struct sockaddr_storage socket;
	socklen_t size;
};

/* 0; -EINVAL with what is wrong and what to write. */
int address_parse(const char *text, struct address *ret_address, struct err *err);
/*
 * Binds, and listens where there is something to listen to: a descriptor, non-blocking and close-on-exec; or negative errno with what to
 * do. Not for a given one. A Unix socket that nobody has open any more is removed first.
 */
int address_listen(const struct address *address, const char *text, struct err *err);

#endif
