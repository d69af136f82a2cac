/*
 * port-httpd: a file server in which several threads share one event port.
 *
 *   port-httpd [-a address] [-p port] [-t threads] [-i idle-seconds] directory
 *
 * All threads wait in port_getn() on the same port. An association is one-shot: once its event is
 * taken nobody else gets one for that descriptor until it is associated again, so whoever took the
 * event owns the connection and needs no lock for it. An accepted connection starts as a user event,
 * which any idle thread picks up. One alert ends all threads.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#define _POSIX_C_SOURCE 200809L
#define __EXTENSIONS__ 1 /* illumos: all names besides the POSIX ones */

#include "http-conn.h"

#include <port.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 8        /* events per call: more would keep them from idle threads */
#define TICK_MS 500    /* how often idle connections are looked for */
#define THREADS_MAX 64
#define NEVER INT64_MAX

struct client {
	struct http_conn http;
	struct client *next, *prev;   /* server.clients, under server.lock */
	int64_t until;                /* the owner's copy of the deadline */
	int wait;                     /* events of the last association */
	_Atomic int64_t deadline;     /* `until` for tick(); NEVER while a thread works on the connection */
};

struct server {
	int port, listener, root;
	int64_t idle_ms;
	pthread_mutex_t lock;         /* the list, and the totals of clients that left it */
	struct client clients;        /* head of a ring */
	unsigned long accepted, requests;
	unsigned long long sent;
	_Atomic int64_t next_tick;
	atomic_ulong given;           /* see give() */
	atomic_bool listener_parked;  /* out of descriptors: not associated at the moment */
	atomic_bool failed;
};

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A worker that cannot go on ends the program in the same way as a signal would. */
static void fail(struct server *s, const char *what)
{
	perror(what);
	atomic_store(&s->failed, true);
	(void)kill(getpid(), SIGTERM);
}

static void listen_again(struct server *s)
{
	if (port_associate(s->port, PORT_SOURCE_FD, (uintptr_t)s->listener, POLLIN, s) != 0)
		fail(s, "port_associate(listener)");
}

/* Take it off the list; called with the lock held. */
static void unlink_client(struct server *s, struct client *c)
{
	c->next->prev = c->prev;
	c->prev->next = c->next;
	s->requests += c->http.requests;
	s->sent += c->http.sent;
}

static void client_close(struct server *s, struct client *c)
{
	(void)pthread_mutex_lock(&s->lock);
	unlink_client(s, c);
	(void)pthread_mutex_unlock(&s->lock);
	http_conn_close(&c->http);
	free(c);
	if (atomic_exchange(&s->listener_parked, false))
		listen_again(s);
}

/*
 * A connection passes from thread to thread through the port. The C memory model knows nothing of ports:
 * this counter is what makes the last owner's writes visible to the next one.
 */
static void give(struct server *s, struct client *c)
{
	atomic_store_explicit(&c->deadline, c->until, memory_order_relaxed);
	(void)atomic_fetch_add_explicit(&s->given, 1, memory_order_release);
}

static void take(struct server *s)
{
	(void)atomic_load_explicit(&s->given, memory_order_acquire);
}

/*
 * Wait for the next event of the connection. Another thread may own (and free) it before
 * port_associate() returns: it is not touched after give(), unless the call fails.
 */
static int client_park(struct server *s, struct client *c)
{
	int fd = c->http.fd, wait = c->wait;

	give(s, c);
	return port_associate(s->port, PORT_SOURCE_FD, (uintptr_t)fd, wait, c);
}

/* Own the connection: called by the one thread that took its event. */
static void client_serve(struct server *s, struct client *c)
{
	int progress;

	take(s);
	atomic_store_explicit(&c->deadline, NEVER, memory_order_relaxed);
	c->wait = http_conn_run(&c->http, s->root, &progress);
	if (progress)
		c->until = now_ms() + s->idle_ms;
	if (c->wait < 0 || client_park(s, c) != 0)
		client_close(s, c); /* done, or the port has no slot for it (EAGAIN, ENOMEM) */
}

static struct client *client_new(struct server *s, int fd)
{
	struct client *c = malloc(sizeof *c);

	if (c == NULL)
		return NULL;
	http_conn_init(&c->http, fd);
	c->wait = POLLIN;
	c->until = now_ms() + s->idle_ms;
	atomic_init(&c->deadline, NEVER);
	(void)pthread_mutex_lock(&s->lock);
	c->prev = &s->clients;
	c->next = s->clients.next;
	c->next->prev = c->prev->next = c;
	s->accepted++;
	(void)pthread_mutex_unlock(&s->lock);
	return c;
}

/* Hand a new connection to whichever thread is free. */
static void hand_over(struct server *s, int fd)
{
	int one = 1, flags = fcntl(fd, F_GETFL);
	struct client *c;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || (c = client_new(s, fd)) == NULL) {
		(void)close(fd);
		return;
	}
	give(s, c);
	if (port_send(s->port, 0, c) != 0)
		client_serve(s, c); /* the queue is full (EAGAIN): do it here */
}

static void accept_all(struct server *s)
{
	for (;;) {
		int fd = accept(s->listener, NULL, NULL);

		if (fd >= 0) {
			hand_over(s, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* Associating now would give the same event at once, for ever. The next closed
			 * connection, or the next tick, tries again. */
			atomic_store(&s->listener_parked, true);
			return;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			listen_again(s);
			return;
		} else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) {
			fail(s, "accept");
			return;
		} /* else EINTR, ECONNABORTED, an error of the new connection: take the next */
	}
}

/* Close an idle connection if no other thread has its event. */
static struct client *expire(struct server *s, struct client *c, int64_t now)
{
	if (atomic_load_explicit(&c->deadline, memory_order_relaxed) > now)
		return NULL;
	/* 0: it was armed, or its event still queued, and is ours now. ENOENT: somebody took the event
	 * (or the hand-over is on its way), so it is not idle. */
	if (port_dissociate(s->port, PORT_SOURCE_FD, (uintptr_t)c->http.fd) != 0)
		return NULL;
	take(s);
	/* It may have been served and parked again since the first look. */
	if (c->until > now && client_park(s, c) == 0)
		return NULL;
	unlink_client(s, c);
	return c;
}

static void tick(struct server *s)
{
	int64_t now = now_ms(), due = atomic_load(&s->next_tick);
	struct client *c, *next, *dead, *closing = NULL;

	if (now < due || !atomic_compare_exchange_strong(&s->next_tick, &due, now + TICK_MS))
		return; /* too early, or another thread does it */
	if (atomic_exchange(&s->listener_parked, false))
		listen_again(s);
	(void)pthread_mutex_lock(&s->lock);
	for (c = s->clients.next; c != &s->clients; c = next) {
		next = c->next;
		if ((dead = expire(s, c, now)) != NULL) {
			dead->next = closing;
			closing = dead;
		}
	}
	(void)pthread_mutex_unlock(&s->lock);
	for (c = closing; c != NULL; c = next) { /* closing may block: not under the lock */
		next = c->next;
		http_conn_close(&c->http);
		free(c);
	}
}

/* Returns 0 when the thread has to end. */
static int handle(struct server *s, const port_event_t *ev)
{
	switch (ev->portev_source) {
	case PORT_SOURCE_FD:
		if (ev->portev_user == s)
			accept_all(s);
		else
			client_serve(s, ev->portev_user);
		return 1;
	case PORT_SOURCE_USER:
		client_serve(s, ev->portev_user);
		return 1;
	case PORT_SOURCE_ALERT:
	default:
		return 0;
	}
}

static void *worker(void *arg)
{
	struct server *s = arg;
	struct timespec timeout = {TICK_MS / 1000, TICK_MS % 1000 * 1000000L};
	port_event_t events[BATCH];

	for (;;) {
		uint_t n = 1;
		int rc = port_getn(s->port, events, BATCH, &n, &timeout);

		/* ETIME sets n and may carry events (R7.2); EINTR leaves n at 1 without any (R7.6). */
		if (rc != 0 && errno != ETIME) {
			if (errno == EINTR)
				continue;
			fail(s, "port_getn");
			return NULL;
		}
		for (uint_t i = 0; i < n; i++)
			if (!handle(s, &events[i]))
				return NULL; /* an alert comes alone: nothing behind it is lost */
		tick(s);
	}
}

static int open_listener(const char *address, int number)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof sa;
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(&sa, 0, sizeof sa);
	sa.sin_family = AF_INET;
	sa.sin_port = htons((uint16_t)number);
	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || listen(fd, 512) != 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
		return -1;
	printf("listening on %s:%d\n", address, ntohs(sa.sin_port));
	(void)fflush(stdout);
	return fd;
}

/* Start the threads, wait for a signal, stop them with one alert. */
static int run(struct server *s, int threads)
{
	pthread_t ids[THREADS_MAX];
	sigset_t stop;
	int sig, started = 0;

	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigaddset(&stop, SIGINT);
	/* Blocked before any thread exists: only sigwait() below ever sees them. */
	(void)pthread_sigmask(SIG_BLOCK, &stop, NULL);
	(void)signal(SIGPIPE, SIG_IGN);

	listen_again(s);
	while (started < threads && pthread_create(&ids[started], NULL, worker, s) == 0)
		started++;
	if (started > 0)
		while (sigwait(&stop, &sig) != 0)
			;
	if (port_alert(s->port, PORT_ALERT_SET, 1, NULL) != 0)
		return -1;
	for (int i = 0; i < started; i++)
		(void)pthread_join(ids[i], NULL);
	return started > 0 && !atomic_load(&s->failed) ? 0 : -1;
}

static void usage(void)
{
	(void)fputs("usage: port-httpd [-a address] [-p port] [-t threads] [-i idle-seconds] directory\n",
		stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct server s;
	const char *address = "127.0.0.1";
	int opt, number = 8080, threads = 4, idle = 30, rc;

	while ((opt = getopt(argc, argv, "a:p:t:i:")) != -1) {
		switch (opt) {
		case 'a': address = optarg; break;
		case 'p': number = atoi(optarg); break;
		case 't': threads = atoi(optarg); break;
		case 'i': idle = atoi(optarg); break;
		default: usage();
		}
	}
	if (optind + 1 != argc || threads < 1 || threads > THREADS_MAX || idle < 1 || number < 0 ||
	    number > 65535)
		usage();
	s.clients.next = s.clients.prev = &s.clients;
	s.idle_ms = (int64_t)idle * 1000;
	atomic_init(&s.next_tick, now_ms() + TICK_MS);
	(void)pthread_mutex_init(&s.lock, NULL);
	if ((s.root = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
	    (s.port = port_create()) < 0 || fcntl(s.port, F_SETFD, FD_CLOEXEC) != 0 ||
	    (s.listener = open_listener(address, number)) < 0) {
		perror("port-httpd");
		return 1;
	}
	rc = run(&s, threads);
	while (s.clients.next != &s.clients) /* idle ones, and user events that nobody took any more */
		client_close(&s, s.clients.next);
	(void)close(s.listener);
	(void)close(s.port);
	(void)close(s.root);
	printf("served %lu requests on %lu connections, %llu bytes\n", s.requests, s.accepted, s.sent);
	return rc == 0 ? 0 : 1;
}
