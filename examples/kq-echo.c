/*
 * kq-echo: an echo server in one thread on one kqueue, for any system with <sys/event.h>.
 *
 *   kq-echo [-a address] [-p port] [-i idle-ms]
 *
 * Sends back what it gets. A connection whose peer does not read is not read from either, once its buffer is full;
 * one on which nothing moves for `idle-ms` is closed. SIGINT and SIGTERM end the server: it sends what it still has,
 * for half a second at most.
 *
 *   FreeBSD   cc -o kq-echo kq-echo.c
 *   Linux     cc -o kq-echo kq-echo.c $(pkg-config --cflags --libs evshim-kqueue)
 *
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

#define BATCH 64         /* events taken at once */
#define ROOM 65536       /* bytes that a connection may have on their way back */
#define GRACE_MS 500     /* for what is still to be sent at the end */
#define RETRY_MS 100     /* before accept is tried again when there are no descriptors */

/* Numbers of timers and user events are the program's own. A connection's timer has the connection's descriptor as
 * its number; that of these two is no descriptor. */
#define STOP_USER 1
#define GRACE_TIMER UINTPTR_MAX
#define RETRY_TIMER (UINTPTR_MAX - 1)

struct conn {
	int fd;
	int reading, writing;   /* what the queue has been told: the filter is enabled */
	int timer;              /* its timer is running */
	int eof;                /* the peer will send no more */
	int dead, touched;      /* close it when the batch is over; it is in this batch's list */
	long long moved_at;     /* milliseconds, when bytes were last read or written */
	struct conn *prev, *next, *next_touched;
	size_t at, len;         /* the bytes that go back next: buf[at .. at + len] */
	char buf[ROOM];
};

struct server {
	int listener;           /* -1 when the server is stopping */
	long long idle, now;    /* milliseconds */
	struct conn *conns, *touched;
	struct kevent changes[3 * BATCH + 2]; /* what a batch can lead to */
	int nchanges;
	unsigned long connections, idled, failed, held_back;
	unsigned long long bytes;
};

static int kq; /* the signal handler needs it */

static long long milliseconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A change that goes with the next wait: no call of its own. */
static void change(struct server *s, uintptr_t ident, int filter, int flags, long long data, void *udata)
{
	EV_SET(&s->changes[s->nchanges++], ident, (short)filter, (unsigned short)flags, 0, (intptr_t)data, udata);
}

/* Put it on the list of those that are looked after when the batch is over. */
static void touch(struct server *s, struct conn *c)
{
	if (c->touched)
		return;
	c->touched = 1;
	c->next_touched = s->touched;
	s->touched = c;
}

/*
 * A connection must not be closed in the middle of a batch: another event for it may follow, and its number may be
 * given to the next one that is accepted.
 */
static void drop(struct server *s, struct conn *c)
{
	c->dead = 1;
	touch(s, c);
}

/* ---- bytes ---- */

static void send_back(struct server *s, struct conn *c)
{
	ssize_t n;

	while (c->len > 0) {
		n = write(c->fd, c->buf + c->at, c->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK) {
				s->failed++;
				drop(s, c);
			}
			return;
		}
		c->at += (size_t)n;
		c->len -= (size_t)n;
		c->moved_at = s->now;
		s->bytes += (unsigned long long)n;
	}
	c->at = 0;
}

/* One read an event: the event comes again while there is more, behind those of the others. */
static void take_in(struct server *s, struct conn *c)
{
	size_t end = c->at + c->len;
	ssize_t n;

	if (end == ROOM) { /* the free bytes are in front */
		memmove(c->buf, c->buf + c->at, c->len);
		c->at = 0;
		end = c->len;
	}
	do
		n = read(c->fd, c->buf + end, ROOM - end);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->len += (size_t)n;
		c->moved_at = s->now;
	} else if (n == 0) {
		c->eof = 1; /* only this direction has ended: what we have still goes back */
	} else if (errno != EAGAIN && errno != EWOULDBLOCK) {
		s->failed++;
		drop(s, c);
	}
}

/*
 * Tell the queue what this connection waits for now. Reading pauses while the buffer is full, and writing is of
 * interest only while it is not empty. A change replaces udata on FreeBSD, so it is given each time.
 */
static void settle(struct server *s, struct conn *c)
{
	int stopping = s->listener < 0;
	int read_on = !c->eof && !stopping && c->len < (c->reading ? ROOM : ROOM / 2);
	int write_on = c->len > 0;

	if (c->len == 0 && (c->eof || stopping))
		c->dead = 1;
	if (c->dead)
		return;
	if (read_on != c->reading) {
		change(s, (uintptr_t)c->fd, EVFILT_READ, read_on ? EV_ENABLE : EV_DISABLE, 0, c);
		s->held_back += !read_on && !c->eof && !stopping;
	}
	if (write_on != c->writing)
		change(s, (uintptr_t)c->fd, EVFILT_WRITE, write_on ? EV_ENABLE : EV_DISABLE, 0, c);
	if (!c->timer)
		change(s, (uintptr_t)c->fd, EVFILT_TIMER, EV_ADD | EV_ONESHOT, c->moved_at + s->idle - s->now, c);
	c->reading = read_on;
	c->writing = write_on;
	c->timer = 1;
}

static void finish(struct server *s, struct conn *c)
{
	struct kevent stop;

	EV_SET(&stop, (uintptr_t)c->fd, EVFILT_TIMER, EV_DELETE, 0, 0, NULL);
	if (c->timer)
		(void)kevent(kq, &stop, 1, NULL, 0, NULL);
	(void)close(c->fd); /* takes READ and WRITE with it */
	*(c->prev != NULL ? &c->prev->next : &s->conns) = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	free(c);
}

/* ---- events ---- */

static void on_connection(struct server *s, struct conn *c, const struct kevent *e)
{
	touch(s, c);
	if (e->filter == EVFILT_TIMER) {
		/* Nobody restarts it while bytes move. If some did, settle() lets it run for the rest. */
		c->timer = 0;
		if (s->now - c->moved_at >= s->idle) {
			s->idled++;
			c->dead = 1;
		}
		return;
	}
	if ((e->flags & EV_EOF) != 0 && e->fflags != 0) { /* an error, as SO_ERROR would tell it */
		s->failed++;
		c->dead = 1;
		return;
	}
	if (e->filter == EVFILT_READ && s->listener >= 0)
		take_in(s, c); /* with EV_EOF, too: there may be bytes before the end */
	if (!c->dead)
		send_back(s, c);
}

/* The three filters of a connection. WRITE waits until there is something that could not be sent at once. */
static int watch(struct server *s, struct conn *c)
{
	struct kevent add[3];
	uintptr_t fd = (uintptr_t)c->fd;

	EV_SET(&add[0], fd, EVFILT_READ, EV_ADD, 0, 0, c);
	EV_SET(&add[1], fd, EVFILT_WRITE, EV_ADD | EV_DISABLE, 0, 0, c);
	EV_SET(&add[2], fd, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, (intptr_t)s->idle, c);
	return kevent(kq, add, 3, NULL, 0, NULL); /* no room for errors: the first one fails the call */
}

static void accept_one(struct server *s, int fd)
{
	struct conn *c = calloc(1, sizeof *c);

	if (c != NULL) {
		c->fd = fd;
		c->reading = c->timer = 1;
		c->moved_at = s->now;
	}
	if (c == NULL || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	    watch(s, c) != 0) {
		(void)close(fd); /* with what was registered before an error */
		free(c);
		return;
	}
	c->next = s->conns;
	if (s->conns != NULL)
		s->conns->prev = c;
	s->conns = c;
	s->connections++;
}

/* data of a listening socket is the number of connections that wait. */
static void on_listener(struct server *s, const struct kevent *e)
{
	long long i;
	int fd;

	for (i = 0; i < (long long)e->data; i++) {
		fd = accept(s->listener, NULL, NULL);
		if (fd >= 0) {
			accept_one(s, fd);
		} else if (errno == EMFILE || errno == ENFILE) {
			/* They go on waiting, and the event would come again and again. */
			change(s, e->ident, EVFILT_READ, EV_DISABLE, 0, NULL);
			change(s, RETRY_TIMER, EVFILT_TIMER, EV_ADD | EV_ONESHOT, RETRY_MS, NULL);
			return;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		} /* ECONNABORTED: that one is gone, the next may be there */
	}
}

static void begin_to_stop(struct server *s)
{
	struct conn *c;

	(void)close(s->listener);
	s->listener = -1;
	for (c = s->conns; c != NULL; c = c->next)
		if (c->len == 0)
			drop(s, c); /* the others when their bytes are gone */
	change(s, GRACE_TIMER, EVFILT_TIMER, EV_ADD | EV_ONESHOT, GRACE_MS, NULL);
}

static void on_event(struct server *s, const struct kevent *e)
{
	struct conn *c = e->udata;

	if ((e->flags & EV_ERROR) != 0) { /* a change was refused */
		if (c == NULL)
			errx(1, "kevent: %s", strerror((int)e->data));
		drop(s, c);
	} else if (c != NULL) {
		if (!c->dead)
			on_connection(s, c, e);
	} else if (e->filter == EVFILT_USER) {
		begin_to_stop(s);
	} else if (e->filter == EVFILT_READ) {
		if (s->listener >= 0)
			on_listener(s, e);
	} else if (e->ident == RETRY_TIMER && s->listener >= 0) {
		change(s, (uintptr_t)s->listener, EVFILT_READ, EV_ENABLE, 0, NULL);
	} else if (e->ident == GRACE_TIMER) {
		for (c = s->conns; c != NULL; c = c->next)
			drop(s, c);
	}
}

static void run(struct server *s)
{
	struct kevent events[BATCH];
	struct conn *c;
	int i, n;

	while (s->listener >= 0 || s->conns != NULL) {
		n = kevent(kq, s->changes, s->nchanges, events, BATCH, NULL);
		if (n < 0 && errno != EINTR)
			err(1, "kevent");
		s->nchanges = 0; /* applied, also when a signal ended the wait */
		s->now = milliseconds();
		for (i = 0; i < n; i++)
			on_event(s, &events[i]);
		while ((c = s->touched) != NULL) {
			s->touched = c->next_touched;
			c->touched = 0;
			settle(s, c);
			if (c->dead)
				finish(s, c);
		}
	}
}

/* A trigger is safe in a signal handler (a system call on the BSDs, promised by evshim), and in any thread. */
static void on_signal(int number)
{
	struct kevent trigger;
	int kept = errno;

	(void)number;
	EV_SET(&trigger, STOP_USER, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	(void)kevent(kq, &trigger, 1, NULL, 0, NULL);
	errno = kept;
}

static int listen_on(const char *address, int port)
{
	struct sockaddr_in where;
	socklen_t length = sizeof where;
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	memset(&where, 0, sizeof where);
	where.sin_family = AF_INET;
	where.sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, address, &where.sin_addr) != 1)
		errx(1, "not an address: %s", address);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
	    bind(fd, (struct sockaddr *)&where, sizeof where) != 0 || listen(fd, SOMAXCONN) != 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	    getsockname(fd, (struct sockaddr *)&where, &length) != 0)
		err(1, "%s:%d", address, port);
	(void)printf("listening on %s:%d\n", address, (int)ntohs(where.sin_port));
	(void)fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	static struct server s;
	struct kevent add;
	const char *address = "127.0.0.1";
	int option, port = 7;

	s.idle = 60000;
	while ((option = getopt(argc, argv, "a:p:i:")) != -1) {
		if (option == 'a')
			address = optarg;
		else if (option == 'p')
			port = atoi(optarg);
		else if (option != 'i' || (s.idle = atoi(optarg)) <= 0)
			errx(2, "usage: kq-echo [-a address] [-p port] [-i idle-ms]");
	}
	kq = kqueue();
	EV_SET(&add, STOP_USER, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL);
	if (kq < 0 || kevent(kq, &add, 1, NULL, 0, NULL) != 0)
		err(1, "kqueue");
	(void)signal(SIGPIPE, SIG_IGN); /* a peer that is gone is an error number */
	(void)signal(SIGINT, on_signal);
	(void)signal(SIGTERM, on_signal);
	s.listener = listen_on(address, port);
	EV_SET(&add, (uintptr_t)s.listener, EVFILT_READ, EV_ADD, 0, 0, NULL);
	if (kevent(kq, &add, 1, NULL, 0, NULL) != 0)
		err(1, "EVFILT_READ");
	run(&s);
	(void)printf("echoed %llu bytes on %lu connections: %lu were idle, %lu failed, %lu times a full buffer\n",
		s.bytes, s.connections, s.idled, s.failed, s.held_back);
	return 0;
}
