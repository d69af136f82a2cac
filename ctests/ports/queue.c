/* The queue of a port: one first-in first-out order over all sources, each event delivered once (section 2). */
#include "harness.h"
#include "events.h"

TEST(user_events_in_order, "T-010 R2.1")
{
	int port = new_port();
	for (int i = 1; i <= 3; i++)
		CHECK_OK(port_send(port, i, USER(i)));
	CHECK_EQ(pending(port), 3);
	for (int i = 1; i <= 3; i++)
		get_user(port, i, USER(i));
	expect_none(port);
	close(port);
}

TEST(descriptor_between_user_events, "T-011 R2.1")
{
	int port = new_port(), fds[2];
	port_event_t list[3];
	unsigned n = 3;
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(0));
	CHECK_OK(port_send(port, 1, USER(1)));
	put(fds[1]);
	CHECK_OK(port_send(port, 2, USER(2)));
	CHECK_OK(port_getn(port, list, 3, &n, LONG_TIMEOUT));
	CHECK_EQ(n, 3);
	is_user(&list[0], 1, USER(1));
	is_fd(&list[1], fds[0], POLLIN, USER(0));
	is_user(&list[2], 2, USER(2));
	close_pipe(fds);
	close(port);
}

TEST(ready_descriptor_then_user, "T-012 R2.1 R4.4")
{
	int port = new_port(), fds[2];
	port_event_t list[2];
	unsigned n = 2;
	make_pipe(fds);
	put(fds[1]);
	watch(port, fds[0], POLLIN, USER(0));
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK_OK(port_getn(port, list, 2, &n, LONG_TIMEOUT));
	CHECK_EQ(n, 2);
	is_fd(&list[0], fds[0], POLLIN, USER(0));
	is_user(&list[1], 1, USER(1));
	close_pipe(fds);
	close(port);
}

TEST(user_then_ready_descriptor, "T-013 R2.1")
{
	int port = new_port(), fds[2];
	port_event_t list[2];
	unsigned n = 2;
	make_pipe(fds);
	put(fds[1]);
	CHECK_OK(port_send(port, 1, USER(1)));
	watch(port, fds[0], POLLIN, USER(0));
	CHECK_OK(port_getn(port, list, 2, &n, LONG_TIMEOUT));
	CHECK_EQ(n, 2);
	is_user(&list[0], 1, USER(1));
	is_fd(&list[1], fds[0], POLLIN, USER(0));
	close_pipe(fds);
	close(port);
}

TEST(order_of_association, "T-015 R2.1 R4.4")
{
	int port = new_port(), a[2], b[2];
	port_event_t list[2];
	unsigned n = 2;
	make_pipe(a);
	make_pipe(b);
	put(a[1]);
	put(b[1]);
	watch(port, a[0], POLLIN, USER('A'));
	watch(port, b[0], POLLIN, USER('B'));
	CHECK_OK(port_getn(port, list, 2, &n, LONG_TIMEOUT));
	CHECK_EQ(n, 2);
	is_fd(&list[0], a[0], POLLIN, USER('A'));
	is_fd(&list[1], b[0], POLLIN, USER('B'));

	/* Both events were retrieved before: now R4.4 leaves the order to the host, but both must come. */
	watch(port, b[0], POLLIN, USER('B'));
	watch(port, a[0], POLLIN, USER('A'));
	n = 2;
	CHECK_OK(port_getn(port, list, 2, &n, LONG_TIMEOUT));
	CHECK_EQ(n, 2);
	int first = list[0].portev_object == (uintptr_t)b[0] ? 0 : 1;
	is_fd(&list[first], b[0], POLLIN, USER('B'));
	is_fd(&list[1 - first], a[0], POLLIN, USER('A'));

	/* Never retrieved before: the order is that of association again. */
	int port2 = new_port();
	watch(port2, b[0], POLLIN, USER('B'));
	watch(port2, a[0], POLLIN, USER('A'));
	get_fd(port2, b[0], POLLIN, USER('B'));
	get_fd(port2, a[0], POLLIN, USER('A'));
	close_pipe(a);
	close_pipe(b);
	close(port);
	close(port2);
}

TEST(activity_order_of_descriptors, "R2.1 R4.5")
{
	int port = new_port(), a[2], b[2];
	make_pipe(a);
	make_pipe(b);
	watch(port, a[0], POLLIN, USER('A'));
	watch(port, b[0], POLLIN, USER('B'));
	put(b[1]);
	CHECK_EQ(pending(port), 1);
	put(a[1]);
	CHECK_EQ(pending(port), 2);
	get_fd(port, b[0], POLLIN, USER('B'));
	get_fd(port, a[0], POLLIN, USER('A'));
	expect_none(port);
	close_pipe(a);
	close_pipe(b);
	close(port);
}

TEST(content_survives_until_retrieved, "R2.7 R7.1")
{
	int port = new_port();
	port_event_t list[3];
	for (int i = 0; i < 10; i++)
		CHECK_OK(port_send(port, i, USER(i)));
	for (int i = 0; i < 9; i += 3) {
		CHECK_EQ(take_all(port, list, 3), 3);
		for (int j = 0; j < 3; j++)
			is_user(&list[j], i + j, USER(i + j));
	}
	get_user(port, 9, USER(9));
	close(port);
}

#define SENDERS 4
#define TAKERS 3
#define EACH 2500

static struct {
	int port;
	int seen[SENDERS * EACH];
	int bad;
} crowd;

static void *crowd_sender(void *arg)
{
	int base = (int)(intptr_t)arg * EACH;
	for (int i = 0; i < EACH; i++)
		if (port_send(crowd.port, base + i, USER(base + i)) != 0)
			__atomic_add_fetch(&crowd.bad, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *crowd_taker(void *arg)
{
	port_event_t pe;
	(void)arg;
	for (;;) {
		if (port_get(crowd.port, &pe, NULL) != 0 || pe.portev_source != PORT_SOURCE_USER)
			__atomic_add_fetch(&crowd.bad, 1, __ATOMIC_RELAXED);
		else if (pe.portev_events == -1)
			return NULL;
		else if (pe.portev_user != USER(pe.portev_events))
			__atomic_add_fetch(&crowd.bad, 1, __ATOMIC_RELAXED);
		else
			__atomic_add_fetch(&crowd.seen[pe.portev_events], 1, __ATOMIC_RELAXED);
	}
}

TEST_LIMIT(each_event_once_with_threads, "T-016 R2.3", 30)
{
	struct thread sender[SENDERS], taker[TAKERS];
	crowd.port = new_port();
	for (int i = 0; i < TAKERS; i++)
		thread_start(&taker[i], crowd_taker, NULL);
	for (int i = 0; i < SENDERS; i++)
		thread_start(&sender[i], crowd_sender, (void *)(intptr_t)i);
	for (int i = 0; i < SENDERS; i++)
		thread_join(&sender[i]);
	/* Takers leave by one end mark each; all values were sent before the marks. */
	for (int i = 0; i < TAKERS; i++)
		CHECK_OK(port_send(crowd.port, -1, NULL));
	for (int i = 0; i < TAKERS; i++)
		thread_join(&taker[i]);
	CHECK_EQ(crowd.bad, 0);
	for (int i = 0; i < SENDERS * EACH; i++)
		CHECK_EQ(crowd.seen[i], 1);
	expect_none(crowd.port);
	close(crowd.port);
}
