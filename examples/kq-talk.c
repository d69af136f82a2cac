/*
 * kq-talk: send bytes to an echo server over many connections at once, and check what comes back.
 *
 *   kq-talk [-c connections] [-b bytes] [-l late-ms] [-w patience-ms] address port
 *
 * Each connection sends `bytes` of a sequence of its own, ends its sending side, and expects the same bytes and then
 * the end. With -l the first one does not read for so long, which shows whether the server stands a slow reader.
 * Fails at the first difference, error or early end, or if nothing moves for `patience-ms`.
 *
 * Where kq-echo.c is told for as long as there is something to do, this one uses EV_CLEAR: it is told when something
 * happens, and goes on until the socket has no more.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#define _DEFAULT_SOURCE 1 /* glibc, musl: POSIX names in -std=c99 */

#include <sys/types.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define CHUNK 16384

struct talk {
	int fd;
	size_t number;
	unsigned long long sent, got;
	uint64_t send_state, get_state; /* of the sequence, at `sent` and at `got` */
};

static int kq;
static unsigned long long wanted = 1 << 20;
static size_t left;

/* The byte of the sequence at `state`, which moves on: a linear congruential generator. */
static unsigned char next(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned char)(*state >> 56);
}

static void done(struct talk *t)
{
	(void)close(t->fd);
	t->fd = -1;
	left--;
}

/* A WRITE event: room, or the connection stands now, or it does not. */
static void speak(struct talk *t)
{
	unsigned char chunk[CHUNK];
	uint64_t state;
	size_t i, length;
	ssize_t n;

	while (t->sent < wanted) {
		length = wanted - t->sent < CHUNK ? (size_t)(wanted - t->sent) : CHUNK;
		state = t->send_state;
		for (i = 0; i < length; i++)
			chunk[i] = next(&state);
		n = write(t->fd, chunk, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return; /* an event follows when there is room again */
		if (n < 0)
			err(1, "connection %zu: write", t->number);
		t->sent += (unsigned long long)n;
		for (i = 0; i < (size_t)n; i++)
			(void)next(&t->send_state);
		if (t->sent == wanted && shutdown(t->fd, SHUT_WR) != 0)
			err(1, "connection %zu: shutdown", t->number);
	}
}

/* A READ event. The end of the other side is part of what is expected. */
static void listen_to(struct talk *t)
{
	unsigned char chunk[CHUNK];
	ssize_t i, n;

	for (;;) {
		n = read(t->fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0)
			err(1, "connection %zu: read", t->number);
		if (n == 0)
			break;
		for (i = 0; i < n; i++, t->got++)
			if (t->got >= t->sent || chunk[i] != next(&t->get_state))
				errx(1, "connection %zu: byte %llu is not what was sent", t->number, t->got);
	}
	if (t->got != wanted)
		errx(1, "connection %zu: it ended after %llu bytes", t->number, t->got);
	done(t);
}

static void start(struct talk *t, const struct sockaddr_in *server, int late_ms)
{
	struct kevent add[3];
	uintptr_t fd;
	int on = late_ms > 0 ? EV_DISABLE : 0;

	t->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (t->fd < 0 || fcntl(t->fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(t->fd, F_SETFD, FD_CLOEXEC) != 0)
		err(1, "socket");
	if (connect(t->fd, (const struct sockaddr *)server, sizeof *server) != 0 && errno != EINPROGRESS)
		err(1, "connect");
	t->send_state = t->get_state = t->number + 1;
	fd = (uintptr_t)t->fd;
	EV_SET(&add[0], fd, EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, t);
	EV_SET(&add[1], fd, EVFILT_READ, (unsigned short)(EV_ADD | EV_CLEAR | on), 0, 0, t);
	EV_SET(&add[2], fd, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, late_ms, t);
	if (kevent(kq, add, on ? 3 : 2, NULL, 0, NULL) != 0)
		err(1, "connection %zu: kevent", t->number);
}

static void on_event(const struct kevent *e)
{
	struct talk *t = e->udata;
	struct kevent enable;
	int error = 0;
	socklen_t size = sizeof error;

	if ((e->flags & EV_ERROR) != 0)
		errx(1, "kevent: %s", strerror((int)e->data));
	if (t->fd < 0)
		return; /* it ended earlier in this batch */
	if (e->filter == EVFILT_TIMER) {
		EV_SET(&enable, (uintptr_t)t->fd, EVFILT_READ, EV_ENABLE, 0, 0, t);
		if (kevent(kq, &enable, 1, NULL, 0, NULL) != 0)
			err(1, "connection %zu: EV_ENABLE", t->number);
	} else if (e->filter == EVFILT_READ && t->sent > 0) {
		listen_to(t);
	} else {
		/* fflags has the socket's error; asking the socket works on every system. */
		if ((e->flags & EV_EOF) != 0 && getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
		    error != 0)
			errx(1, "connection %zu: %s", t->number, strerror(error));
		speak(t);
	}
}

static void run(int patience_ms)
{
	struct timespec patience;
	struct kevent events[BATCH];
	int i, n;

	patience.tv_sec = patience_ms / 1000;
	patience.tv_nsec = patience_ms % 1000 * 1000000L;
	while (left > 0) {
		n = kevent(kq, NULL, 0, events, BATCH, &patience);
		if (n < 0 && errno != EINTR)
			err(1, "kevent");
		if (n == 0)
			errx(1, "nothing moved for %d ms, %zu connections are open", patience_ms, left);
		for (i = 0; i < n; i++)
			on_event(&events[i]);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in server;
	struct timespec begin, end;
	struct talk *talks;
	size_t i, count = 100;
	int option, late = 0, patience = 10000, bad = 0;
	double seconds;

	while ((option = getopt(argc, argv, "c:b:l:w:")) != -1) {
		switch (option) {
		case 'c': count = strtoul(optarg, NULL, 10); break;
		case 'b': wanted = strtoull(optarg, NULL, 10); break;
		case 'l': late = atoi(optarg); break;
		case 'w': patience = atoi(optarg); break;
		default: bad = 1;
		}
	}
	memset(&server, 0, sizeof server);
	server.sin_family = AF_INET;
	if (bad || argc - optind != 2 || count == 0 || wanted == 0 || patience <= 0 ||
	    inet_pton(AF_INET, argv[optind], &server.sin_addr) != 1)
		errx(2, "usage: kq-talk [-c connections] [-b bytes] [-l late-ms] [-w patience-ms] address port");
	server.sin_port = htons((uint16_t)atoi(argv[optind + 1]));
	(void)signal(SIGPIPE, SIG_IGN);

	talks = calloc(count, sizeof *talks);
	if (talks == NULL || (kq = kqueue()) < 0)
		err(1, "start");
	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	for (i = 0; i < count; i++) {
		talks[i].number = i;
		start(&talks[i], &server, i == 0 ? late : 0);
		left++;
	}
	run(patience);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	(void)printf("%llu bytes came back unchanged on %zu connections in %.2f s\n", wanted * count, count, seconds);
	free(talks);
	return 0;
}
