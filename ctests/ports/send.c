/* port_send and port_sendn (section 6). The limit of events has its own program, slots.c. */
#include "harness.h"
#include "events.h"
#include <sys/time.h>

TEST(event_of_a_send, "T-140 R6.1")
{
	int port = new_port();
	CHECK_OK(port_send(port, 0x1234, (void *)0xabc));
	port_event_t pe = get_one(port);
	is_user(&pe, 0x1234, (void *)0xabc);
	expect_none(port);
	close(port);
}

TEST(any_value_is_delivered, "T-141 R6.1")
{
	static const int values[] = { 0, -1, 1, INT_MIN, INT_MAX, POLLNVAL };
	void *users[] = { NULL, (void *)-1, (void *)1 };
	int port = new_port();
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < 3; j++) {
			CHECK_OK(port_send(port, values[i], users[j]));
			get_user(port, values[i], users[j]);
		}
	close(port);
}

TEST(bad_port, "T-142 R6.1 20")
{
	int fds[2];
	make_pipe(fds);
	CHECK_ERR(port_send(-1, 1, NULL), EBADF);
	CHECK_ERR(port_send(INT_MIN, 1, NULL), EBADF);
	CHECK_ERR(port_send(INT_MAX, 1, NULL), EBADF);
	CHECK_ERR(port_send(closed_fd(), 1, NULL), EBADF);
	CHECK_ERR(port_send(fds[1], 1, NULL), EBADFD);
	CHECK_ERR(port_send(fds[0], 1, NULL), EBADFD);
	close_pipe(fds);
}

TEST_LIMIT(default_limit, "T-143 R6.1", 30)
{
	enum { LIMIT = 65536 };
	int port = new_port(), n = 0;
	unsetenv("EVSHIM_MAX_EVENTS");
	while (n <= LIMIT && port_send(port, n, USER(n)) == 0)
		n++;
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(n, LIMIT);
	CHECK_EQ(pending(port), LIMIT);
	get_user(port, 0, USER(0));
	CHECK_OK(port_send(port, LIMIT, USER(LIMIT)));
	CHECK_ERR(port_send(port, 1, NULL), EAGAIN);
	for (int i = 1; i <= LIMIT; i++)
		get_user(port, i, USER(i));
	expect_none(port);
	close(port);
}

static volatile int handler_port, handler_sent, handler_failed;

static void send_from_handler(int sig)
{
	int saved = errno;
	(void)sig;
	if (port_send(handler_port, 2, (void *)(intptr_t)handler_sent) == 0)
		handler_sent++;
	else
		handler_failed++;
	errno = saved;
}

/* Counts one event of the loop or of the handler; each kind has consecutive numbers. */
static void count_event(const port_event_t *pe, int *own, int *from_handler)
{
	int *counter = pe->portev_events == 1 ? own : from_handler;
	CHECK_EQ(pe->portev_source, PORT_SOURCE_USER);
	CHECK_EQ((intptr_t)pe->portev_user, *counter);
	(*counter)++;
}

TEST_LIMIT(send_from_a_signal_handler, "T-144 R6.3", 60)
{
	const int rounds = 100000 / slow();
	struct itimerval every = { { 0, 100 * slow() }, { 0, 100 * slow() } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction act = { .sa_handler = send_from_handler };
	port_event_t list[64];
	int own = 0, from_handler = 0;
	handler_port = new_port();
	CHECK_OK(sigaction(SIGALRM, &act, NULL));
	CHECK_OK(setitimer(ITIMER_REAL, &every, NULL));
	for (int i = 0; i < rounds; i++) {
		unsigned n = 1;
		CHECK_EQ(port_send(handler_port, 1, (void *)(intptr_t)i), 0);
		CHECK_EQ(port_getn(handler_port, list, 64, &n, NULL), 0);
		CHECK(n >= 1 && n <= 64);
		for (unsigned j = 0; j < n; j++)
			count_event(&list[j], &own, &from_handler);
	}
	CHECK_OK(setitimer(ITIMER_REAL, &never, NULL));
	signal(SIGALRM, SIG_IGN);
	for (unsigned n; (n = take_all(handler_port, list, 64)) > 0;)
		for (unsigned j = 0; j < n; j++)
			count_event(&list[j], &own, &from_handler);
	CHECK_EQ(own, rounds);
	CHECK_EQ(handler_failed, 0);
	CHECK(handler_sent > 0);
	CHECK_EQ(from_handler, handler_sent);
	close(handler_port);
}

/* The handler interrupts a wait: the call may answer EINTR, but the event is there afterwards. */
TEST(send_from_a_handler_during_a_wait, "T-144 R6.3 R7.6")
{
	struct itimerval once = { { 0, 0 }, { 0, 2000 } };
	struct sigaction act = { .sa_handler = send_from_handler };
	handler_port = new_port();
	CHECK_OK(sigaction(SIGALRM, &act, NULL));
	for (int i = 0; i < 50; i++) {
		port_event_t pe;
		CHECK_OK(setitimer(ITIMER_REAL, &once, NULL));
		if (port_get(handler_port, &pe, NULL) != 0) {
			CHECK_EQ(errno, EINTR);
			CHECK_EQ(pending(handler_port), 1);
			CHECK_OK(port_get(handler_port, &pe, ZERO_TIMEOUT));
		}
		is_user(&pe, 2, (void *)(intptr_t)i);
	}
	close(handler_port);
}

TEST(sendn_to_all, "T-145 R6.6")
{
	int a = new_port(), b = new_port();
	int ports[] = { a, b }, errors[] = { -7, -7 };
	CHECK_RET(port_sendn(ports, errors, 2, 3, USER(3)), 2);
	CHECK(errors[0] == -7 && errors[1] == -7);
	CHECK(ports[0] == a && ports[1] == b);
	get_user(a, 3, USER(3));
	get_user(b, 3, USER(3));
	close(a);
	close(b);
}

TEST(sendn_with_bad_entries, "T-146 R6.5 R6.6")
{
	int a = new_port(), b = new_port(), fds[2];
	make_pipe(fds);
	int ports[] = { a, -1, fds[0], b, closed_fd() }, errors[] = { -7, -7, -7, -7, -7, -7 };
	CHECK_EQ(port_sendn(ports, errors, 5, 3, USER(3)), 2);
	CHECK_EQ(errors[0], 0);
	CHECK_EQ(errors[1], EBADF);
	CHECK_EQ(errors[2], EBADFD);
	CHECK_EQ(errors[3], 0);
	CHECK_EQ(errors[4], EBADF);
	CHECK_EQ(errors[5], -7);
	get_user(a, 3, USER(3));
	get_user(b, 3, USER(3));
	close_pipe(fds);
	close(a);
	close(b);
}

TEST(sendn_all_bad, "T-147 R6.5")
{
	int ports[] = { -1, STDOUT_FILENO, INT_MAX }, errors[] = { -7, -7, -7 };
	CHECK_EQ(port_sendn(ports, errors, 3, 3, USER(3)), 0);
	CHECK_EQ(errors[0], EBADF);
	CHECK_EQ(errors[1], EBADFD);
	CHECK_EQ(errors[2], EBADF);
}

TEST(sendn_bad_arguments, "T-148 R6.5 20")
{
	void *volatile bad[] = BAD_ADDRESSES;
	int port = new_port(), ports[] = { port }, errors[] = { -7 };
	CHECK_ERR(port_sendn(ports, errors, 0, 1, NULL), EINVAL);
	CHECK_ERR(port_sendn(NULL, NULL, 0, 1, NULL), EINVAL);
	CHECK_ERR(port_sendn(NULL, errors, 1, 1, NULL), EFAULT);
	for (int i = 0; i < 3; i++) {
		CHECK_ERR(port_sendn(bad[i], errors, 0, 1, NULL), EINVAL);
		CHECK_ERR(port_sendn(bad[i], errors, 1, 1, NULL), EFAULT);
		CHECK_ERR(port_sendn(bad[i], errors, 10000, 1, NULL), EFAULT);
	}
	CHECK_EQ(errors[0], -7);
	expect_none(port);
	close(port);
}

TEST(sendn_without_errors, "T-149 R6.6")
{
	void *volatile bad[] = { NULL, (void *)8, (void *)-4096, (void *)(uintptr_t)0xffff800000000000 };
	int a = new_port(), b = new_port();
	for (int i = 0; i < 4; i++) {
		int good[] = { a, b }, mixed[] = { a, -1, b };
		/* Nobody looks at errors[] while nothing fails. */
		CHECK_RET(port_sendn(good, bad[i], 2, 1, USER(1)), 2);
		get_user(a, 1, USER(1));
		get_user(b, 1, USER(1));
		CHECK_ERR(port_sendn(mixed, bad[i], 3, 2, USER(2)), EFAULT);
		get_user(a, 2, USER(2));
		get_user(b, 2, USER(2));
		expect_none(a);
		expect_none(b);
	}
	close(a);
	close(b);
}

TEST(sendn_same_port, "T-150 R6.8")
{
	int port = new_port(), ports[] = { port, port, port };
	CHECK_RET(port_sendn(ports, NULL, 3, 4, USER(4)), 3);
	CHECK_EQ(pending(port), 3);
	for (int i = 0; i < 3; i++)
		get_user(port, 4, USER(4));
	expect_none(port);
	close(port);
}

TEST(sendn_long_list, "T-151 R6.7")
{
	enum { COUNT = 10000 };
	static int ports[COUNT], errors[COUNT];
	static port_event_t list[COUNT];
	int port = new_port();
	for (int i = 0; i < COUNT; i++) {
		ports[i] = port;
		errors[i] = -7;
	}
	CHECK_RET(port_sendn(ports, errors, COUNT, 6, USER(6)), COUNT);
	CHECK(errors[0] == -7 && errors[8191] == -7 && errors[COUNT - 1] == -7);
	CHECK_EQ(take_all(port, list, COUNT), COUNT);
	is_user(&list[COUNT - 1], 6, USER(6));

	/* The list is worked off in chunks of 8192; the one without a failure keeps its errors[]. */
	ports[9000] = -1;
	CHECK_EQ(port_sendn(ports, errors, COUNT, 6, USER(6)), COUNT - 1);
	CHECK(errors[0] == -7 && errors[8191] == -7);
	CHECK(errors[8192] == 0 && errors[9000] == EBADF && errors[COUNT - 1] == 0);
	close(port);
}

/* Beyond the first 8192 entries: what was sent is counted, the part that needs errors[] and has none ends the call. */
TEST(failure_without_errors_in_a_later_chunk, "R6.6 R6.7")
{
	static int ports[9000];
	int port = new_port();
	for (int i = 0; i < 9000; i++)
		ports[i] = port;
	ports[8500] = -1;
	CHECK_EQ(port_sendn(ports, NULL, 9000, 1, NULL), 8192);
	CHECK_EQ(pending(port), 8192 + 807);
	close(port);
}
