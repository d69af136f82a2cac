/*
 * The number of a port that was closed unseen, or of one of the library's own helpers, becomes a descriptor of the
 * program's that holds something: nothing of it is read, written or changed.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
/* modes: shared static preload dlopen */
#include "raw_port.h"
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

enum kind {
	AN_EVENTFD,
	A_TIMERFD,
	A_SOCKET,
	A_DATAGRAM,
	A_PIPE_TO_READ,
	A_PIPE_TO_WRITE,
	A_FILE,
	AN_EPOLL_SET,
	FDS
};

struct foreign {
	enum kind kind;
	int number, peer;
	int flags, mode;
};

/* The program's descriptor with something in it, at the number; whatever was there goes unseen. */
static void foreign_open(struct foreign *f, enum kind kind, int number)
{
	struct itimerspec soon = { { 0, 0 }, { 0, 1 } };
	int fds[2] = { -1, -1 };
	switch (kind) {
	case AN_EVENTFD: fds[0] = eventfd(7, EFD_NONBLOCK); break;
	case A_TIMERFD:
		fds[0] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
		CHECK_OK(timerfd_settime(fds[0], 0, &soon, NULL));
		break;
	case A_SOCKET: make_pair(fds); break;
	case A_DATAGRAM: CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds)); break;
	case A_PIPE_TO_READ: make_pipe(fds); break;
	case A_PIPE_TO_WRITE:
		make_pipe(fds);
		fds[0] ^= fds[1], fds[1] ^= fds[0], fds[0] ^= fds[1];
		break;
	case A_FILE: fds[0] = memfd_create("held", 0); break;
	default: fds[0] = epoll_create1(0);
	}
	if (fds[0] < 0)
		FAIL("kind %d: %s", kind, strerror(errno));
	if (kind >= A_SOCKET && kind <= A_PIPE_TO_READ)
		CHECK_EQ(write(fds[1], "hello", 5), 5);
	if (kind == A_PIPE_TO_WRITE || kind == A_FILE)
		CHECK_EQ(write(fds[0], "hello", 5), 5);
	CHECK_EQ(raw_dup3(fds[0], number), number);
	CHECK_EQ(raw_close(fds[0]), 0);
	*f = (struct foreign){ kind, number, fds[1], fcntl(number, F_GETFL), fcntl(number, F_GETFD) };
}

/* What the number holds is what was put there, and the other end has got nothing. */
static void foreign_check(struct foreign *f)
{
	uint64_t value = 0;
	char text[16], path[64], line[64];
	int waiting = 0;
	struct pollfd poller = { .fd = f->peer, .events = POLLIN };
	CHECK_EQ(fcntl(f->number, F_GETFL), f->flags);
	CHECK_EQ(fcntl(f->number, F_GETFD), f->mode);
	switch (f->kind) {
	case AN_EVENTFD:
		CHECK_EQ(read(f->number, &value, sizeof value), (ssize_t)sizeof value);
		CHECK_EQ(value, 7);
		break;
	case A_TIMERFD:
		CHECK_EQ(read(f->number, &value, sizeof value), (ssize_t)sizeof value);
		CHECK_EQ(value, 1);
		break;
	case A_SOCKET:
	case A_DATAGRAM:
	case A_PIPE_TO_READ:
		CHECK_EQ(read(f->number, text, sizeof text), 5);
		CHECK(memcmp(text, "hello", 5) == 0);
		if (f->kind != A_PIPE_TO_READ)
			CHECK_EQ(poll(&poller, 1, 0), 0);
		break;
	case A_PIPE_TO_WRITE:
		CHECK_OK(ioctl(f->peer, FIONREAD, &waiting));
		CHECK_EQ(waiting, 5);
		break;
	case A_FILE:
		CHECK_EQ(lseek(f->number, 0, SEEK_CUR), 5);
		CHECK_EQ(lseek(f->number, 0, SEEK_END), 5);
		break;
	default:
		snprintf(path, sizeof path, "/proc/self/fdinfo/%d", f->number);
		FILE *info = fopen(path, "re");
		CHECK(info != NULL);
		while (fgets(line, sizeof line, info) != NULL)
			if (strncmp(line, "tfd:", 4) == 0)
				FAIL("the program's empty set has got %s", line);
		fclose(info);
	}
}

static void foreign_close(struct foreign *f)
{
	CHECK_EQ(raw_close(f->number), 0);
	if (f->peer >= 0)
		CHECK_EQ(raw_close(f->peer), 0);
}

TEST_LIMIT(calls_on_the_program_s_descriptor, "R4.23 R7.30", 30)
{
	for (int state = 0; state < PORT_STATES; state++)
		for (int kind = 0; kind < FDS; kind++) {
			struct shared sh;
			struct foreign f;
			int port = port_in_state((enum port_state)state, &sh);
			int twin = kind & 1 ? raw_dup(port) : -1;
			foreign_open(&f, (enum kind)kind, port);
			use_all(port, NUMBER, state == FULL || state == READY || state == FIRED);
			foreign_check(&f);
			foreign_close(&f);
			shared_close(&sh);
			if (twin >= 0)
				close(twin);
		}
}

/* Nobody calls the number, other ports work; then it is closed as a descriptor of its own, and is a port again. */
TEST_LIMIT(other_ports_and_the_program_s_descriptor, "R4.20 R4.23", 30)
{
	for (int state = 0; state < PORT_STATES; state++)
		for (int kind = 0; kind < FDS; kind++) {
			struct shared sh;
			struct foreign f;
			int port = port_in_state((enum port_state)state, &sh), pair[2];
			foreign_open(&f, (enum kind)kind, port);
			make_pair(pair);
			work_elsewhere(pair[0], pair[1]);
			close_pipe(pair);
			CHECK_OK(close(NUMBER));
			foreign_check(&f);
			CHECK_OK(close(port));
			if (f.peer >= 0)
				close(f.peer);
			close(sh.s.peer);
			CHECK_EQ(port_create(), port);
			subject_open(&sh.s, NUMBER);
			cycle(port, &sh.s, 3, true);
			CHECK_PORT_WORKS(port);
			CHECK_OK(close(port));
			shared_close(&sh);
		}
}

/* The program's descriptor at the number is associated with another port: it is a descriptor like any other. */
TEST(number_of_a_port_is_associated_elsewhere, "R4.10 R4.23")
{
	for (int state = 0; state < PORT_STATES; state++) {
		struct shared sh;
		struct foreign f;
		struct writer writer;
		int port = port_in_state((enum port_state)state, &sh), other = port_create();
		if (state % 2 != 0)
			CHECK_OK(watch(other, port, POLLIN)); /* as a port */
		foreign_open(&f, A_SOCKET, port);
		CHECK_OK(watch(other, port, POLLIN));
		CHECK_FD_EVENT(other, port);
		char text[8];
		CHECK_EQ(read(port, text, sizeof text), 5);
		CHECK_OK(watch(other, port, POLLIN));
		write_later(&writer, f.peer, 5);
		await_data(other, port, IN_GET);
		written(&writer);
		CHECK_PORT_WORKS(other);
		close(other);
		foreign_close(&f);
		shared_close(&sh);
	}
}

/* ------------------------------------------------------------------ the library's own descriptors */

/* The numbers that appeared with the library and are none of the program's: high and close-on-exec. */
static int helpers(int found[], int max)
{
	int count = 0;
	struct rlimit limit; /* valgrind has its own descriptors beyond it */
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	for (int fd = 900; fd < 70000 && (rlim_t)fd < limit.rlim_cur && count < max; fd++)
		if (fcntl(fd, F_GETFD) == FD_CLOEXEC)
			found[count++] = fd;
	return count;
}

/* They go, and their numbers hold something of the program's: that stays, and ports go on working. */
TEST_LIMIT(helpers_go, "R2.7 R7.30", 30)
{
	for (int state = 0; state < PORT_STATES; state++)
		for (int kind = -1; kind < FDS; kind++) {
			struct shared sh;
			struct foreign f[4];
			int port = port_in_state((enum port_state)state, &sh), pair[2], numbers[4];
			int count = helpers(numbers, 4);
			for (int i = 0; i < count; i++)
				if (kind < 0)
					CHECK_EQ(raw_close(numbers[i]), 0);
				else
					foreign_open(&f[i], (enum kind)kind, numbers[i]);
			drain(port);
			for (int i = 0; i < 3; i++)
				CHECK_PORT_WORKS(port);
			struct pollfd poller = { .fd = port, .events = POLLIN };
			CHECK_EQ(poll(&poller, 1, 0), 0);
			CHECK_OK(send_value(port, 1));
			CHECK_EQ(poll(&poller, 1, 0), 1);
			CHECK_USER_EVENT(port, 1);
			CHECK_EQ(poll(&poller, 1, 0), 0);
			make_pair(pair);
			work_elsewhere(pair[0], pair[1]);
			while (take_any(NUMBER))
				;
			work_elsewhere(NUMBER, sh.s.peer);
			close_pipe(pair);
			close(port);
			for (int i = 0; i < count && kind >= 0; i++) {
				foreign_check(&f[i]);
				foreign_close(&f[i]);
			}
			shared_close(&sh);
		}
}

static void *get_user(void *arg)
{
	port_event_t pe;
	CHECK_OK(port_get(*(int *)arg, &pe, NULL));
	CHECK_EQ(pe.portev_source, PORT_SOURCE_USER);
	return NULL;
}

static void *getn_three(void *arg)
{
	port_event_t list[3]; /* and no more: the other thread needs one */
	unsigned got = 3;
	CHECK_OK(port_getn(*(int *)arg, list, 3, &got, NULL));
	CHECK_EQ(got, 3);
	return NULL;
}

/* The same under sleepers: they are woken by what is sent, whatever their helpers have become. */
static void helpers_go_under_sleepers(int kind, bool with_getn)
{
	struct thread one, three;
	struct foreign f[8];
	int numbers[8], port = port_create();
	thread_start(&one, get_user, &port);
	wait_until_blocked(one.tid);
	if (with_getn) {
		thread_start(&three, getn_three, &port);
		wait_until_blocked(three.tid);
	}
	int count = helpers(numbers, 8);
	for (int i = 0; i < count; i++)
		if (kind < 0)
			CHECK_EQ(raw_close(numbers[i]), 0);
		else
			foreign_open(&f[i], (enum kind)kind, numbers[i]);
	for (int i = 0; i < (with_getn ? 4 : 1); i++) {
		CHECK_OK(send_value(port, (uintptr_t)i));
		sleep_ms(5); /* so that the one who wants three goes to sleep again */
	}
	thread_join(&one);
	if (with_getn)
		thread_join(&three);
	CHECK_PORT_WORKS(port);
	close(port);
	for (int i = 0; i < count && kind >= 0; i++) {
		foreign_check(&f[i]);
		foreign_close(&f[i]);
	}
}

TEST(helpers_are_closed_under_a_get, "R7.23") { helpers_go_under_sleepers(-1, false); }
TEST(helpers_are_closed_under_a_getn, "R7.23") { helpers_go_under_sleepers(-1, true); }

TEST(helpers_are_replaced_under_a_get, "R7.23")
{
	for (int kind = 0; kind < FDS; kind++)
		helpers_go_under_sleepers(kind, false);
}

TEST(helpers_are_replaced_under_a_getn, "R7.23")
{
	for (int kind = 0; kind < FDS; kind++)
		helpers_go_under_sleepers(kind, true);
}
