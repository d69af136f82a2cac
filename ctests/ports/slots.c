/* env: EVSHIM_MAX_EVENTS=16 */
/* The limit of events of a port: what takes a slot and what gives it back (R2.2). */
#include "harness.h"
#include "events.h"

#define SLOTS 16

static int fill(int port)
{
	int n = 0;
	while (n < 1000 && port_send(port, n, USER(n)) == 0)
		n++;
	CHECK_EQ(errno, EAGAIN);
	return n;
}

TEST(descriptors_keep_their_slots, "T-063 R2.2")
{
	int port = new_port(), fds[SLOTS + 1][2];
	port_event_t list[SLOTS];
	for (int i = 0; i <= SLOTS; i++) {
		make_pipe(fds[i]);
		put(fds[i][1]);
	}
	for (int i = 0; i < SLOTS; i++)
		watch(port, fds[i][0], POLLIN, USER(i));
	CHECK_ERR(port_associate(port, PORT_SOURCE_FD, fds[SLOTS][0], POLLIN, NULL), EAGAIN);
	/* A replacement needs no new slot. */
	watch(port, fds[0][0], POLLIN, USER(0));
	CHECK_EQ(take_all(port, list, SLOTS), SLOTS);
	CHECK_ERR(port_associate(port, PORT_SOURCE_FD, fds[SLOTS][0], POLLIN, NULL), EAGAIN);
	CHECK_ERR(port_send(port, 1, NULL), EAGAIN);
	CHECK_ERR(unwatch(port, fds[SLOTS][0]), ENOENT);
	/* The result says that the event was retrieved before; the slot is free all the same. */
	CHECK_ERR(unwatch(port, fds[3][0]), ENOENT);
	watch(port, fds[SLOTS][0], POLLIN, USER(SLOTS));
	get_fd(port, fds[SLOTS][0], POLLIN, USER(SLOTS));
	CHECK_ERR(port_associate(port, PORT_SOURCE_FD, fds[3][0], POLLIN, NULL), EAGAIN);
	/* So does closing a descriptor. */
	close(fds[5][0]);
	watch(port, fds[3][0], POLLIN, USER(3));
	get_fd(port, fds[3][0], POLLIN, USER(3));
	for (int i = 0; i <= SLOTS; i++) {
		if (i != 5)
			close(fds[i][0]);
		close(fds[i][1]);
	}
	CHECK_EQ(fill(port), SLOTS);
	close(port);
}

TEST(user_events_up_to_the_limit, "T-143 R6.1")
{
	int port = new_port();
	CHECK_EQ(fill(port), SLOTS);
	CHECK_EQ(pending(port), SLOTS);
	CHECK_ERR(port_send(port, 1, NULL), EAGAIN);
	for (int round = 0; round < 3 * SLOTS; round++) {
		get_user(port, round, USER(round));
		CHECK_OK(port_send(port, round + SLOTS, USER(round + SLOTS)));
		CHECK_ERR(port_send(port, 1, NULL), EAGAIN);
	}
	CHECK_EQ(pending(port), SLOTS);
	close(port);
}

TEST(all_slots_come_back, "T-143 R2.2")
{
	int port = new_port();
	port_event_t list[SLOTS];
	for (int round = 0; round < 200; round++) {
		CHECK_EQ(fill(port), SLOTS);
		CHECK_EQ(take_all(port, list, SLOTS), SLOTS);
		for (int i = 0; i < SLOTS; i++)
			is_user(&list[i], i, USER(i));
	}
	expect_none(port);
	close(port);
}

TEST(users_and_descriptors_share_the_slots, "R2.2")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(0));
	CHECK_EQ(fill(port), SLOTS - 1);
	/* The slot of the association was reserved, so its event arrives on a full port. */
	put(fds[1]);
	CHECK_EQ(pending(port), SLOTS);
	for (int i = 0; i < SLOTS - 1; i++)
		get_user(port, i, USER(i));
	get_fd(port, fds[0], POLLIN, USER(0));
	close_pipe(fds);
	close(port);
}

TEST(full_port_refuses_but_keeps_working, "R2.2 R6.1")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	CHECK_EQ(fill(port), SLOTS);
	CHECK_ERR(port_associate(port, PORT_SOURCE_FD, fds[0], POLLIN, NULL), EAGAIN);
	put(fds[1]);
	CHECK_EQ(pending(port), SLOTS);
	CHECK_ERR(unwatch(port, fds[0]), ENOENT);
	/* An alert needs no slot (it is a mode). */
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, USER(1)));
	get_alert(port, 1, USER(1));
	CHECK_OK(port_alert(port, 0, 0, NULL));
	get_user(port, 0, USER(0));
	watch(port, fds[0], POLLIN, USER(9));
	CHECK_EQ(pending(port), SLOTS);
	close_pipe(fds);
	CHECK_EQ(pending(port), SLOTS - 1);
	close(port);
}

TEST(sendn_with_one_full_port, "T-152 R6.5 R6.6")
{
	int a = new_port(), full = new_port(), b = new_port();
	int ports[] = { a, full, b }, errors[] = { -7, -7, -7 };
	CHECK_EQ(fill(full), SLOTS);
	CHECK_EQ(port_sendn(ports, errors, 3, 5, USER(5)), 2);
	CHECK_EQ(errors[0], 0);
	CHECK_EQ(errors[1], EAGAIN);
	CHECK_EQ(errors[2], 0);
	get_user(a, 5, USER(5));
	get_user(b, 5, USER(5));
	CHECK_EQ(pending(full), SLOTS);
	close(a);
	close(b);
	close(full);
}

TEST(sendn_fills_one_port, "T-152 R6.8")
{
	int port = new_port(), ports[SLOTS + 4], errors[SLOTS + 4];
	for (int i = 0; i < SLOTS + 4; i++) {
		ports[i] = port;
		errors[i] = -7;
	}
	CHECK_EQ(port_sendn(ports, errors, SLOTS + 4, 5, USER(5)), SLOTS);
	for (int i = 0; i < SLOTS + 4; i++)
		CHECK_EQ(errors[i], i < SLOTS ? 0 : EAGAIN);
	CHECK_EQ(pending(port), SLOTS);
	close(port);
}

TEST(writable_while_there_is_a_slot, "T-270 R13.1")
{
	int port = new_port();
	struct pollfd p = { port, POLLOUT, 0 };
	CHECK_EQ(fill(port), SLOTS);
	/* POLLOUT may be missing altogether, but it must not be there on a full port. */
	CHECK_EQ(poll(&p, 1, 0), 0);
	close(port);
}
