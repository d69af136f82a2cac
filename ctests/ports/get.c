/* port_get: order of checks, what it returns at once and after a time-out (7.1, 7.2). */
#include "harness.h"
#include "events.h"

static const struct timespec invalid[] = { { -1, 0 }, { 0, -1 }, { 0, 1000000000 }, { -1, 999999999 },
	{ 0, LONG_MAX }, { 5, 1000000001 }, { LONG_MIN, 0 }, { 0, LONG_MIN } };
#define INVALID (sizeof invalid / sizeof invalid[0])

/* An event structure with a known content, to see that it was left alone. */
static port_event_t poisoned(void)
{
	port_event_t pe;
	memset(&pe, 0xa5, sizeof pe);
	return pe;
}

static void check_untouched(const port_event_t *pe)
{
	port_event_t model = poisoned();
	CHECK_EQ(memcmp(pe, &model, sizeof model), 0);
}

TEST(bad_port, "T-161 7.1 20")
{
	port_event_t pe = poisoned();
	int fds[2];
	make_pipe(fds);
	put(fds[1]);
	CHECK_ERR(port_get(-1, &pe, ZERO_TIMEOUT), EBADF);
	CHECK_ERR(port_get(closed_fd(), &pe, NULL), EBADF);
	CHECK_ERR(port_get(INT_MAX, &pe, NULL), EBADF);
	CHECK_ERR(port_get(fds[0], &pe, NULL), EBADFD);
	CHECK_ERR(port_get(fds[1], &pe, ZERO_TIMEOUT), EBADFD);
	/* The port comes before everything else. */
	CHECK_ERR(port_get(-1, NULL, &invalid[0]), EBADF);
	CHECK_ERR(port_get(fds[0], NULL, &invalid[0]), EBADFD);
	check_untouched(&pe);
	close_pipe(fds);
}

TEST(no_wait_on_an_empty_port, "T-174 R7.5 Q1")
{
	int port = new_port();
	port_event_t pe = poisoned();
	/* ETIME is the library's choice; illumos itself has 0 with nothing written. */
	int result = port_get(port, &pe, ZERO_TIMEOUT);
	CHECK(result == 0 || (result == -1 && errno == ETIME));
	check_untouched(&pe);
	close(port);
}

TEST(no_wait_with_an_event, "R7.5")
{
	int port = new_port();
	port_event_t pe;
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK_OK(port_get(port, &pe, ZERO_TIMEOUT));
	is_user(&pe, 1, USER(1));
	close(port);
}

TEST(time_out, "T-175 R7.4 R7.11")
{
	int port = new_port();
	port_event_t pe = poisoned();
	for (int i = 0; i < 5; i++) {
		struct timespec wait = { 0, 20000000 };
		long long start = now_ms();
		CHECK_ERR(port_get(port, &pe, &wait), ETIME);
		CHECK(now_ms() - start >= 19);
		CHECK(now_ms() - start < 1000 * slow());
		CHECK(wait.tv_sec == 0 && wait.tv_nsec == 20000000);
	}
	check_untouched(&pe);
	close(port);
}

TEST(time_out_with_descriptors_watched, "T-175 R7.4")
{
	int port = new_port(), fds[2];
	port_event_t pe = poisoned();
	make_pipe(fds);
	put(fds[1]);
	watch(port, fds[0], POLLIN, USER(1));
	get_fd(port, fds[0], POLLIN, USER(1));
	/* Still readable, but disarmed: neither an event nor a busy loop that ends early. */
	long long start = now_ms();
	CHECK_ERR(port_get(port, &pe, TIMEOUT_MS(30)), ETIME);
	CHECK(now_ms() - start >= 29);
	check_untouched(&pe);
	close_pipe(fds);
	close(port);
}

TEST(no_event_buffer, "T-176 7.1 20")
{
	void *volatile bad[] = { NULL, (void *)8, (void *)-4096, (void *)(uintptr_t)0xffff800000000000 };
	int port = new_port();
	for (int i = 0; i < 4; i++) {
		CHECK_ERR(port_get(port, bad[i], LONG_TIMEOUT), EFAULT);
		CHECK_ERR(port_get(port, bad[i], NULL), EFAULT);
		CHECK_ERR(port_get(port, bad[i], &invalid[0]), EFAULT);
		CHECK_OK(port_send(port, i, USER(i)));
		CHECK_ERR(port_get(port, bad[i], NULL), EFAULT);
		CHECK_OK(port_alert(port, PORT_ALERT_SET, 7, USER(7)));
		CHECK_ERR(port_get(port, bad[i], NULL), EFAULT);
		CHECK_OK(port_alert(port, 0, 0, NULL));
		get_user(port, i, USER(i));
		expect_none(port);
	}
	close(port);
}

TEST(bad_buffer_keeps_a_descriptor_event, "T-176 7.1 20")
{
	void *volatile bad[] = BAD_ADDRESSES;
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	put(fds[1]);
	CHECK_ERR(port_get(port, NULL, NULL), EFAULT);
	CHECK_ERR(port_get(port, bad[0], NULL), EFAULT);
	CHECK_EQ(pending(port), 1);
	get_fd(port, fds[0], POLLIN, USER(1));
	close_pipe(fds);
	close(port);
}

TEST(invalid_time_out, "T-177 7.1")
{
	int port = new_port();
	port_event_t pe = poisoned();
	for (size_t i = 0; i < INVALID; i++)
		CHECK_ERR(port_get(port, &pe, &invalid[i]), EINVAL);
	check_untouched(&pe);
	close(port);
}

TEST(invalid_time_out_is_not_looked_at, "T-178 7.1")
{
	int port = new_port(), fds[2];
	port_event_t pe;
	make_pipe(fds);
	put(fds[1]);
	for (size_t i = 0; i < INVALID; i++) {
		CHECK_OK(port_send(port, (int)i, USER(i)));
		CHECK_OK(port_get(port, &pe, &invalid[i]));
		is_user(&pe, (int)i, USER(i));
		watch(port, fds[0], POLLIN, USER(i));
		CHECK_OK(port_get(port, &pe, &invalid[i]));
		is_fd(&pe, fds[0], POLLIN, USER(i));
	}
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 7, USER(7)));
	CHECK_OK(port_get(port, &pe, &invalid[0]));
	is_alert(&pe, 7, USER(7));
	close_pipe(fds);
	close(port);
}

TEST(unreadable_time_out, "T-179 7.1 20")
{
	void *volatile bad[] = BAD_ADDRESSES;
	int port = new_port();
	port_event_t pe = poisoned();
	for (int i = 0; i < 3; i++) {
		CHECK_ERR(port_get(port, &pe, bad[i]), EFAULT);
		check_untouched(&pe);
		/* With an event at hand nobody needs the time-out; in no case may the event be lost. */
		CHECK_OK(port_send(port, i, USER(i)));
		if (port_get(port, &pe, bad[i]) != 0) {
			CHECK_EQ(errno, EFAULT);
			pe = get_one(port);
		}
		is_user(&pe, i, USER(i));
		expect_none(port);
		pe = poisoned();
	}
	close(port);
}

TEST(long_time_out_ends_with_the_event, "T-192 T-193 7.1")
{
	struct timespec longest[] = { { 3600, 0 }, { LONG_MAX, 0 }, { LONG_MAX, 999999999 }, { INT_MAX, 1 } };
	int port = new_port(), fds[2];
	port_event_t pe;
	make_pipe(fds);
	for (int i = 0; i < 4; i++) {
		watch(port, fds[0], POLLIN, USER(i));
		long long start = now_ms();
		pid_t child = fork();
		if (child == 0) {
			sleep_ms(20);
			put(fds[1]);
			_exit(0);
		}
		CHECK_OK(port_get(port, &pe, &longest[i]));
		is_fd(&pe, fds[0], POLLIN, USER(i));
		CHECK(now_ms() - start < 5000 * slow());
		CHECK_EQ(wait_child(child), 0);
		take(fds[0]);
	}
	close_pipe(fds);
	close(port);
}

TEST(shortest_time_out, "T-196 R7.11")
{
	int port = new_port();
	port_event_t pe = poisoned();
	struct timespec shortest = { 0, 1 };
	long long start = now_ms();
	for (int i = 0; i < 10; i++)
		CHECK_ERR(port_get(port, &pe, &shortest), ETIME);
	CHECK(now_ms() - start < 1000 * slow());
	check_untouched(&pe);
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK_OK(port_get(port, &pe, &shortest));
	is_user(&pe, 1, USER(1));
	close(port);
}

TEST(errno_is_left_alone, "20 R7.1")
{
	int port = new_port(), fds[2];
	unsigned n = 0;
	port_event_t pe;
	make_pipe(fds);
	put(fds[1]);
	for (int i = 0; i < 3; i++) {
		CHECK_OK(port_associate(port, PORT_SOURCE_FD, fds[0], POLLIN, NULL));
		CHECK_OK(port_getn(port, NULL, 0, &n, NULL));
		CHECK_EQ(n, 1);
		CHECK_OK(port_get(port, &pe, NULL));
		CHECK_OK(port_send(port, 1, NULL));
		CHECK_OK(port_get(port, &pe, TIMEOUT_MS(100)));
		CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, NULL));
		CHECK_OK(port_get(port, &pe, NULL));
		CHECK_OK(port_alert(port, 0, 0, NULL));
		n = 1;
		CHECK_OK(port_getn(port, &pe, 1, &n, ZERO_TIMEOUT));
		CHECK_EQ(n, 0);
		CHECK_OK(port_associate(port, PORT_SOURCE_FD, fds[0], 0, NULL));
		CHECK_OK(port_dissociate(port, PORT_SOURCE_FD, fds[0]));
	}
	CHECK_OK(close(port));
	close_pipe(fds);
}
