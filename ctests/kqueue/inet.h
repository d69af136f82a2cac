/*
 * inet.h: sockets on the loopback interface. Include it after kqueue.h.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_INET_H
#define EVSHIM_TEST_INET_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <sys/un.h>

H_UNUSED static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

H_UNUSED static int bound(int type, struct sockaddr_in *address)
{
	socklen_t length = sizeof *address;
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
	*address = loopback(0);
	CHECK(fd >= 0);
	CHECK_OK(bind(fd, (struct sockaddr *)address, sizeof *address));
	CHECK_OK(getsockname(fd, (struct sockaddr *)address, &length));
	return fd;
}

H_UNUSED static int make_listener(struct sockaddr_in *address)
{
	int fd = bound(SOCK_STREAM, address);
	CHECK_OK(listen(fd, 16));
	return fd;
}

/* A new socket with a connect under way; the outcome of connect() is left to the caller. */
H_UNUSED static int connecting(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK(fd >= 0);
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) == -1 && errno != EINPROGRESS)
		FAIL("connect: %s", strerror(errno));
	return fd;
}

H_UNUSED static int accept_one(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	CHECK_EQ(poll(&p, 1, 5000), 1);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	if (fd == -1)
		FAIL("accept: %s", strerror(errno));
	return fd;
}

/* A connected pair: fds[0] connected, fds[1] accepted. */
H_UNUSED static void make_tcp(int fds[2])
{
	struct sockaddr_in address;
	int one = 1, listener = make_listener(&address);
	fds[0] = connecting(&address);
	fds[1] = accept_one(listener);
	for (int i = 0; i < 2; i++)
		CHECK_OK(setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
	close(listener);
}

/* The port of nobody: it was bound a moment ago. */
H_UNUSED static struct sockaddr_in nobody(void)
{
	struct sockaddr_in address;
	close(bound(SOCK_STREAM, &address));
	return address;
}

H_UNUSED static void make_udp(int fds[2])
{
	struct sockaddr_in a, b;
	fds[0] = bound(SOCK_DGRAM, &a);
	fds[1] = bound(SOCK_DGRAM, &b);
	CHECK_OK(connect(fds[0], (struct sockaddr *)&b, sizeof b));
	CHECK_OK(connect(fds[1], (struct sockaddr *)&a, sizeof a));
}

/* The next close of the descriptor sends a reset. */
H_UNUSED static void linger_zero(int fd)
{
	struct linger linger = { 1, 0 };
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}

H_UNUSED static int socket_error(int fd)
{
	int error = -1;
	socklen_t length = sizeof error;
	CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
	return error;
}

/* Waits until the descriptor has `bits` by poll(2): what was sent over the loopback has arrived then. */
H_UNUSED static void wait_for(int fd, short bits)
{
	struct pollfd p = { .fd = fd, .events = bits };
	CHECK_EQ(poll(&p, 1, 5000), 1);
	CHECK((p.revents & bits) != 0);
}

#endif /* EVSHIM_TEST_INET_H */
