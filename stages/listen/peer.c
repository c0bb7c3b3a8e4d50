/* SPDX-License-Identifier: MIT */
/* Who it is, as people write it. */
#include "listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

void peer_print(const struct sockaddr *address, uint32_t size, char text[PEER_SIZE])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	char host[INET6_ADDRSTRLEN] = "?";

	if (size >= sizeof(*v4) && address->sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		(void)snprintf(text, PEER_SIZE, "%s:%u", host, ntohs(v4->sin_port));
	} else if (size >= sizeof(*v6) && address->sa_family == AF_INET6) {
		bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);

		(void)inet_ntop(is_mapped ? AF_INET : AF_INET6,
			(const char *)&v6->sin6_addr + (is_mapped ? 12 : 0), host, sizeof(host));
		(void)snprintf(text, PEER_SIZE, is_mapped ? "%s:%u" : "[%s]:%u", host,
			ntohs(v6->sin6_port));
	} else {
		(void)snprintf(text, PEER_SIZE, "unknown");
	}
}

void peer_print_process(const struct ucred *process, char text[PEER_SIZE])
{
	(void)snprintf(text, PEER_SIZE, "pid %d uid %u", (int)process->pid, process->uid);
}
