/*
 * Ghosts: the number is gone unseen, a duplicate of its file lives on, and its data is never read. The condition
 * is there for ever, the number that could take it out of the kernel's set is not. A thread in port_get must
 * sleep all the same, and whatever else happens must reach it.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
/* modes: shared static preload dlopen */
#include "raw.h"
#include <sys/resource.h>

#define GHOSTS 100

/* A ghost whose event was taken: associated again afterwards or not. */
static void make_ghost(int port, struct subject *s, enum survivor survivor, bool again)
{
	subject_open(s, NUMBER);
	cycle(port, s, 2, true);
	CHECK_OK(watch(port, s->number, POLLIN));
	if (!again) {
		port_event_t pe;
		put(s->peer);
		CHECK_OK(port_get(port, &pe, NULL));
		CHECK_EQ(pe.portev_object, s->number);
	}
	lose(s, survivor);
	put(s->peer);
}

/* One event of another descriptor, exactly, while the thread sleeps; strays of the ghost are counted. */
static int other_arrives(int port, struct subject *other, struct lates *lates)
{
	struct writer writer;
	port_event_t pe;
	int strays = 0;
	CHECK_OK(watch(port, other->number, POLLIN));
	write_later(&writer, other->peer, 2);
	for (;;) {
		CHECK_OK(port_get(port, &pe, NULL));
		CHECK_EQ(pe.portev_source, PORT_SOURCE_FD);
		if (pe.portev_object == (uintptr_t)other->number)
			break;
		CHECK_EQ(pe.portev_object, NUMBER);
		strays++;
	}
	note_late(lates, written(&writer));
	take(other->number);
	return strays;
}

static void one_ghost(enum survivor survivor, bool again)
{
	static struct lates lates;
	int port = port_create(), strays = 0;
	struct subject ghost, other;
	subject_open(&other, NUMBER + 1);
	make_ghost(port, &ghost, survivor, again);
	strays += rest_in_get(port, NUMBER, 300);
	for (int i = 0; i < 50; i++)
		strays += other_arrives(port, &other, &lates);
	strays += rest_in_get(port, NUMBER, 300);
	if (strays > again) /* nothing was associated: nothing is due */
		FAIL("%d stray events", strays);
	check_usually_in_time(&lates);
	CHECK_PORT_WORKS(port);
	close(other.number);
	bury(&other);
	bury(&ghost);
	CHECK_EQ(rest_in_get(port, NUMBER, 50), 0);
	close(port);
}

/* One after the other at the same number of the same port, all alive at the end. */
static void many_ghosts(enum survivor survivor)
{
	static struct subject ghosts[GHOSTS];
	static struct lates lates;
	struct subject other;
	SKIP_UNDER_VALGRIND("a child for each ghost, and each looks for leaks when it ends");
	int port = port_create();
	subject_open(&other, NUMBER + 1);
	for (int i = 0; i < GHOSTS; i++) {
		make_ghost(port, &ghosts[i], survivor, i & 1);
		int strays = other_arrives(port, &other, &lates);
		CHECK(strays <= 1);
	}
	CHECK(rest_in_get(port, NUMBER, 300) <= 1);
	check_usually_in_time(&lates);
	for (int i = 0; i < GHOSTS; i++)
		bury(&ghosts[i]);
	close(other.number);
	bury(&other);
	CHECK_PORT_WORKS(port);
	close(port);
}

/* The number names another file meanwhile, which is associated: it gets its events, the ghost at most one. */
static void ghost_and_heir(enum survivor survivor, int times)
{
	static struct lates lates;
	int port = port_create();
	struct subject ghost, heir;
	struct writer writer;
	if (CHILDREN_COST > 1)
		times /= 10; /* each of the children looks for leaks when it ends */
	for (int i = 0; i < times; i++) {
		make_ghost(port, &ghost, survivor, i & 1);
		subject_open(&heir, NUMBER);
		CHECK_OK(watch(port, NUMBER, POLLIN));
		write_later(&writer, heir.peer, i % 3);
		int strays = await_data(port, NUMBER, (enum sleep_in)(i % SLEEPS));
		note_late(&lates, written(&writer));
		if (i % 10 == 0) {
			CHECK_OK(watch(port, NUMBER, POLLIN));
			for (int more; (more = rest_in_get(port, NUMBER, 100)) > 0; strays += more)
				CHECK_OK(watch(port, NUMBER, POLLIN));
			CHECK(strays <= 1);
		}
		cycle(port, &heir, 3, true);
		CHECK_EQ(pending(port), 0);
		lose(&heir, NOBODY);
		bury(&heir);
		bury(&ghost);
	}
	check_usually_in_time(&lates);
	CHECK_PORT_WORKS(port);
	close(port);
}

#define GHOST(name, survivor)                                                                             \
	TEST(sleeps_beside_##name, "R4.5 R4.20") { one_ghost(survivor, false); }                          \
	TEST(sleeps_beside_associated_##name, "R4.20") { one_ghost(survivor, true); }                     \
	TEST(sleeps_beside_many_##name, "R4.20") { many_ghosts(survivor); }                               \
	TEST_LIMIT(heir_of_##name, "R4.20 R4.23", 30) { ghost_and_heir(survivor, 100); }

GHOST(raw_duplicate, RAW_DUP)
GHOST(duplicate, LIBC_DUP)

/* The survivor itself is associated under its own number: it has a registration of its own, which stays. */
TEST(survivor_is_associated, "R4.2 R4.21")
{
	for (int i = 0; i < 20; i++) {
		int port = port_create();
		struct subject s;
		port_event_t pe;
		subject_open(&s, NUMBER);
		cycle(port, &s, 3, true);
		survive(&s, i % 2 != 0 ? RAW_DUP : LIBC_DUP);
		CHECK_OK(watch(port, s.keep, POLLIN));
		CHECK_EQ(raw_close(NUMBER), 0);
		put(s.peer);
		CHECK_OK(port_get(port, &pe, NULL));
		CHECK_EQ(pe.portev_object, s.keep);
		CHECK_EQ(rest_in_get(port, NUMBER, 40), 0);
		take(s.keep);
		CHECK_OK(watch(port, s.keep, POLLIN));
		CHECK_EQ(rest_in_get(port, NUMBER, 40), 0);
		put(s.peer);
		CHECK_OK(port_get(port, &pe, NULL));
		CHECK_EQ(pe.portev_object, s.keep);
		CHECK_OK(watch(port, s.keep, POLLIN));
		CHECK_EQ(pending(port), 1);
		close(port);
		bury(&s);
	}
}

/* A hang-up cannot be masked; a descriptor that is always writable is ready at every look. */
TEST(hung_up_ghost, "R4.1 R4.20")
{
	for (int i = 1; i < SURVIVORS; i++) {
		int port = port_create();
		struct subject s;
		port_event_t pe;
		subject_open(&s, NUMBER);
		cycle(port, &s, 2, true);
		CHECK_OK(watch(port, NUMBER, i % 2 != 0 ? 0 : POLLIN | POLLOUT));
		if (i % 2 == 0)
			CHECK_OK(port_get(port, &pe, NULL));
		lose(&s, (enum survivor)i);
		CHECK_OK(shutdown(s.peer, SHUT_RDWR));
		CHECK(rest_in_get(port, NUMBER, 300) <= 1);
		CHECK_PORT_WORKS(port);
		bury(&s);
		close(port);
	}
}

/* Ports that are known by two numbers, the second one seen or not. */
static void ghost_in_a_duplicated_port(bool seen, enum survivor survivor)
{
	static struct lates lates;
	int port = port_create(), twin = seen ? dup(port) : raw_dup(port), use = seen && !UNSEEN ? twin : port;
	struct subject ghost, other;
	struct pollfd poller = { .fd = twin, .events = POLLIN };
	subject_open(&other, NUMBER + 1);
	make_ghost(port, &ghost, survivor, false);
	CHECK_EQ(rest_in_get(port, NUMBER, 300), 0);
	CHECK_EQ(rest_in_get(use, NUMBER, 300), 0);
	for (int i = 0; i < 50; i++)
		CHECK_EQ(other_arrives(i & 1 ? port : use, &other, &lates), 0);
	CHECK_EQ(poll(&poller, 1, 0), 0); /* the last look was a get: it has found nothing to show */
	CHECK_OK(watch(use, other.number, POLLIN));
	put(other.peer);
	CHECK_EQ(poll(&poller, 1, LATE_MS), 1);
	CHECK_FD_EVENT(port, other.number);
	if (seen && !UNSEEN) { /* the first number goes, unseen: the other one stays a port */
		CHECK_EQ(raw_close(port), 0);
		take(other.number);
		CHECK_EQ(other_arrives(twin, &other, &lates), 0);
		CHECK_EQ(rest_in_get(twin, NUMBER, 300), 0);
		CHECK_PORT_WORKS(twin);
	} else {
		close(port);
	}
	check_usually_in_time(&lates);
	close(twin);
	close(other.number);
	bury(&other);
	bury(&ghost);
}

TEST(ghost_and_two_numbers_of_the_port, "R13.5 R4.20") { ghost_in_a_duplicated_port(true, RAW_DUP); }
TEST(ghost_and_an_unseen_number_of_the_port, "R13.5 R4.20") { ghost_in_a_duplicated_port(false, LIBC_DUP); }

/* A busy loop of other descriptors that never sleeps: exactly its own events, and no slower for the ghost. */
TEST(busy_beside_a_ghost, "R2.3 R4.20")
{
	int port = port_create(), strays = 0;
	struct subject ghost, busy[4];
	port_event_t list[8];
	make_ghost(port, &ghost, RAW_DUP, false);
	for (int i = 0; i < 4; i++)
		subject_open(&busy[i], NUMBER + 1 + i);
	for (int turn = 0; turn < 500; turn++) {
		int found = 0;
		for (int i = 0; i < 4; i++) {
			CHECK_OK(watch(port, busy[i].number, POLLIN));
			put(busy[i].peer);
		}
		for (unsigned got; found < 4;) {
			CHECK((got = harvest(port, list, 8, 1000)) > 0);
			for (unsigned i = 0; i < got; i++) {
				strays += list[i].portev_object == NUMBER;
				if (list[i].portev_object == NUMBER)
					continue;
				take((int)list[i].portev_object); /* fails for an event too many */
				found++;
			}
		}
	}
	CHECK_EQ(strays, 0);
	for (int i = 0; i < 4; i++) {
		close(busy[i].number);
		bury(&busy[i]);
	}
	bury(&ghost);
	close(port);
}

static long long cpu_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* The process has no descriptor to spare: the ghost is found and cut all the same, and no sleep spins. */
TEST(ghost_in_a_full_process, "R4.20 T-020")
{
	SKIP_UNDER_VALGRIND("keeps descriptors of its own above the limit");
	const struct rlimit small = { 200, 200 };
	struct subject s;
	port_event_t pe;
	int port, copies[256], count = 0;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &small));
	port = port_create();
	subject_open(&s, 100);
	cycle(port, &s, 3, true);
	survive(&s, RAW_DUP);
	int null = open("/dev/null", O_RDWR);
	while ((copies[count] = raw_dup(null)) != -1)
		count++;
	CHECK_OK(watch(port, s.number, POLLIN));
	put(s.peer);
	CHECK_EQ(raw_dup3(null, s.number), s.number); /* closed and used again in one */
	long long before = cpu_ms();
	for (int i = 0; i < 5; i++)
		port_get(port, &pe, TIMEOUT_MS(100));
	CHECK(cpu_ms() - before < 200 * slow());
	while (count > 0)
		raw_close(copies[--count]);
	CHECK_PORT_WORKS(port);
	raw_close(s.number);
	close(null);
	bury(&s);
	close(port);
}
