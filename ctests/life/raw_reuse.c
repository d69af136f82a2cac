/*
 * A number closed unseen names another file, and the program associates it as if nothing had been there. Whatever
 * was known of the old registration, the new file's data must wake the sleeper: at most 10 ms late, after at most
 * one event too many.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
/* modes: shared static preload dlopen */
#include "raw.h"

/* What the port knew of the number when it went. */
enum state {
	ARMED,     /* associated for the first time */
	TAKEN,     /* its event was taken and the data as well */
	UNDRAINED, /* its event was taken, the data is still there */
	AGAIN,     /* associated once more after its event: no control call need have told the kernel */
	QUEUED,    /* its event waits in the queue */
	STATES
};

static void reach(int port, struct subject *s, enum state state)
{
	switch (state) {
	case ARMED: CHECK_OK(watch(port, s->number, POLLIN)); break;
	case TAKEN: cycle(port, s, 3, true); break;
	case UNDRAINED: cycle(port, s, 3, false); break;
	case AGAIN:
		cycle(port, s, 3, true);
		CHECK_OK(watch(port, s->number, POLLIN));
		break;
	default:
		put(s->peer);
		CHECK_OK(watch(port, s->number, POLLIN));
		CHECK_EQ(pending(port), 1);
	}
}

/* Time passes and the port is used, with the number open nowhere. Strays of it may come here, too. */
static int meanwhile(int port)
{
	int strays = rest_in_get(port, NUMBER, 30);
	for (int i = 0; i < 70; i++) { /* more than one round of whatever is done every so many calls */
		port_event_t list[4];
		CHECK_OK(send_value(port, FILLER));
		for (unsigned got = harvest(port, list, 4, 1000); got > 0; got--)
			strays += list[got - 1].portev_source == PORT_SOURCE_FD;
	}
	return strays;
}

/* A healthy association, and nothing else of the number's. */
static void check_healthy(int port, struct subject *s)
{
	cycle(port, s, 4, true);
	CHECK_EQ(pending(port), 0);
	CHECK_OK(watch(port, s->number, POLLIN));
	CHECK_OK(unwatch(port, s->number));
	put(s->peer);
	CHECK_PORT_WORKS(port);
	take(s->number);
}

static long long reuse_once(int port, enum state state, enum survivor survivor, bool later, bool old_speaks,
	enum sleep_in how)
{
	struct subject old, new;
	struct writer writer;
	int strays = 0;
	subject_open(&old, NUMBER);
	reach(port, &old, state);
	lose(&old, survivor);
	if (later)
		strays = meanwhile(port);
	subject_open(&new, NUMBER);
	CHECK_OK(watch(port, NUMBER, POLLIN));
	if (old_speaks && survivor != NOBODY)
		put(old.peer);
	write_later(&writer, new.peer, 2);
	strays += await_data(port, NUMBER, how);
	long long late = written(&writer);
	if (strays > 1)
		FAIL("%d stray events of one closed number", strays);
	check_healthy(port, &new);
	raw_close(NUMBER);
	bury(&old);
	bury(&new);
	return late;
}

static void reuse(enum state state, enum survivor survivor)
{
	static struct lates lates;
	for (int i = 0; i < 2 * 2 * SLEEPS; i++) {
		int port = port_create();
		note_late(&lates, reuse_once(port, state, survivor, i & 1, i & 2, (enum sleep_in)(i / 4)));
		CHECK_PORT_WORKS(port);
		close(port);
	}
	check_usually_in_time(&lates);
}

/* All of it on one port: what is left of earlier numbers must not hurt later ones. */
static void reuse_on_one_port(enum survivor survivor)
{
	int port = port_create();
	for (int i = 0; i < STATES * SLEEPS * 2; i++)
		reuse_once(port, (enum state)(i % STATES), survivor, false, i & 1,
			(enum sleep_in)(i / STATES % SLEEPS));
	CHECK_PORT_WORKS(port);
	close(port);
}

#define REUSE(name, survivor)                                                                             \
	TEST(armed_##name, "R4.23 T-059") { reuse(ARMED, survivor); }                                     \
	TEST(taken_##name, "R4.23 R4.5") { reuse(TAKEN, survivor); }                                      \
	TEST(undrained_##name, "R4.23 R4.5") { reuse(UNDRAINED, survivor); }                              \
	TEST(again_##name, "R4.23 R4.3") { reuse(AGAIN, survivor); }                                      \
	TEST(queued_##name, "R4.23 R4.20") { reuse(QUEUED, survivor); }                                   \
	TEST_LIMIT(one_port_##name, "R4.23", 20) { reuse_on_one_port(survivor); }

REUSE(without_survivor, NOBODY)
REUSE(with_a_raw_duplicate, RAW_DUP)
REUSE(with_a_duplicate, LIBC_DUP)
REUSE(with_a_child, IN_CHILD)

/*
 * The way it happens in programs: a connection goes and the next one gets its number. Its data comes while the
 * thread sleeps without a limit. The old data was read or not, the new descriptor is a socket or a pipe.
 */
static void successive(bool drained, bool pipes, int times)
{
	static struct lates lates;
	int port = port_create(), fds[2], number = -1;
	struct writer writer;
	port_event_t pe;
	for (int i = 0; i < times; i++) {
		if (pipes && i % 2 != 0)
			make_pipe(fds);
		else
			make_pair(fds);
		CHECK(number == -1 || fds[0] == number);
		number = fds[0];
		CHECK_OK(watch(port, number, POLLIN));
		write_later(&writer, fds[1], 1);
		CHECK_OK(port_get(port, &pe, NULL));
		note_late(&lates, written(&writer));
		CHECK_EQ(pe.portev_object, number);
		CHECK_EQ(pe.portev_events & POLLIN, POLLIN);
		if (drained)
			take(number);
		CHECK_EQ(raw_close(fds[0]), 0);
		CHECK_EQ(raw_close(fds[1]), 0);
	}
	check_usually_in_time(&lates);
	CHECK_PORT_WORKS(port);
	close(port);
}

TEST_LIMIT(connections_come_and_go, "R4.23", 30) { successive(true, false, 200); }
TEST_LIMIT(connections_go_unread, "R4.23", 30) { successive(false, false, 200); }
TEST_LIMIT(pipes_and_sockets_come_and_go, "R4.23", 30) { successive(true, true, 200); }

/* The same with the association after the reuse already made: closed again before anything came. */
TEST_LIMIT(closed_again_and_again_before_the_data, "R4.23 R4.3", 30)
{
	int port = port_create();
	struct subject s;
	struct writer writer;
	for (int i = 0; i < 100; i++) {
		for (int j = 0; j <= i % 3; j++) {
			subject_open(&s, NUMBER);
			CHECK_OK(watch(port, NUMBER, POLLIN));
			if (j < i % 3) {
				lose(&s, NOBODY);
				close(s.peer);
			}
		}
		write_later(&writer, s.peer, i % 4);
		CHECK_EQ(await_data(port, NUMBER, (enum sleep_in)(i % SLEEPS)), 0);
		written(&writer);
		close(s.peer);
	}
	raw_close(NUMBER);
	CHECK_PORT_WORKS(port);
	close(port);
}

/* Nothing was associated when the number went, nothing is afterwards: no event at all. */
TEST(never_associated_again, "R4.23 R4.5")
{
	int port = port_create();
	struct subject old, new;
	for (int survivor = 0; survivor < SURVIVORS; survivor++) {
		subject_open(&old, NUMBER);
		cycle(port, &old, 3, survivor % 2 == 0);
		lose(&old, (enum survivor)survivor);
		subject_open(&new, NUMBER);
		if (survivor != NOBODY)
			put(old.peer);
		put(new.peer);
		CHECK_EQ(rest_in_get(port, NUMBER, 300), 0);
		CHECK_ERR(unwatch(port, NUMBER), ENOENT);
		CHECK_PORT_WORKS(port);
		raw_close(NUMBER);
		bury(&old);
		bury(&new);
	}
	close(port);
}

/* The association was there when the number went: one event at most, whichever file speaks. */
TEST(associated_when_it_went, "R4.20 R4.23")
{
	for (int i = 0; i < SURVIVORS * 2; i++) {
		int port = port_create();
		struct subject old, new;
		subject_open(&old, NUMBER);
		cycle(port, &old, 3, true);
		CHECK_OK(watch(port, NUMBER, POLLIN));
		lose(&old, (enum survivor)(i / 2));
		if (i % 2 != 0)
			subject_open(&new, NUMBER);
		if (i / 2 != NOBODY)
			put(old.peer);
		if (i % 2 != 0)
			put(new.peer);
		CHECK(rest_in_get(port, NUMBER, 300) <= 1);
		CHECK_PORT_WORKS(port);
		if (i % 2 != 0) {
			raw_close(NUMBER);
			bury(&new);
		}
		bury(&old);
		close(port);
	}
}

/* A program that never sleeps, for something else is always ready or for it only looks: the data is found as well. */
static void found_without_sleep(bool busy, const struct timespec *timeout)
{
	for (int i = 0; i < 50; i++) {
		int port = port_create();
		struct subject s, other;
		port_event_t pe;
		bool found = false;
		subject_open(&s, NUMBER);
		subject_open(&other, NUMBER + 1);
		put(other.peer);
		cycle(port, &s, 3, true);
		lose(&s, i % 2 != 0 ? RAW_DUP : NOBODY);
		bury(&s);
		subject_open(&s, NUMBER);
		CHECK_OK(watch(port, NUMBER, POLLIN));
		put(s.peer);
		for (long long end = now_ms() + LATE_MS; !found && now_ms() < end;) {
			if (busy)
				CHECK_OK(watch(port, other.number, POLLIN));
			if (port_get(port, &pe, timeout) == 0)
				found = pe.portev_object == NUMBER;
		}
		if (!found)
			FAIL("round %d: not found in %d ms", i, LATE_MS);
		take(NUMBER);
		close(port);
		raw_close(NUMBER);
		close(other.number);
		bury(&other);
		bury(&s);
	}
}

TEST(found_by_looking, "R4.23") { found_without_sleep(false, ZERO_TIMEOUT); }
TEST(found_by_looking_at_others, "R4.23") { found_without_sleep(true, ZERO_TIMEOUT); }
TEST(found_while_others_are_always_ready, "R4.23") { found_without_sleep(true, NULL); }

/* It is not late either: the program handles each event of another descriptor for a while, or looks in now and then. */
static void found_in_time(long handling_us, const struct timespec *timeout)
{
	int port = port_create(), late = 0;
	struct subject s, other;
	subject_open(&other, NUMBER + 1);
	put(other.peer);
	for (int i = 0; i < 20; i++) {
		port_event_t pe = { .portev_object = 0 };
		subject_open(&s, NUMBER);
		cycle(port, &s, 3, true);
		lose(&s, NOBODY);
		bury(&s);
		subject_open(&s, NUMBER);
		CHECK_OK(watch(port, NUMBER, POLLIN));
		put(s.peer);
		long long begin = now_us();
		while (pe.portev_object != NUMBER) {
			if (handling_us > 0) {
				CHECK_OK(watch(port, other.number, POLLIN));
				usleep((useconds_t)handling_us);
			}
			if (port_get(port, &pe, timeout) == -1)
				CHECK_EQ(errno, ETIME);
		}
		/* 10 ms, and what was begun before they were over */
		late += now_us() - begin > 16000 + handling_us;
		if (now_us() - begin > LATE_MS * 1000LL)
			FAIL("%lld ms late", (now_us() - begin) / 1000);
		take(NUMBER);
		for (int number = NUMBER; number <= other.number; number++)
			if (unwatch(port, number) == -1)
				CHECK_EQ(errno, ENOENT);
		raw_close(NUMBER);
		bury(&s);
	}
	CHECK(late < 10); /* a busy machine is late itself */
	close(port);
	close(other.number);
	bury(&other);
}

TEST(found_in_time_among_events_that_take_long, "R4.23") { found_in_time(2000, NULL); }
TEST(found_in_time_by_short_waits, "R4.23") { found_in_time(0, TIMEOUT_MS(3)); }
