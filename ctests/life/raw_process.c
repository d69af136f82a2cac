/*
 * The file of a number closed unseen lives on in another process alone. Nobody here can take it out of the
 * kernel's set, and the set may have to be left behind: sleepers, other numbers of the port and ports around it
 * must not notice.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
/* modes: shared static preload dlopen */
#include "raw.h"

#define OTHER (NUMBER + 1)

/* Its event was taken, its data is there, and only a child has the file. */
static void make_ghost(int port, struct subject *s, bool again)
{
	subject_open(s, NUMBER);
	cycle(port, s, 3, again);
	if (again)
		CHECK_OK(watch(port, NUMBER, POLLIN));
	lose(s, IN_CHILD);
	put(s->peer);
}

static int other_arrives(int port, struct subject *other, enum sleep_in how)
{
	struct writer writer;
	port_event_t list[8];
	int strays = 0, found = 0;
	CHECK_OK(watch(port, other->number, POLLIN));
	write_later(&writer, other->peer, 2);
	while (found == 0) {
		unsigned got = sleep_in(port, how, list);
		for (unsigned i = 0; i < got; i++) {
			found += list[i].portev_object == OTHER;
			strays += list[i].portev_object == NUMBER;
		}
	}
	CHECK_EQ(found, 1);
	written(&writer);
	take(other->number);
	return strays;
}

static void ghost_in_a_child(bool again, int times)
{
	int port = port_create(), strays = 0;
	struct subject ghost, other;
	subject_open(&other, OTHER);
	for (int i = 0; i < times; i++) {
		make_ghost(port, &ghost, again);
		strays = i % 5 == 0 ? rest_in_get(port, NUMBER, 200) : 0;
		for (int j = 0; j < 6; j++)
			strays += other_arrives(port, &other, (enum sleep_in)(j % SLEEPS));
		if (strays > again)
			FAIL("%d stray events", strays);
		bury(&ghost); /* the child ends, and with it the file */
		CHECK_EQ(rest_in_get(port, NUMBER, 20), 0);
		CHECK_EQ(other_arrives(port, &other, IN_GET), 0);
	}
	CHECK_PORT_WORKS(port);
	close(other.number);
	bury(&other);
	close(port);
}

TEST_LIMIT(sleeps_beside_a_file_of_a_child, "R4.20 R4.22", 30) { ghost_in_a_child(false, 25); }
TEST_LIMIT(sleeps_beside_an_associated_file_of_a_child, "R4.20 R4.22", 30) { ghost_in_a_child(true, 25); }

/* The number is another file's meanwhile. */
TEST_LIMIT(heir_of_a_file_of_a_child, "R4.22 R4.23", 30)
{
	int port = port_create();
	struct subject ghost, heir;
	for (int i = 0; i < 50; i++) {
		struct writer writer;
		make_ghost(port, &ghost, i & 1);
		subject_open(&heir, NUMBER);
		CHECK_OK(watch(port, NUMBER, POLLIN));
		write_later(&writer, heir.peer, i % 3);
		await_data(port, NUMBER, (enum sleep_in)(i % SLEEPS));
		written(&writer);
		cycle(port, &heir, 3, true);
		CHECK_EQ(pending(port), 0);
		lose(&heir, NOBODY);
		bury(&heir);
		bury(&ghost);
	}
	CHECK_PORT_WORKS(port);
	close(port);
}

/* What was associated, queued and alerted before the ghost came is still so afterwards. */
TEST(nothing_else_changes, "R2.7 R4.20")
{
	int port = port_create();
	struct subject ghost, ready, quiet, taken;
	port_event_t list[8];
	subject_open(&ready, OTHER);
	subject_open(&quiet, OTHER + 1);
	subject_open(&taken, OTHER + 2);
	CHECK_OK(fcntl(port, F_SETFD, FD_CLOEXEC));
	CHECK_OK(watch(port, quiet.number, POLLIN));
	cycle(port, &taken, 3, false);
	make_ghost(port, &ghost, false);
	CHECK_EQ(rest_in_get(port, NUMBER, 100), 0);
	CHECK_OK(send_value(port, 1));
	put(ready.peer);
	CHECK_OK(watch(port, ready.number, POLLIN));
	CHECK_EQ(pending(port), 2);
	sleep_ms(20);
	CHECK_EQ(harvest(port, list, 8, 0), 2);
	CHECK_EQ(list[0].portev_source, PORT_SOURCE_USER);
	CHECK_EQ(list[1].portev_object, ready.number);
	CHECK_EQ(rest_in_get(port, NUMBER, 100), 0);
	put(quiet.peer);
	CHECK_FD_EVENT(port, quiet.number);
	CHECK_OK(watch(port, taken.number, POLLIN));
	CHECK_FD_EVENT(port, taken.number);
	CHECK_ERR(unwatch(port, taken.number), ENOENT);
	CHECK_RET(fcntl(port, F_GETFD), FD_CLOEXEC);
	CHECK_PORT_WORKS(port);
	for (int fd = OTHER; fd <= OTHER + 2; fd++)
		close(fd);
	bury(&ready);
	bury(&quiet);
	bury(&taken);
	bury(&ghost);
	close(port);
}

/* A port with two numbers, and another port around it. */
TEST(numbers_and_outer_ports_keep_working, "R13.2 R13.5")
{
	int port = port_create(), twin = dup(port), outer = port_create();
	int use = UNSEEN ? port : twin; /* a number that the library knows */
	struct subject ghost, other;
	port_event_t pe;
	struct writer writer;
	subject_open(&other, OTHER);
	CHECK_OK(watch(outer, port, POLLIN));
	make_ghost(port, &ghost, false);
	CHECK_EQ(rest_in_get(port, NUMBER, 100), 0);
	for (int i = 0; i < 20; i++) {
		CHECK_OK(watch(i & 1 ? port : use, OTHER, POLLIN));
		while (port_get(outer, &pe, ZERO_TIMEOUT) == 0)
			; /* whatever the ghost has made it show */
		CHECK_OK(watch(outer, port, POLLIN));
		write_later(&writer, other.peer, 5);
		CHECK_OK(port_get(outer, &pe, NULL));
		CHECK_EQ(pe.portev_object, port);
		CHECK_OK(port_get(i & 1 ? use : port, &pe, NULL));
		CHECK_EQ(pe.portev_object, OTHER);
		written(&writer);
		take(OTHER);
	}
	struct pollfd poller = { .fd = twin, .events = POLLIN };
	CHECK_EQ(rest_in_get(port, NUMBER, 100), 0);
	CHECK_OK(send_value(port, 1));
	CHECK_EQ(poll(&poller, 1, 0), 1);
	CHECK_USER_EVENT(use, 1);
	close(OTHER);
	bury(&other);
	bury(&ghost);
	close(twin);
	close(port);
	close(outer);
}

/* poll() and select() look the number up at each call. */
TEST(polled_again_and_again, "R13.1 R4.22")
{
	int port = port_create(), wakes = 0;
	struct subject ghost, other;
	port_event_t pe;
	subject_open(&other, OTHER);
	make_ghost(port, &ghost, false);
	struct pollfd poller = { .fd = port, .events = POLLIN };
	long long end = now_ms() + 500;
	while (now_ms() < end)
		if (poll(&poller, 1, 50) == 1) {
			wakes++;
			CHECK_ERR(port_get(port, &pe, ZERO_TIMEOUT), ETIME);
		}
	if (wakes > 15)
		FAIL("poll woke %d times in 500 ms for nothing", wakes);
	for (int i = 0; i < 20; i++) {
		struct writer writer;
		CHECK_OK(watch(port, OTHER, POLLIN));
		write_later(&writer, other.peer, 5);
		do
			CHECK_EQ(poll(&poller, 1, 5000), 1);
		while (port_get(port, &pe, ZERO_TIMEOUT) == -1);
		written(&writer);
		CHECK_EQ(pe.portev_object, OTHER);
		take(OTHER);
	}
	close(OTHER);
	bury(&other);
	bury(&ghost);
	close(port);
}
