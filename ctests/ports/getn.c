/* port_getn: order of checks and how many events it returns, when nobody else is involved (7.1, 7.2). */
#include "harness.h"
#include "events.h"

static const struct timespec invalid[] = { { -1, 0 }, { 0, -1 }, { 0, 1000000000 }, { LONG_MIN, 0 },
	{ 0, LONG_MAX } };
#define INVALID (sizeof invalid / sizeof invalid[0])
#define MAX 8

static port_event_t list[MAX + 1];

static void poison(void)
{
	memset(list, 0xa5, sizeof list);
}

/* The entries from `from` on were not written. */
static void check_untouched(int from)
{
	const unsigned char *bytes = (const unsigned char *)list;
	for (size_t i = from * sizeof list[0]; i < sizeof list; i++)
		CHECK_EQ(bytes[i], 0xa5);
}

static void send_some(int port, int count)
{
	for (int i = 0; i < count; i++)
		CHECK_OK(port_send(port, i, USER(i)));
}

TEST(no_count, "T-160 7.1")
{
	int port = new_port();
	send_some(port, 2);
	CHECK_ERR(port_getn(-1, list, MAX, NULL, NULL), EINVAL);
	CHECK_ERR(port_getn(STDOUT_FILENO, list, MAX, NULL, NULL), EINVAL);
	CHECK_ERR(port_getn(port, list, MAX, NULL, NULL), EINVAL);
	CHECK_ERR(port_getn(port, list, 0, NULL, NULL), EINVAL);
	CHECK_ERR(port_getn(port, NULL, 0, NULL, NULL), EINVAL);
	CHECK_EQ(pending(port), 2);
	close(port);
}

TEST(bad_count_address, "T-160 7.1 20")
{
	void *volatile bad[] = BAD_ADDRESSES;
	int port = new_port();
	poison();
	for (int i = 0; i < 3; i++) {
		CHECK_ERR(port_getn(port, list, MAX, bad[i], NULL), EFAULT);
		CHECK_ERR(port_getn(port, list, 0, bad[i], NULL), EFAULT);
		CHECK_ERR(port_getn(port, NULL, MAX, bad[i], NULL), EFAULT);
		send_some(port, 2);
		CHECK_ERR(port_getn(port, list, MAX, bad[i], NULL), EFAULT);
		CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, NULL));
		CHECK_ERR(port_getn(port, list, MAX, bad[i], NULL), EFAULT);
		CHECK_OK(port_alert(port, 0, 0, NULL));
		check_untouched(0);
		get_user(port, 0, USER(0));
		get_user(port, 1, USER(1));
	}
	close(port);
}

TEST(bad_port, "T-161 7.1 20")
{
	int fds[2];
	unsigned n = 77;
	make_pipe(fds);
	put(fds[1]);
	poison();
	CHECK_ERR(port_getn(-1, list, MAX, &n, NULL), EBADF);
	CHECK_ERR(port_getn(closed_fd(), list, MAX, &n, NULL), EBADF);
	CHECK_ERR(port_getn(fds[0], list, MAX, &n, NULL), EBADFD);
	CHECK_ERR(port_getn(fds[0], list, 0, &n, NULL), EBADFD);
	CHECK_ERR(port_getn(-1, NULL, 0, &n, NULL), EBADF);
	CHECK_EQ(n, 77);
	check_untouched(0);
	close_pipe(fds);
}

TEST(more_wanted_than_room, "T-162 7.1")
{
	int port = new_port();
	unsigned n = 5;
	send_some(port, 5);
	poison();
	CHECK_ERR(port_getn(port, list, 4, &n, NULL), EINVAL);
	CHECK_EQ(n, 5);
	/* This check is before the one of the list. */
	CHECK_ERR(port_getn(port, NULL, 4, &n, NULL), EINVAL);
	n = UINT_MAX;
	CHECK_ERR(port_getn(port, list, 4, &n, NULL), EINVAL);
	CHECK_EQ(n, UINT_MAX);
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, NULL));
	CHECK_ERR(port_getn(port, list, 4, &n, NULL), EINVAL);
	CHECK_OK(port_alert(port, 0, 0, NULL));
	check_untouched(0);
	CHECK_EQ(pending(port), 5);
	close(port);
}

TEST(query, "T-163 T-164 7.1")
{
	void *volatile bad[] = BAD_ADDRESSES;
	int port = new_port();
	unsigned n = 77;
	CHECK_OK(port_getn(port, NULL, 0, &n, NULL));
	CHECK_EQ(n, 0);
	send_some(port, 3);
	for (size_t i = 0; i < INVALID; i++) {
		n = 77;
		CHECK_OK(port_getn(port, NULL, 0, &n, &invalid[i]));
		CHECK_EQ(n, 3);
	}
	n = 77;
	CHECK_OK(port_getn(port, bad[0], 0, &n, bad[0]));
	CHECK_EQ(n, 3);
	CHECK_EQ(pending(port), 3);
	get_user(port, 0, USER(0));
	CHECK_EQ(pending(port), 2);
	close(port);
}

TEST(no_list, "T-165 7.1 Q11 20")
{
	void *volatile bad[] = BAD_ADDRESSES;
	int port = new_port();
	for (int round = 0; round < 2; round++) {
		unsigned n = 1;
		CHECK_ERR2(port_getn(port, NULL, 1, &n, NULL), EFAULT, EINVAL);
		CHECK_ERR2(port_getn(port, NULL, 1, &n, &invalid[0]), EFAULT, EINVAL);
		CHECK_EQ(n, 1);
		for (int i = 0; i < 3; i++) {
			CHECK_ERR(port_getn(port, bad[i], 1, &n, NULL), EFAULT);
			CHECK_ERR(port_getn(port, bad[i], 100, &n, ZERO_TIMEOUT), EFAULT);
			CHECK_EQ(n, 1);
			/* The list is looked at before the question whether anything is wanted. */
			n = 0;
			CHECK_ERR(port_getn(port, bad[i], 1, &n, NULL), EFAULT);
			n = 1;
		}
		CHECK_EQ(pending(port), 2 * round);
		send_some(port, 2);
	}
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, NULL));
	unsigned n = 1;
	CHECK_ERR(port_getn(port, bad[0], 1, &n, NULL), EFAULT);
	CHECK_OK(port_alert(port, 0, 0, NULL));
	CHECK_EQ(pending(port), 4);
	for (int i = 0; i < 4; i++)
		get_user(port, i % 2, USER(i % 2));
	close(port);
}

TEST(nothing_wanted, "T-166 T-167 7.1")
{
	int port = new_port();
	unsigned n = 0;
	poison();
	CHECK_OK(port_getn(port, list, 4, &n, NULL));
	CHECK_EQ(n, 0);
	send_some(port, 2);
	CHECK_OK(port_getn(port, list, 4, &n, NULL));
	CHECK_EQ(n, 0);
	CHECK_OK(port_getn(port, list, 4, &n, &invalid[0]));
	CHECK_EQ(n, 0);
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 7, USER(7)));
	CHECK_OK(port_getn(port, list, 4, &n, NULL));
	CHECK_EQ(n, 0);
	check_untouched(0);
	CHECK_OK(port_alert(port, 0, 0, NULL));
	CHECK_EQ(pending(port), 2);
	close(port);
}

TEST(takes_more_than_wanted, "T-168 T-169 R7.1")
{
	int port = new_port();
	unsigned n = 2;
	send_some(port, 5);
	poison();
	CHECK_OK(port_getn(port, list, MAX, &n, NULL));
	CHECK_EQ(n, 5);
	for (int i = 0; i < 5; i++)
		is_user(&list[i], i, USER(i));
	check_untouched(5);

	send_some(port, 5);
	n = 2;
	poison();
	CHECK_OK(port_getn(port, list, 3, &n, NULL));
	CHECK_EQ(n, 3);
	for (int i = 0; i < 3; i++)
		is_user(&list[i], i, USER(i));
	check_untouched(3);
	get_user(port, 3, USER(3));
	get_user(port, 4, USER(4));
	expect_none(port);
	close(port);
}

TEST(time_out_carries_events, "T-170 R7.2")
{
	int port = new_port();
	unsigned n = 3;
	send_some(port, 2);
	poison();
	long long start = now_ms();
	CHECK_ERR(port_getn(port, list, MAX, &n, TIMEOUT_MS(50)), ETIME);
	CHECK(now_ms() - start >= 49);
	CHECK_EQ(n, 2);
	is_user(&list[0], 0, USER(0));
	is_user(&list[1], 1, USER(1));
	check_untouched(2);
	expect_none(port);
	close(port);
}

TEST(time_out_carries_descriptor_events, "T-170 R7.2")
{
	int port = new_port(), fds[2];
	unsigned n = 2;
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	put(fds[1]);
	/* One wanted event is missing while another one is ready: the wait must still be a wait. */
	long long start = now_ms();
	CHECK_ERR(port_getn(port, list, MAX, &n, TIMEOUT_MS(50)), ETIME);
	CHECK(now_ms() - start >= 49);
	CHECK_EQ(n, 1);
	is_fd(&list[0], fds[0], POLLIN, USER(1));
	expect_none(port);
	close_pipe(fds);
	close(port);
}

TEST(empty_time_out, "T-171 R7.2")
{
	int port = new_port();
	unsigned n = 1;
	poison();
	long long start = now_ms();
	CHECK_ERR(port_getn(port, list, MAX, &n, TIMEOUT_MS(50)), ETIME);
	CHECK(now_ms() - start >= 49);
	CHECK_EQ(n, 0);
	check_untouched(0);
	close(port);
}

TEST(no_wait, "T-172 T-173 R7.3")
{
	int port = new_port();
	unsigned n = 1;
	poison();
	CHECK_OK(port_getn(port, list, MAX, &n, ZERO_TIMEOUT));
	CHECK_EQ(n, 0);
	check_untouched(0);
	send_some(port, 2);
	n = 3;
	CHECK_OK(port_getn(port, list, MAX, &n, ZERO_TIMEOUT));
	CHECK_EQ(n, 2);
	is_user(&list[0], 0, USER(0));
	is_user(&list[1], 1, USER(1));
	check_untouched(2);
	expect_none(port);
	close(port);
}

TEST(invalid_time_out, "T-177 7.1 R7.9")
{
	int port = new_port();
	poison();
	for (size_t i = 0; i < INVALID; i++) {
		unsigned n = 1;
		CHECK_ERR(port_getn(port, list, MAX, &n, &invalid[i]), EINVAL);
		CHECK_EQ(n, 1);
		/* Events that do not suffice stay where they are. */
		send_some(port, 2);
		n = 3;
		CHECK_ERR(port_getn(port, list, MAX, &n, &invalid[i]), EINVAL);
		CHECK_EQ(n, 3);
		check_untouched(0);
		get_user(port, 0, USER(0));
		get_user(port, 1, USER(1));
	}
	close(port);
}

TEST(invalid_time_out_is_not_looked_at, "T-178 7.1")
{
	int port = new_port();
	for (size_t i = 0; i < INVALID; i++) {
		unsigned n = 2;
		send_some(port, 2);
		CHECK_OK(port_getn(port, list, MAX, &n, &invalid[i]));
		CHECK_EQ(n, 2);
		is_user(&list[1], 1, USER(1));
		CHECK_OK(port_alert(port, PORT_ALERT_SET, 7, USER(7)));
		n = 2;
		CHECK_OK(port_getn(port, list, MAX, &n, &invalid[i]));
		CHECK_EQ(n, 1);
		is_alert(&list[0], 7, USER(7));
		CHECK_OK(port_alert(port, 0, 0, NULL));
	}
	close(port);
}

TEST(unreadable_time_out, "T-179 7.1 R7.9 20")
{
	void *volatile bad[] = BAD_ADDRESSES;
	int port = new_port();
	for (int i = 0; i < 3; i++) {
		unsigned n = 2;
		poison();
		CHECK_ERR(port_getn(port, list, MAX, &n, bad[i]), EFAULT);
		send_some(port, 1);
		CHECK_ERR(port_getn(port, list, MAX, &n, bad[i]), EFAULT);
		CHECK_EQ(n, 2);
		check_untouched(0);
		CHECK_EQ(pending(port), 1);
		send_some(port, 1);
		CHECK_OK(port_getn(port, list, MAX, &n, bad[i]));
		CHECK_EQ(n, 2);
	}
	close(port);
}

TEST(huge_list, "T-194 7.1")
{
	enum { HUGE_MAX = 1000000 };
	int port = new_port();
	unsigned n = 1;
	port_event_t *big = malloc(HUGE_MAX * sizeof *big);
	CHECK(big != NULL);
	send_some(port, 3);
	CHECK_OK(port_getn(port, big, HUGE_MAX, &n, NULL));
	CHECK_EQ(n, 3);
	is_user(&big[2], 2, USER(2));
	n = HUGE_MAX;
	send_some(port, 2);
	CHECK_OK(port_getn(port, big, HUGE_MAX, &n, ZERO_TIMEOUT));
	CHECK_EQ(n, 2);
	free(big);
	close(port);
}

TEST(shortest_time_out, "T-196 R7.11")
{
	struct timespec shortest = { 0, 1 };
	int port = new_port();
	unsigned n = 2;
	send_some(port, 2);
	CHECK_OK(port_getn(port, list, MAX, &n, &shortest));
	CHECK_EQ(n, 2);
	send_some(port, 1);
	long long start = now_ms();
	CHECK_ERR(port_getn(port, list, MAX, &n, &shortest), ETIME);
	CHECK(now_ms() - start < 1000 * slow());
	CHECK_EQ(n, 1);
	is_user(&list[0], 0, USER(0));
	close(port);
}

/* A kernel copies to any address. */
TEST(unaligned_memory, "R7.1")
{
	char room[64];
	unsigned n = 1;
	port_event_t pe;
	int port = new_port();
	CHECK_OK(port_send(port, 5, USER(7)));
	CHECK_OK(port_getn(port, (void *)(room + 1), 1, &n, ZERO_TIMEOUT));
	memcpy(&pe, room + 1, sizeof pe);
	CHECK_EQ(pe.portev_events, 5);
	CHECK(pe.portev_user == USER(7));
	close(port);
}

/* The list need not be as long as `max` says, if so many events are not there. */
TEST(any_upper_bound, "R7.1 T-194")
{
	port_event_t list[4];
	static const unsigned bounds[] = { 1000000, 0x7fffffff, 0x80000000u, 0xffffffffu };
	int port = new_port();
	for (int i = 0; i < 4; i++) {
		unsigned n = 1;
		CHECK_OK(port_send(port, i, NULL));
		CHECK_OK(port_getn(port, list, bounds[i], &n, ZERO_TIMEOUT));
		CHECK_EQ(n, 1);
	}
	close(port);
}
