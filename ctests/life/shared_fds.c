/*
 * Threads that associate, dissociate, read and close the same descriptors in one port (R4.3, R4.5, R4.20, T-070).
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

#define PAIRS 16
#define TRIPS 400
#define WORKERS 8

static int server[PAIRS], client[PAIRS];
static volatile int the_port, stop;
static volatile long events_seen, bytes_echoed, empty_events;

/* One event, one byte, one answer, and the association again. */
static void serve(const port_event_t *pe)
{
	char byte;
	int fd = (int)pe->portev_object;
	CHECK_EQ(pe->portev_source, PORT_SOURCE_FD);
	CHECK_EQ((uintptr_t)pe->portev_user, fd);
	__atomic_add_fetch(&events_seen, 1, __ATOMIC_RELAXED);
	if (recv(fd, &byte, 1, MSG_DONTWAIT) == 1) {
		__atomic_add_fetch(&bytes_echoed, 1, __ATOMIC_RELAXED);
		CHECK_EQ(send(fd, &byte, 1, 0), 1);
	} else {
		__atomic_add_fetch(&empty_events, 1, __ATOMIC_RELAXED);
	}
	CHECK_EQ(watch(the_port, fd, POLLIN), 0);
}

static void *worker(void *arg)
{
	port_event_t list[4];
	bool many = (intptr_t)arg % 2;
	while (!stop) {
		unsigned got = 1;
		int result = many ? port_getn(the_port, list, 4, &got, TIMEOUT_MS(50))
				  : port_get(the_port, list, TIMEOUT_MS(50));
		if (result == -1) {
			CHECK_EQ(errno, ETIME);
			got = many ? got : 0;
		}
		for (unsigned i = 0; i < got; i++)
			serve(&list[i]);
	}
	return NULL;
}

/* Keeps one byte under way on every pair until each has made its trips. */
static void drive(void)
{
	struct pollfd polls[PAIRS];
	int trips[PAIRS] = { 0 }, finished = 0;
	for (int i = 0; i < PAIRS; i++) {
		polls[i] = (struct pollfd){ .fd = client[i], .events = POLLIN };
		put(client[i]);
	}
	while (finished < PAIRS) {
		if (poll(polls, PAIRS, 5000 * slow()) <= 0)
			FAIL("an event was lost: nothing for 5 s, %d of %d pairs are through", finished, PAIRS);
		for (int i = 0; i < PAIRS; i++)
			if (polls[i].revents & POLLIN) {
				take(client[i]);
				if (++trips[i] < TRIPS)
					put(client[i]);
				else
					finished++;
			}
	}
}

TEST_LIMIT(eight_workers_on_sixteen_sockets, "R4.5 R2.3 T-352", 60)
{
	static struct thread threads[WORKERS];
	the_port = port_create();
	for (int i = 0; i < PAIRS; i++) {
		int fds[2];
		make_pair(fds);
		server[i] = fds[0];
		client[i] = fds[1];
		CHECK_OK(watch(the_port, server[i], POLLIN));
	}
	for (int i = 0; i < WORKERS; i++)
		thread_start(&threads[i], worker, (void *)(intptr_t)i);
	drive();
	stop = 1;
	for (int i = 0; i < WORKERS; i++)
		thread_join(&threads[i]);
	CHECK_EQ(bytes_echoed, PAIRS * TRIPS);
	/* R4.5: one event an association; a stale one (R2.4) may find nothing to read */
	if (empty_events > bytes_echoed / 10 + 10)
		FAIL("%ld events of %ld found nothing to read", empty_events, events_seen);
	CHECK_EQ(pending(the_port), 0);
	for (int i = 0; i < PAIRS; i++) {
		close(server[i]);
		close(client[i]);
	}
	close(the_port);
}

struct racer {
	struct thread thread;
	int trade;
	int fd;
	volatile long turns;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	port_event_t list[8];
	for (; !stop; r->turns++) {
		if (r->trade == 0)
			CHECK_EQ(watch(the_port, r->fd, POLLIN), 0);
		else if (r->trade == 1 && unwatch(the_port, r->fd) == -1)
			CHECK_EQ(errno, ENOENT);
		else if (r->trade == 2)
			harvest(the_port, list, 8, 1);
	}
	return NULL;
}

/* T-070; afterwards the association is taken away, and then nothing may come. */
static void associate_against_dissociate(bool ready, long ms)
{
	static struct racer racers[4];
	int fds[2];
	make_pair(fds);
	if (ready)
		put(fds[1]);
	stop = 0;
	the_port = port_create();
	for (int i = 0; i < 4; i++) {
		racers[i] = (struct racer){ .trade = i % 3, .fd = fds[0] };
		thread_start(&racers[i].thread, race, &racers[i]);
	}
	sleep_ms(ms);
	stop = 1;
	for (int i = 0; i < 4; i++) {
		thread_join(&racers[i].thread);
		CHECK(racers[i].turns > 10);
	}
	unwatch(the_port, fds[0]);
	CHECK_EQ(pending(the_port), 0);
	put(fds[1]);
	sleep_ms(20);
	CHECK_EQ(pending(the_port), 0);
	CHECK_ERR(unwatch(the_port, fds[0]), ENOENT);
	CHECK_OK(watch(the_port, fds[0], POLLIN));
	CHECK_FD_EVENT(the_port, fds[0]);
	CHECK_OK(close(the_port));
	close_pipe(fds);
}

TEST_LIMIT(associate_against_dissociate_idle, "T-070", 30)
{
	SKIP_UNDER_VALGRIND("runs one thread at a time, and not fairly");
	associate_against_dissociate(false, 1500);
}
TEST_LIMIT(associate_against_dissociate_ready, "T-070", 30) { associate_against_dissociate(true, 1500); }

static volatile int contested;

static void *associate_contested(void *arg)
{
	struct racer *r = arg;
	for (; !stop; r->turns++)
		if (watch(the_port, contested, POLLIN) == -1 && errno != EBADFD)
			FAIL("port_associate: errno %d (%s)", errno, strerror(errno));
	return NULL;
}

/* One thread closes and reopens the number that two others associate without end (a duplicate survives). */
TEST_LIMIT(associate_against_close, "R4.20 R4.23 T-070", 30)
{
	static struct racer racers[2];
	int fds[2];
	port_event_t list[8];
	long long end = now_ms() + 2500;
	make_pair(fds);
	put(fds[1]);
	the_port = port_create();
	contested = 90;
	stop = 0;
	for (int i = 0; i < 2; i++)
		thread_start(&racers[i].thread, associate_contested, &racers[i]);
	while (now_ms() < end) {
		CHECK_RET(dup2(fds[0], contested), contested);
		sched_yield();
		for (unsigned got = harvest(the_port, list, 8, 0); got > 0; got--)
			CHECK_EQ(list[got - 1].portev_object, contested);
		CHECK_OK(close(contested));
	}
	stop = 1;
	for (int i = 0; i < 2; i++)
		thread_join(&racers[i].thread);
	/* the number is closed, nobody associates it any more */
	CHECK_EQ(pending(the_port), 0);
	put(fds[1]);
	CHECK_EQ(harvest(the_port, list, 8, 50), 0);
	CHECK_RET(dup2(fds[0], contested), contested);
	CHECK_ERR(unwatch(the_port, contested), ENOENT);
	CHECK_OK(watch(the_port, contested, POLLIN));
	CHECK_FD_EVENT(the_port, contested);
	CHECK_PORT_WORKS(the_port);
	close(contested);
	close_pipe(fds);
	close(the_port);
}

/* A readable descriptor re-associated at full speed: no event without an association,
 * no association without an event. */
TEST_LIMIT(one_event_per_association, "R4.5 R2.3 T-065", 30)
{
	int fds[2];
	port_event_t list[8];
	long events = 0, associations = 0;
	make_pair(fds);
	put(fds[1]);
	the_port = port_create();
	for (int i = 0; i < 20000; i++) {
		CHECK_OK(watch(the_port, fds[0], POLLIN));
		associations++;
		unsigned got = harvest(the_port, list, 8, 1000);
		CHECK_EQ(got, 1);
		events += got;
		if (i % 16 == 0)
			CHECK_EQ(harvest(the_port, list, 8, 0), 0);
	}
	CHECK_EQ(events, associations);
	close_pipe(fds);
	close(the_port);
}

static void *sleeper(void *arg)
{
	port_event_t pe;
	volatile long *got = arg;
	while (!stop)
		if (port_get(the_port, &pe, TIMEOUT_MS(20)) == 0)
			++*got;
	return NULL;
}

/* The same against sleepers: each association yields exactly one event, to exactly one of them. */
TEST_LIMIT(one_event_per_association_among_sleepers, "R4.5 R7.23", 60)
{
	static struct thread threads[4];
	static volatile long got[4];
	long associations = 0;
	int fds[2];
	make_pair(fds);
	put(fds[1]);
	the_port = port_create();
	for (int i = 0; i < 4; i++)
		thread_start(&threads[i], sleeper, (void *)&got[i]);
	while (associations < 3000) {
		CHECK_OK(watch(the_port, fds[0], POLLIN));
		associations++;
		long long late = now_ms() + 3000LL * slow();
		for (;;) {
			long sum = 0;
			for (int i = 0; i < 4; i++)
				sum += __atomic_load_n(&got[i], __ATOMIC_RELAXED);
			if (sum == associations)
				break;
			if (sum > associations || now_ms() > late)
				FAIL("%ld events for %ld associations", sum, associations);
			sched_yield();
		}
	}
	sleep_ms(30);
	CHECK_EQ(got[0] + got[1] + got[2] + got[3], associations);
	stop = 1;
	for (int i = 0; i < 4; i++)
		thread_join(&threads[i]);
	close_pipe(fds);
	close(the_port);
}
