/*
 * Threads that sleep in a port while a number goes unseen and comes back as another file. They sleep well when
 * nothing is due, and somebody wakes when something is.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
/* modes: shared static preload dlopen */
#include "raw.h"

#define CREW 4

/* How a crew waits: each thread in its own way. */
enum crew { ONE_GET, ONE_GETN_TWO, THREE_GETS, MIXED, CREWS };

struct sailor {
	struct thread thread;
	unsigned want; /* 0: port_get without a time-out */
};

static struct {
	int port;
	int count;
	struct sailor sailors[CREW];
	int associate_strays;
	int data, strays, others; /* what the threads have seen */
	long long data_at_us;    /* written before `data` is counted */
} ship;

static int seen(int *counter) { return __atomic_load_n(counter, __ATOMIC_ACQUIRE); }
static void set(int *counter, int value) { __atomic_store_n(counter, value, __ATOMIC_RELEASE); }
static void count(int *counter) { __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL); }

/* One event: the number's data, an event of the number without data, or somebody else's. */
static void handle(const port_event_t *pe)
{
	char byte;
	if (pe->portev_source == PORT_SOURCE_USER)
		return;
	CHECK_EQ(pe->portev_source, PORT_SOURCE_FD);
	if (pe->portev_object != NUMBER) {
		take((int)pe->portev_object);
		count(&ship.others);
	} else if (recv(NUMBER, &byte, 1, MSG_DONTWAIT) == 1) {
		ship.data_at_us = now_us();
		count(&ship.data);
	} else {
		count(&ship.strays);
		if (seen(&ship.associate_strays))
			CHECK_OK(watch(ship.port, NUMBER, POLLIN));
	}
}

static void *sail(void *arg)
{
	struct sailor *s = arg;
	port_event_t list[8];
	for (;;) {
		unsigned got = s->want == 0 ? 1 : s->want;
		if (s->want == 0)
			CHECK_OK(port_get(ship.port, list, NULL));
		else
			CHECK_OK(port_getn(ship.port, list, 8, &got, NULL));
		for (unsigned i = 0; i < got; i++) {
			if (list[i].portev_source == PORT_SOURCE_ALERT)
				return NULL;
			handle(&list[i]);
		}
	}
}

static void ship_start(enum crew crew)
{
	ship.port = port_create();
	ship.count = crew < THREE_GETS ? 1 : 3;
	ship.data = ship.strays = ship.others = ship.associate_strays = 0;
	for (int i = 0; i < ship.count; i++) {
		struct sailor *s = &ship.sailors[i];
		s->want = crew == ONE_GETN_TWO ? 2 : crew == MIXED && i > 0 ? (unsigned)i + 1 : 0;
		thread_start(&s->thread, sail, s);
		wait_until_blocked(s->thread.tid);
	}
}

static void ship_stop(void)
{
	CHECK_OK(port_alert(ship.port, PORT_ALERT_SET, 1, NULL));
	for (int i = 0; i < ship.count; i++)
		thread_join(&ship.sailors[i].thread);
	CHECK_OK(port_alert(ship.port, 0, 0, NULL));
	drain(ship.port);
	CHECK_PORT_WORKS(ship.port);
	close(ship.port);
}

/* Waits for a counter. Threads that want several get the rest from here, from after `ms` on. */
static void await(int *counter, int value, enum crew crew, const char *what)
{
	long long start = now_ms();
	while (seen(counter) < value) {
		if (now_ms() - start > 4000L * slow())
			FAIL("%s: %d of %d", what, seen(counter), value);
		if (crew == ONE_GETN_TWO)
			CHECK_OK(send_value(ship.port, FILLER));
		sleep_ms(2);
	}
}

static void rest(void)
{
	struct thread *threads[CREW];
	for (int i = 0; i < ship.count; i++)
		threads[i] = &ship.sailors[i].thread;
	check_rest(threads, ship.count);
}

/* Some cycles with the sleepers at the other end; the last data is taken and the number associated once more. */
static void cycles(struct subject *s, enum crew crew, int times, bool again)
{
	for (int i = 0; i < times; i++) {
		CHECK_OK(watch(ship.port, s->number, POLLIN));
		put(s->peer);
		await(&ship.data, i + 1, crew, "data of the old file");
	}
	if (again)
		CHECK_OK(watch(ship.port, s->number, POLLIN));
	set(&ship.data, 0);
}

/*
 * The number goes while everybody sleeps; later it is another file, which is associated, and then has data.
 * `settled`: they have slept for long before it goes and before it comes back.
 */
static long long goes_and_comes(enum crew crew, enum survivor survivor, bool again, bool settled, bool old_speaks)
{
	struct subject old, new;
	ship_start(crew);
	subject_open(&old, NUMBER);
	cycles(&old, crew, 3, again);
	if (settled)
		sleep_ms(30);
	lose(&old, survivor);
	if (settled)
		sleep_ms(30);
	if (old_speaks && survivor != NOBODY)
		put(old.peer);
	if (settled)
		rest();
	subject_open(&new, NUMBER);
	set(&ship.associate_strays, 1);
	CHECK_OK(watch(ship.port, NUMBER, POLLIN));
	if (settled)
		sleep_ms(30);
	long long start = now_us();
	put(new.peer);
	await(&ship.data, 1, crew, "data of the new file");
	long long late = ship.data_at_us - start;
	CHECK(late <= LATE_MS * 1000LL);
	if (seen(&ship.strays) > 1)
		FAIL("%d stray events of one closed number", seen(&ship.strays));
	ship_stop();
	raw_close(NUMBER);
	bury(&old);
	bury(&new);
	return late;
}

static void all_crews(enum survivor survivor, bool settled)
{
	static struct lates lates;
	for (int crew = 0; crew < CREWS; crew++)
		for (int i = 0; i < (settled ? 2 : 16); i++)
			note_late(&lates, goes_and_comes((enum crew)crew, survivor, i & 1, settled, i != 2));
	check_usually_in_time(&lates);
}

#define SLEEPERS(name, survivor)                                                                          \
	TEST_LIMIT(goes_at_night_##name, "R4.20 R4.23", 30) { all_crews(survivor, true); }                \
	TEST_LIMIT(goes_at_once_##name, "R4.20 R4.23", 30) { all_crews(survivor, false); }

SLEEPERS(without_survivor, NOBODY)
SLEEPERS(with_a_raw_duplicate, RAW_DUP)
SLEEPERS(with_a_duplicate, LIBC_DUP)
SLEEPERS(with_a_child, IN_CHILD)

/* Data at the number after the reuse, and nobody has associated it: at most the one event, and rest. */
static void reused_and_not_associated(enum crew crew, enum survivor survivor)
{
	struct subject old, new;
	ship_start(crew);
	subject_open(&old, NUMBER);
	cycles(&old, crew, 3, true);
	sleep_ms(20);
	lose(&old, survivor);
	subject_open(&new, NUMBER);
	put(new.peer);
	if (survivor != NOBODY)
		put(old.peer);
	sleep_ms(20);
	rest();
	CHECK(seen(&ship.data) + seen(&ship.strays) <= 1);
	ship_stop();
	raw_close(NUMBER);
	bury(&old);
	bury(&new);
}

TEST_LIMIT(reused_and_left_alone, "R4.23", 30)
{
	for (int crew = 0; crew < CREWS; crew++)
		for (int survivor = 0; survivor < SURVIVORS; survivor++)
			reused_and_not_associated((enum crew)crew, (enum survivor)survivor);
}

/* The ghost is there from the start: its event was taken, its data is not. Others' events arrive meanwhile. */
static void ghost_under_sleepers(enum crew crew, enum survivor survivor)
{
	struct subject old, other;
	ship_start(crew);
	subject_open(&old, NUMBER);
	subject_open(&other, NUMBER + 1);
	cycles(&old, crew, 2, true);
	lose(&old, survivor);
	put(old.peer);
	put(old.peer);
	sleep_ms(20);
	rest();
	for (int i = 0; i < 50; i++) {
		CHECK_OK(watch(ship.port, NUMBER + 1, POLLIN));
		long long start = now_ms();
		put(other.peer);
		await(&ship.others, i + 1, crew, "data of the other file");
		CHECK(now_ms() - start <= LATE_MS);
	}
	rest();
	CHECK(seen(&ship.strays) <= 1);
	ship_stop();
	bury(&old);
	close(other.number);
	bury(&other);
}

TEST_LIMIT(ghost_under_sleepers_raw_duplicate, "R4.20 R7.23", 30)
{
	for (int crew = 0; crew < CREWS; crew++)
		ghost_under_sleepers((enum crew)crew, RAW_DUP);
}

TEST_LIMIT(ghost_under_sleepers_duplicate, "R4.20 R7.23", 30)
{
	for (int crew = 0; crew < CREWS; crew++)
		ghost_under_sleepers((enum crew)crew, LIBC_DUP);
}

TEST_LIMIT(ghost_under_sleepers_child, "R4.20 R7.23", 30)
{
	for (int crew = 0; crew < CREWS; crew++)
		ghost_under_sleepers((enum crew)crew, IN_CHILD);
}

/* Without anything unseen the same sleepers rest: the measure itself is right. */
TEST(the_measure, "R7.23")
{
	for (int crew = 0; crew < CREWS; crew++) {
		struct subject s;
		ship_start((enum crew)crew);
		subject_open(&s, NUMBER);
		cycles(&s, (enum crew)crew, 3, true);
		rest();
		put(s.peer);
		await(&ship.data, 1, (enum crew)crew, "data");
		CHECK_EQ(seen(&ship.strays), 0);
		ship_stop();
		close(s.number);
		bury(&s);
	}
}
