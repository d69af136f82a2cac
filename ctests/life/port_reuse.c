/*
 * The number of a port that was just closed belongs to the program at once. Threads that are still on their way
 * into or out of the port must not touch whatever the program has put there.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <sys/epoll.h>

/* How many descriptors a set watches, and the sum of their event masks, as the kernel tells. */
static int registrations(int set, unsigned *masks)
{
	char path[64], line[256];
	int count = 0;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", set);
	FILE *f = fopen(path, "r");
	CHECK(f != NULL);
	*masks = 0;
	while (fgets(line, sizeof line, f) != NULL) {
		unsigned number, events;
		if (sscanf(line, "tfd: %u events: %x", &number, &events) == 2) {
			count++;
			*masks += events;
		}
	}
	fclose(f);
	return count;
}

enum trade { SENDING, ASSOCIATING, GETTING, GETTING_MANY, ALERTING, TRADES };

struct abuser {
	struct thread thread;
	enum trade trade;
	int fd; /* what the associating thread associates */
	volatile int *port;
	volatile int *stop;
	long calls;
};

/* Any error that says "no such port" is fine; success is fine as well while the number is a port. */
static void check_outcome(int result)
{
	if (result == -1 && errno != EBADF && errno != EBADFD && errno != ETIME && errno != ENOENT
		&& errno != EBUSY && errno != EAGAIN)
		FAIL("errno %d (%s)", errno, strerror(errno));
}

static void *abuse(void *arg)
{
	struct abuser *a = arg;
	port_event_t list[4];
	for (; !*a->stop; a->calls++) {
		unsigned nget = 2;
		int port = *a->port;
		switch (a->trade) {
		case SENDING: check_outcome(send_value(port, 1)); break;
		case ASSOCIATING:
			check_outcome(watch(port, a->fd, POLLIN));
			check_outcome(unwatch(port, a->fd));
			break;
		case GETTING: check_outcome(port_get(port, list, TIMEOUT_MS(1))); break;
		case GETTING_MANY: check_outcome(port_getn(port, list, 4, &nget, TIMEOUT_MS(1))); break;
		case ALERTING:
			check_outcome(port_alert(port, PORT_ALERT_SET, 1, NULL));
			check_outcome(port_alert(port, 0, 0, NULL));
			break;
		default: break;
		}
	}
	return NULL;
}

static struct abuser abusers[8];
static volatile int the_port, stop_abuse;

static void abuse_start(int count, int fd)
{
	for (int i = 0; i < count; i++) {
		abusers[i] = (struct abuser){ .trade = (enum trade)(i % TRADES), .fd = fd, .port = &the_port,
			.stop = &stop_abuse };
		thread_start(&abusers[i].thread, abuse, &abusers[i]);
	}
}

static void abuse_end(int count)
{
	stop_abuse = 1;
	for (int i = 0; i < count; i++) {
		thread_join(&abusers[i].thread);
		CHECK(abusers[i].calls > 0);
	}
}

/* The program's own epoll set at the number: its one-shot event must still be there for the program itself. */
static void check_own_set(int number, int readable)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 0x600d };
	unsigned masks;
	int set = epoll_create1(EPOLL_CLOEXEC);
	CHECK_RET(dup3(set, number, O_CLOEXEC), number);
	close(set);
	CHECK_OK(epoll_ctl(number, EPOLL_CTL_ADD, readable, &event));
	for (int i = 0; i < 20; i++)
		sched_yield();
	CHECK_EQ(registrations(number, &masks), 1);
	CHECK((masks & EPOLLIN) != 0);
	event.data.u64 = 0;
	CHECK_EQ(epoll_wait(number, &event, 1, 1000), 1);
	CHECK_EQ(event.data.u64, 0x600d);
	CHECK_EQ(epoll_wait(number, &event, 1, 0), 0);
	CHECK_OK(close(number));
}

/* Closed, then reused for an epoll set, under fire from every call of the interface. */
TEST_LIMIT(own_epoll_set_at_a_port_number, "R7.30 R4.23", 60)
{
	int fds[2], ready[2];
	long long end = now_ms() + 4000;
	make_pair(fds);
	make_pair(ready);
	put(ready[1]);
	the_port = 100;
	abuse_start(5, fds[0]);
	while (now_ms() < end) {
		int port = port_create();
		CHECK_RET(dup2(port, 100), 100);
		close(port);
		for (int i = 0; i < 3; i++)
			sched_yield();
		CHECK_OK(close(100));
		check_own_set(100, ready[0]);
	}
	abuse_end(5);
	close_pipe(fds);
	close_pipe(ready);
}

/* The same with dup2: at no moment is the number free, and nobody waits for the old calls to leave. */
TEST_LIMIT(own_epoll_set_replaces_a_port, "R7.30 R4.20", 60)
{
	int fds[2], ready[2];
	long long end = now_ms() + 3000;
	make_pair(fds);
	make_pair(ready);
	put(ready[1]);
	the_port = 100;
	abuse_start(5, fds[0]);
	while (now_ms() < end) {
		int port = port_create();
		CHECK_RET(dup2(port, 100), 100);
		close(port);
		sched_yield();
		check_own_set(100, ready[0]);
	}
	abuse_end(5);
	close_pipe(fds);
	close_pipe(ready);
}

/* A socket at the number: no byte arrives and none is taken. */
TEST_LIMIT(own_socket_at_a_port_number, "R7.30 R4.23", 60)
{
	int fds[2];
	long long end = now_ms() + 3000;
	make_pair(fds);
	the_port = 100;
	abuse_start(5, fds[0]);
	while (now_ms() < end) {
		int port = port_create(), own[2];
		char text[8];
		CHECK_RET(dup2(port, 100), 100);
		close(port);
		sched_yield();
		CHECK_OK(close(100));
		make_pair(own);
		CHECK_RET(dup2(own[0], 100), 100);
		CHECK_EQ(write(own[1], "hello", 5), 5);
		CHECK_EQ(fcntl(100, F_GETFL), O_RDWR);
		for (int i = 0; i < 10; i++)
			sched_yield();
		CHECK_EQ(recv(own[1], text, 8, MSG_DONTWAIT), -1);
		CHECK_EQ(recv(100, text, 8, MSG_DONTWAIT), 5);
		CHECK_EQ(fcntl(100, F_GETFD), 0);
		CHECK_OK(close(100));
		close_pipe(own);
	}
	abuse_end(5);
	close_pipe(fds);
}

/* Ports come and go at the lowest free number while eight threads use whatever is there. */
TEST_LIMIT(ports_come_and_go_under_fire, "R7.30 R6.1", 60)
{
	int fds[2];
	long long end = now_ms() + 3000;
	make_pair(fds);
	the_port = port_create();
	abuse_start(8, fds[0]);
	while (now_ms() < end) {
		int old = the_port;
		CHECK_OK(close(old));
		int fresh = port_create();
		CHECK(fresh >= 0);
		the_port = fresh;
		for (int i = 0; i < 2; i++)
			sched_yield();
	}
	abuse_end(8);
	port_alert(the_port, 0, 0, NULL);
	drain(the_port);
	CHECK_PORT_WORKS(the_port);
	close(the_port);
	close_pipe(fds);
}

struct watched {
	int fd;
	volatile int stop;
	volatile int *port;
};

/* Opens, associates and closes its own descriptors for as long as the port lives. */
static void *associate_and_close(void *arg)
{
	struct watched *w = arg;
	while (!w->stop) {
		int fds[2];
		make_pipe(fds);
		check_outcome(watch(*w->port, fds[0], POLLIN));
		put(fds[1]);
		check_outcome(send_value(*w->port, 1));
		close_pipe(fds);
	}
	return NULL;
}

/* The close of descriptors against the close of the port that watches them. */
TEST_LIMIT(port_and_descriptors_closed_at_once, "R4.20 R13.7", 30)
{
	struct watched w = { .port = &the_port };
	struct thread threads[3];
	long long end = now_ms() + 3000;
	port_event_t list[16];
	the_port = port_create();
	for (int i = 0; i < 3; i++)
		thread_start(&threads[i], associate_and_close, &w);
	while (now_ms() < end) {
		int fresh = port_create(), old = the_port;
		the_port = fresh;
		harvest(old, list, 16, 1);
		CHECK_OK(close(old));
	}
	w.stop = 1;
	for (int i = 0; i < 3; i++)
		thread_join(&threads[i]);
	drain(the_port);
	CHECK_PORT_WORKS(the_port);
	close(the_port);
}
