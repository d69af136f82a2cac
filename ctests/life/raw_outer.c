/*
 * Programs that sleep somewhere else, with the port in poll(), select(), an epoll set of their own or another
 * port, while numbers go unseen below.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
/* modes: shared static preload dlopen */
#include "raw.h"
#include <sys/select.h>

#define OTHER (NUMBER + 1)

enum way { BY_POLL, BY_SELECT, BY_EPOLL, BY_EPOLL_EDGE, BY_OUTER_PORT, WAYS };

/* What holds the port. Sets and outer ports hold it from the start, as programs do. */
struct outer {
	enum way way;
	int port;
	int set;
};

static void outer_open(struct outer *o, enum way way, int port)
{
	struct epoll_event event = { .events = EPOLLIN | (way == BY_EPOLL_EDGE ? EPOLLET : 0) };
	*o = (struct outer){ way, port, -1 };
	if (way == BY_EPOLL || way == BY_EPOLL_EDGE) {
		o->set = epoll_create1(0);
		CHECK_OK(epoll_ctl(o->set, EPOLL_CTL_ADD, port, &event));
	} else if (way == BY_OUTER_PORT) {
		o->set = port_create();
		CHECK_OK(watch(o->set, port, POLLIN));
	}
}

static void outer_close(struct outer *o)
{
	if (o->set >= 0)
		close(o->set);
}

/* Sleeps until the port shows, at most `ms`; false if it does not. */
static bool outer_sleep(struct outer *o, int ms)
{
	struct pollfd poller = { .fd = o->port, .events = POLLIN };
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
	struct epoll_event event;
	port_event_t pe;
	fd_set in;
	switch (o->way) {
	case BY_POLL: return poll(&poller, 1, ms) == 1;
	case BY_SELECT:
		FD_ZERO(&in);
		FD_SET(o->port, &in);
		return select(o->port + 1, &in, NULL, NULL, &tv) == 1;
	case BY_EPOLL:
	case BY_EPOLL_EDGE: return epoll_wait(o->set, &event, 1, ms) == 1;
	default:
		if (port_get(o->set, &pe, TIMEOUT_MS(ms)) == -1) {
			CHECK_EQ(errno, ETIME);
			return false;
		}
		CHECK_EQ(pe.portev_object, o->port);
		CHECK_OK(watch(o->set, o->port, POLLIN));
		return true;
	}
}

/* Sleeps outside until the number's data is in the port, and takes it; returns the strays. */
static int outer_await(struct outer *o, int number)
{
	port_event_t pe;
	int strays = 0;
	long long end = now_ms() + 4000;
	for (;;) {
		if (!outer_sleep(o, 3000) || now_ms() > end)
			FAIL("way %d: the event of %d does not show", o->way, number);
		while (port_get(o->port, &pe, ZERO_TIMEOUT) == 0) {
			CHECK_EQ(pe.portev_object, number);
			if (take_any(number))
				return strays;
			CHECK(++strays <= 1);
			CHECK_OK(watch(o->port, number, POLLIN));
		}
	}
}

/* Some cycles from outside, all looks without waiting; the last event's data is taken or not. */
static void outer_cycle(struct outer *o, struct subject *s, int times, bool drained)
{
	port_event_t pe;
	for (int i = 0; i < times; i++) {
		CHECK_OK(watch(o->port, s->number, POLLIN));
		put(s->peer);
		CHECK(outer_sleep(o, 3000));
		CHECK_OK(port_get(o->port, &pe, ZERO_TIMEOUT));
		CHECK_EQ(pe.portev_object, s->number);
		if (drained || i < times - 1)
			take(s->number);
		CHECK_ERR(port_get(o->port, &pe, ZERO_TIMEOUT), ETIME);
	}
}

enum when { BEFORE_AGAIN, AFTER_AGAIN, WHENS }; /* the number goes before or after its re-association */

static void reuse_below(enum way way, enum survivor survivor, enum when when, bool blocking)
{
	static struct lates lates;
	int port = port_create();
	struct outer o;
	struct subject old, new;
	struct writer writer;
	outer_open(&o, way, port);
	for (int i = 0; i < 12; i++) {
		bool drained = i % 2 == 0;
		subject_open(&old, NUMBER);
		if (blocking)
			cycle(port, &old, 3, drained);
		else
			outer_cycle(&o, &old, 3, drained);
		if (when == AFTER_AGAIN && drained)
			CHECK_OK(watch(port, NUMBER, POLLIN));
		lose(&old, survivor);
		subject_open(&new, NUMBER);
		CHECK_OK(watch(port, NUMBER, POLLIN));
		write_later(&writer, new.peer, 2);
		CHECK(outer_await(&o, NUMBER) <= 1);
		note_late(&lates, written(&writer));
		lose(&new, NOBODY);
		bury(&old);
		bury(&new);
	}
	check_usually_in_time(&lates);
	outer_close(&o);
	CHECK_PORT_WORKS(port);
	close(port);
}

static void reuse_below_all(enum way way, bool blocking)
{
	for (int survivor = 0; survivor < IN_CHILD; survivor++)
		for (int when = 0; when < WHENS; when++)
			reuse_below(way, (enum survivor)survivor, (enum when)when, blocking);
}

TEST(reused_below_poll, "R13.1 R4.23") { reuse_below_all(BY_POLL, false); }
TEST(reused_below_select, "R13.1 R4.23") { reuse_below_all(BY_SELECT, false); }
TEST(reused_below_epoll, "R13.1 R4.23") { reuse_below_all(BY_EPOLL, false); }
TEST(reused_below_an_edge_triggered_epoll, "R13.1 R4.23") { reuse_below_all(BY_EPOLL_EDGE, false); }
TEST(reused_below_a_port, "R13.2 R4.23") { reuse_below_all(BY_OUTER_PORT, false); }

/* One file in a child: the set may be left behind then, so the ways that name the port by number at each sleep. */
TEST(reused_below_with_a_child, "R13.1 R4.22")
{
	reuse_below(BY_POLL, IN_CHILD, BEFORE_AGAIN, false);
	reuse_below(BY_SELECT, IN_CHILD, AFTER_AGAIN, false);
	reuse_below(BY_OUTER_PORT, IN_CHILD, BEFORE_AGAIN, false);
}

/*
 * Events taken by blocking calls, and then a sleep outside. A port in one of our queues is known to be looked at
 * from there. For the others nothing tells the library, so where closes are seen it may trust them; where none
 * is seen each association is proved at once.
 */
TEST(reused_after_blocking_gets_below_a_port, "R13.2 R4.23") { reuse_below_all(BY_OUTER_PORT, true); }
#ifdef EVSHIM_TEST_DLOPEN
TEST(reused_after_blocking_gets_below_poll, "R13.1 R4.23") { reuse_below_all(BY_POLL, true); }
TEST(reused_after_blocking_gets_below_epoll, "R13.1 R4.23") { reuse_below_all(BY_EPOLL, true); }
TEST(reused_after_blocking_gets_below_an_edge, "R13.1 R4.23") { reuse_below_all(BY_EPOLL_EDGE, true); }
#endif

/*
 * A ghost below. It may show the port readable until the next get has found nothing, so a loop of sleep and get
 * must come to rest; and others' events still show.
 */
static void ghost_below(enum way way, enum survivor survivor, bool again)
{
	int port = port_create(), wakes = 0;
	struct outer o;
	struct subject ghost, other;
	struct writer writer;
	port_event_t pe;
	outer_open(&o, way, port);
	subject_open(&other, OTHER);
	subject_open(&ghost, NUMBER);
	outer_cycle(&o, &ghost, 3, again);
	if (again)
		CHECK_OK(watch(port, NUMBER, POLLIN));
	lose(&ghost, survivor);
	put(ghost.peer);
	struct rest before = rest_of_self();
	long long end = now_ms() + 400;
	while (now_ms() < end)
		if (outer_sleep(&o, 50)) {
			wakes++;
			while (port_get(port, &pe, ZERO_TIMEOUT) == 0)
				CHECK(again && pe.portev_object == NUMBER && wakes == 1);
		}
	struct rest after = rest_of_self();
	if (wakes > 8)
		FAIL("way %d: woken %d times in 400 ms for nothing", way, wakes);
	CHECK(after.cpu_us - before.cpu_us <= 10000LL * slow());
	for (int i = 0; i < 20; i++) {
		CHECK_OK(watch(port, OTHER, POLLIN));
		write_later(&writer, other.peer, 1);
		CHECK_EQ(outer_await(&o, OTHER), 0);
		written(&writer);
	}
	outer_close(&o);
	close(OTHER);
	bury(&other);
	bury(&ghost);
	close(port);
}

TEST(ghost_below_all, "R13.1 R4.20")
{
	for (int way = 0; way < WAYS; way++)
		ghost_below((enum way)way, way % 2 != 0 ? RAW_DUP : LIBC_DUP, false);
}

TEST(associated_ghost_below_all, "R13.1 R4.20")
{
	for (int way = 0; way < WAYS; way++)
		ghost_below((enum way)way, way % 2 != 0 ? LIBC_DUP : RAW_DUP, true);
}

/* The number of the inner port itself goes; a duplicate keeps it and its queue. */
static void inner_port_goes(bool queued, bool reused)
{
	int outer = port_create(), inner = port_create();
	struct subject heir, other;
	struct writer writer;
	port_event_t pe;
	subject_open(&other, OTHER);
	CHECK_EQ(raw_dup3(inner, NUMBER), NUMBER); /* a number of the kernel's only */
	CHECK_OK(watch(outer, NUMBER, POLLIN));
	CHECK_OK(send_value(inner, 1));
	CHECK_OK(port_get(outer, &pe, NULL));
	CHECK_EQ(pe.portev_object, NUMBER);
	if (!queued)
		CHECK_USER_EVENT(inner, 1);
	CHECK_EQ(raw_close(NUMBER), 0);
	if (reused) {
		subject_open(&heir, NUMBER);
		CHECK_OK(watch(outer, NUMBER, POLLIN));
		if (!queued)
			CHECK_OK(send_value(inner, 2));
		write_later(&writer, heir.peer, 5);
		await_data(outer, NUMBER, IN_GET);
		written(&writer);
		cycle(outer, &heir, 3, true);
	}
	CHECK_EQ(rest_in_get(outer, NUMBER, 200), 0);
	CHECK_OK(watch(outer, OTHER, POLLIN));
	write_later(&writer, other.peer, 5);
	CHECK_FD_EVENT(outer, OTHER);
	written(&writer);
	CHECK_EQ(drain(inner), queued || reused ? 1 : 0);
	if (reused) {
		close(NUMBER);
		bury(&heir);
	}
	close(OTHER);
	bury(&other);
	close(inner);
	CHECK_PORT_WORKS(outer);
	close(outer);
}

TEST(inner_port_goes_unseen, "R4.10 R4.20") { inner_port_goes(false, false); }
TEST(inner_port_goes_with_a_full_queue, "R4.10 R4.20") { inner_port_goes(true, false); }
TEST(number_of_an_inner_port_is_reused, "R4.10 R4.23") { inner_port_goes(false, true); }
TEST(number_of_a_full_inner_port_is_reused, "R4.10 R4.23") { inner_port_goes(true, true); }

/* The inner port's only number goes: what takes the number is no port, and gets its events from the outer one. */
TEST(last_number_of_an_inner_port_is_reused, "R4.10 R4.23")
{
	int outer = port_create();
	for (int i = 0; i < 40; i++) {
		int inner = port_create(), fds[2];
		struct writer writer;
		port_event_t pe;
		CHECK_OK(watch(outer, inner, POLLIN));
		CHECK_OK(send_value(inner, 1));
		CHECK_OK(port_get(outer, &pe, NULL));
		CHECK_EQ(pe.portev_object, inner);
		if (i % 2 != 0)
			CHECK_OK(watch(outer, inner, POLLIN));
		CHECK_EQ(raw_close(inner), 0);
		make_pair(fds);
		CHECK_EQ(fds[0], inner);
		CHECK_OK(watch(outer, fds[0], POLLIN));
		write_later(&writer, fds[1], 2);
		CHECK(await_data(outer, fds[0], (enum sleep_in)(i % SLEEPS)) <= 1);
		written(&writer);
		int result = send_value(fds[0], 1);
		CHECK(result == -1 && (errno == EBADF || errno == EBADFD));
		CHECK_EQ(recv(fds[1], &result, 1, MSG_DONTWAIT), -1);
		raw_close(fds[0]);
		raw_close(fds[1]);
	}
	CHECK_PORT_WORKS(outer);
	close(outer);
}

/* The sleeper is two ports above: what it sleeps on is all that is below. */
TEST(sleeper_two_ports_above, "R4.10 R4.23")
{
	int top = port_create(), middle = port_create(), port = port_create();
	struct subject old, new;
	struct writer writer;
	CHECK_OK(watch(middle, port, POLLIN));
	for (int i = 0; i < 50; i++) {
		CHECK_OK(watch(top, middle, POLLIN));
		subject_open(&old, NUMBER);
		CHECK_OK(watch(port, NUMBER, POLLIN));
		for (int turn = 0; turn < 3; turn++) {
			struct subject *s = turn < 2 ? &old : &new;
			bool done = false;
			write_later(&writer, s->peer, 2);
			while (!done) {
				port_event_t pe;
				CHECK_FD_EVENT(top, middle);
				CHECK_OK(watch(top, middle, POLLIN));
				if (port_get(middle, &pe, ZERO_TIMEOUT) == -1)
					continue;
				CHECK_EQ(pe.portev_object, port);
				CHECK_OK(watch(middle, port, POLLIN));
				if (port_get(port, &pe, ZERO_TIMEOUT) == -1)
					continue;
				CHECK_EQ(pe.portev_object, NUMBER);
				done = take_any(NUMBER);
				if (!done)
					CHECK_OK(watch(port, NUMBER, POLLIN));
			}
			written(&writer);
			if (turn == 1) {
				lose(&old, i % 2 != 0 ? RAW_DUP : NOBODY);
				subject_open(&new, NUMBER);
			}
			CHECK_OK(watch(port, NUMBER, POLLIN));
		}
		lose(&new, NOBODY);
		bury(&old);
		bury(&new);
	}
	CHECK_PORT_WORKS(port);
	close(port);
	close(middle);
	close(top);
}
