/*
 * Nobody sleeps over an event: eight threads wait on one port without time-out, and nothing else would ever wake them.
 * Bursts of user events and of ready descriptors come, each is retrieved exactly once (R2.3) and within 2 seconds:
 * whoever takes an event and leaves others must see to it that somebody comes for them (R7.22, R7.23). In every second
 * burst nobody comes back before all events have been retrieved: each needs a thread of its own then. What is retrieved
 * is read and associated again at once, by the thread that got it. Each test runs for a third of
 * EVSHIM_STRESS_SECONDS.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <sched.h>

#define THREADS 8
#define SLOTS 16
#define STOP 99

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, v) __atomic_add_fetch(&(x), v, __ATOMIC_SEQ_CST)

static unsigned patient; /* threads that want two events */
static int port, reader[SLOTS], writer[SLOTS];
static int armed[SLOTS]; /* by reader's index; the burst takes it away, the thread that got the event gives it back */
static unsigned long long retrieved, meeting; /* meeting: so many must have been retrieved before anybody waits again */

static void handle(const port_event_t *pe)
{
	if (pe->portev_source == PORT_SOURCE_FD) {
		uintptr_t s = (uintptr_t)pe->portev_user;
		CHECK(s < SLOTS);
		CHECK_EQ(pe->portev_object, reader[s]);
		CHECK_EQ(LOAD(armed[s]), 0); /* nobody wrote: it came twice, or for nothing */
		take(reader[s]);
		CHECK_OK(port_associate(port, PORT_SOURCE_FD, (uintptr_t)reader[s], POLLIN, (void *)s));
		STORE(armed[s], 1);
	} else {
		CHECK_EQ(pe->portev_source, PORT_SOURCE_USER);
	}
	ADD(retrieved, 1);
}

static void wait_for_the_others(unsigned long long until)
{
	for (long long late = now_ms() + 2000LL * slow(); LOAD(retrieved) < until; sched_yield())
		if (now_ms() > late)
			FAIL("%llu of %llu events retrieved, %u are queued, and others sleep", LOAD(retrieved), until,
				pending(port));
}

static void *wait_and_handle(void *arg)
{
	unsigned self = (unsigned)(uintptr_t)arg, want = self < patient ? 2 : 1;
	port_event_t list[4];
	for (;;) {
		unsigned got = want;
		if (want > 1)
			CHECK_OK(port_getn(port, list, 4, &got, NULL));
		else if (self % 2)
			CHECK_OK(port_getn(port, list, 1 + self % 3, &got, NULL));
		else
			CHECK_OK(port_get(port, list, NULL));
		if (list[0].portev_source == PORT_SOURCE_ALERT)
			return NULL;
		unsigned long long until = LOAD(meeting); /* of this burst: the next one waits for our events */
		for (unsigned i = 0; i < got; i++)
			handle(&list[i]);
		wait_for_the_others(until);
	}
}

/* Makes up to `most` events of both sorts in any order, and says how many; `meet`: they are announced before. */
static unsigned burst(unsigned *random, unsigned most, unsigned long long before, bool meet)
{
	int made[32]; /* a slot, or -1 for a user event */
	unsigned count = 0, total = 1 + (unsigned)rand_r(random) % most;
	while (count < total) {
		int s = rand_r(random) % (2 * SLOTS);
		if (s >= SLOTS)
			made[count++] = -1;
		else if (LOAD(armed[s])) {
			STORE(armed[s], 0);
			made[count++] = s;
		}
	}
	STORE(meeting, meet ? before + total : 0);
	for (unsigned i = 0; i < total; i++)
		if (made[i] < 0)
			CHECK_OK(port_send(port, 1, NULL));
		else
			put(writer[made[i]]);
	return total;
}

static void bursts(void)
{
	const char *text = getenv("EVSHIM_STRESS_SECONDS");
	long seconds = text != NULL && atol(text) > 3 ? atol(text) / 3 : 1;
	unsigned random = (unsigned)getpid();
	unsigned long long expected = 0;
	long long end = now_ms() + seconds * 1000;
	bool quiet = true; /* everything was retrieved */
	struct thread threads[THREADS];
	port = port_create();
	for (int s = 0; s < SLOTS; s++) {
		int fds[2];
		if (s % 2)
			make_pair(fds);
		else
			make_pipe(fds);
		reader[s] = fds[0];
		writer[s] = fds[1];
		CHECK_OK(port_associate(port, PORT_SOURCE_FD, (uintptr_t)fds[0], POLLIN, (void *)(uintptr_t)s));
		armed[s] = 1;
	}
	for (int t = 0; t < THREADS; t++)
		thread_start(&threads[t], wait_and_handle, (void *)(uintptr_t)t);
	while (now_ms() < end) {
		bool meet = quiet && rand_r(&random) % 2;
		if (meet && rand_r(&random) % 8 == 0)
			sleep_ms(2); /* now everybody sleeps */
		expected += burst(&random, meet ? THREADS - patient : 30, expected, meet);
		quiet = meet || rand_r(&random) % 4;
		if (!quiet)
			continue; /* the next one on top of it */
		for (long long late = now_ms() + 2000LL * slow(); LOAD(retrieved) < expected; sched_yield())
			if (now_ms() > late)
				FAIL("%llu of %llu events retrieved, %u are queued and everybody sleeps", LOAD(retrieved),
					expected, pending(port));
		CHECK_EQ(LOAD(retrieved), expected);
	}
	sleep_ms(20);
	CHECK_OK(port_alert(port, PORT_ALERT_SET, STOP, NULL));
	for (int t = 0; t < THREADS; t++)
		thread_join(&threads[t]);
	CHECK_OK(port_alert(port, 0, 0, NULL));
	CHECK_EQ(retrieved + pending(port), expected);
	for (int s = 0; s < SLOTS; s++) {
		close(reader[s]);
		close(writer[s]);
	}
	close(port);
	printf("  %llu events in %ld s\n", expected, seconds);
}

/* Two rules wake sleepers: those who want one event, and those who want more. Each must do without the other. */
TEST_LIMIT(nobody_sleeps_over_an_event, "R2.3 R7.22 R7.23 T-016 T-066 T-184 T-188", 1300) { bursts(); }

TEST_LIMIT(nobody_sleeps_beside_the_patient, "R2.3 R7.20 R7.22 R7.23 T-186", 1300)
{
	patient = 2;
	bursts();
}
