/*
 * A program that closes everything it did not open, seen or unseen by the library, and the library's own
 * descriptors: few, high, close-on-exec, never in the program's way, and never mistaken for the program's.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <sys/stat.h>

static int raw_close(int fd) { return (int)syscall(SYS_close, fd); }
static int raw_dup3(int from, int to) { return (int)syscall(SYS_dup3, from, to, 0); }

static void close_loop(void)
{
	for (int fd = 3; fd < 2000; fd++)
		close(fd);
}

static void raw_close_loop(void)
{
	for (int fd = 3; fd < 2000; fd++)
		raw_close(fd);
}

#ifdef __GLIBC__
static void close_by_range(void)
{
	if (close_range(3, ~0U, 0) != 0)
		close_loop();
}
static void close_by_closefrom(void) { closefrom(3); }
#endif
static void raw_close_by_range(void)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3, ~0U, 0) == 0)
		return;
#endif
	raw_close_loop();
}

static void *send_later(void *arg)
{
	sleep_ms(20);
	CHECK_OK(send_value(*(int *)arg, 0xab));
	return NULL;
}

/* User events, descriptor events, a sleeper woken from another thread, an outer poll. */
static void check_new_port(void)
{
	struct thread t;
	int fds[2], port = port_create();
	struct pollfd poller = { .fd = port, .events = POLLIN };
	CHECK(port >= 0);
	CHECK_PORT_WORKS(port);
	make_pair(fds);
	CHECK_OK(watch(port, fds[0], POLLIN));
	put(fds[1]);
	CHECK_FD_EVENT(port, fds[0]);
	thread_start(&t, send_later, &port);
	CHECK_USER_EVENT(port, 0xab);
	thread_join(&t);
	thread_start(&t, send_later, &port);
	CHECK_EQ(poll(&poller, 1, 3000), 1);
	CHECK_USER_EVENT(port, 0xab);
	thread_join(&t);
	CHECK_EQ(poll(&poller, 1, 0), 0);
	close_pipe(fds);
	CHECK_OK(close(port));
}

static void daemonized(void (*close_all)(void))
{
	int port, fds[2];
	close_all();
	check_new_port();
	port = port_create(); /* now with a port in use, associations and queued events */
	make_pair(fds);
	put(fds[1]);
	CHECK_OK(watch(port, fds[0], POLLIN));
	CHECK_OK(send_value(port, 1));
	close_all();
	CHECK_EQ(port_create(), 3);
	CHECK_EQ(pending(3), 0);
	CHECK_PORT_WORKS(3);
	CHECK_OK(close(3));
	check_new_port();
	close_all();
	check_new_port();
}

TEST(after_a_close_loop, "R4.20 T-280") { daemonized(close_loop); }
#ifdef __GLIBC__
TEST(after_close_range, "R4.20 T-061") { daemonized(close_by_range); }
TEST(after_closefrom, "R4.20 T-061") { daemonized(close_by_closefrom); }
#endif

/* Nobody tells the library: after such a close the old port's number may still look like one to it. */
static void daemonized_unseen(void (*close_all)(void))
{
	int port, fds[2];
	close_all();
	check_new_port();
	port = port_create();
	make_pair(fds);
	put(fds[1]);
	CHECK_OK(watch(port, fds[0], POLLIN));
	CHECK_OK(send_value(port, 1));
	close_all();
	check_new_port();
	make_pair(fds);
	port = port_create();
	CHECK_OK(watch(port, fds[0], POLLIN));
	put(fds[1]);
	CHECK_FD_EVENT(port, fds[0]);
	CHECK_PORT_WORKS(port);
	close_all();
	check_new_port();
}

TEST(after_raw_closes, "R4.20 R4.23") { daemonized_unseen(raw_close_loop); }
TEST(after_a_raw_close_range, "R4.20 R4.23") { daemonized_unseen(raw_close_by_range); }

static int lowest_free(void)
{
	int fd = open("/dev/null", O_RDONLY);
	CHECK(fd >= 0);
	CHECK_OK(close(fd));
	return fd;
}

/* After every step the program sees the lowest number that it would see without the library. */
TEST(lowest_number_is_the_programs, "R3.1 T-020")
{
	struct thread t;
	int low = lowest_free(), fds[2], port = port_create();
	CHECK_EQ(port, low);
	CHECK_EQ(lowest_free(), low + 1);
	make_pair(fds);
	CHECK_EQ(fds[0], low + 1);
	CHECK_EQ(lowest_free(), low + 3);
	CHECK_OK(watch(port, fds[0], POLLIN));
	CHECK_EQ(lowest_free(), low + 3);
	CHECK_OK(send_value(port, 1));
	CHECK_EQ(lowest_free(), low + 3);
	put(fds[1]);
	drain(port);
	thread_start(&t, send_later, &port);
	CHECK_USER_EVENT(port, 0xab);
	thread_join(&t);
	CHECK_EQ(lowest_free(), low + 3);
	int second = port_create();
	CHECK_EQ(second, low + 3);
	CHECK_OK(watch(second, port, POLLIN));
	CHECK_OK(port_alert(second, PORT_ALERT_SET, 1, NULL));
	CHECK_OK(port_alert(second, 0, 0, NULL));
	CHECK_EQ(lowest_free(), low + 4);
	CHECK_OK(close(port));
	CHECK_EQ(lowest_free(), low);
	CHECK_OK(close(second));
	close_pipe(fds);
	CHECK_EQ(lowest_free(), low);
	for (int i = 0; i < 20000; i++) {
		CHECK_EQ(port_create(), low);
		CHECK_OK(close(low));
	}
}

#define HELPERS_MAX 8

/* What appeared above 900 since `before` was listed. */
static int find_helpers(const struct h_fds *before, int *helpers)
{
	static struct h_fds now;
	int count = 0;
	h_list_fds(&now);
	for (int i = 0; i < now.count; i++) {
		bool known = now.fd[i] < 900;
		for (int j = 0; j < before->count; j++)
			known |= before->fd[j] == now.fd[i];
		if (!known && count < HELPERS_MAX)
			helpers[count++] = now.fd[i];
	}
	return count;
}

static int make_helpers(int *helpers)
{
	static struct h_fds before;
	h_list_fds(&before);
	check_new_port();
	int count = find_helpers(&before, helpers);
	if (count == 0)
		SKIP("the library keeps no descriptor of its own");
	CHECK(count <= 2);
	return count;
}

TEST(own_descriptors_cannot_be_closed, "R4.20 R3.1")
{
	int helpers[HELPERS_MAX], count = make_helpers(helpers);
	for (int i = 0; i < count; i++) {
		CHECK_EQ(fcntl(helpers[i], F_GETFD), FD_CLOEXEC);
		CHECK_ERR(close(helpers[i]), EBADF);
		CHECK_EQ(fcntl(helpers[i], F_GETFD), FD_CLOEXEC);
	}
	check_new_port();
#ifdef __GLIBC__
	int last = 0;
	for (int i = 0; i < count; i++)
		last = helpers[i] > last ? helpers[i] : last;
	int beyond = fcntl(0, F_DUPFD, last + 1), below = dup2(0, 899);
	close_by_range();
	CHECK_EQ(fcntl(below, F_GETFD), -1);
	CHECK_EQ(fcntl(beyond, F_GETFD), -1);
	for (int i = 0; i < count; i++)
		CHECK_EQ(fcntl(helpers[i], F_GETFD), FD_CLOEXEC);
	closefrom(3);
	for (int i = 0; i < count; i++)
		CHECK_EQ(fcntl(helpers[i], F_GETFD), FD_CLOEXEC);
#endif
	check_new_port();
}

/* A socket of the program, named by `number`: neither a byte in, nor one out, nor a flag changed. */
struct decoy {
	int number, peer, flags, fd_flags;
	struct stat identity;
};

static void decoy_place(struct decoy *d, int number, bool unseen)
{
	int fds[2];
	make_pair(fds);
	d->number = number;
	d->peer = fds[1];
	CHECK_EQ(write(d->peer, "decoy", 5), 5);
	CHECK_EQ(unseen ? raw_dup3(fds[0], number) : dup2(fds[0], number), number);
	close(fds[0]);
	d->flags = fcntl(number, F_GETFL);
	d->fd_flags = fcntl(number, F_GETFD);
	CHECK_OK(fstat(number, &d->identity));
}

static void decoy_check(struct decoy *d)
{
	struct stat now;
	char text[8];
	CHECK_OK(fstat(d->number, &now));
	CHECK(now.st_ino == d->identity.st_ino && now.st_dev == d->identity.st_dev);
	CHECK_EQ(fcntl(d->number, F_GETFL), d->flags);
	CHECK_EQ(fcntl(d->number, F_GETFD), d->fd_flags);
	CHECK_EQ(recv(d->peer, text, 8, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(recv(d->number, text, 8, MSG_DONTWAIT), 5);
	CHECK_EQ(memcmp(text, "decoy", 5), 0);
	CHECK_OK(close(d->number)); /* it is the program's, so the program can close it */
	CHECK_EQ(fcntl(d->number, F_GETFD), -1);
	close(d->peer);
}

/* The program takes the library's numbers, with and without the library seeing it. */
static void take_helpers(bool raw, bool busy)
{
	int helpers[HELPERS_MAX], count = make_helpers(helpers);
	struct decoy decoys[HELPERS_MAX];
	int port = busy ? port_create() : -1;
	if (busy)
		CHECK_OK(send_value(port, 1));
	for (int i = 0; i < count; i++) {
		if (raw)
			raw_close(helpers[i]);
		decoy_place(&decoys[i], helpers[i], raw);
	}
	for (int i = 0; i < 5; i++)
		check_new_port();
	if (busy) {
		CHECK_USER_EVENT(port, 1);
		CHECK_PORT_WORKS(port);
		CHECK_OK(close(port));
	}
	for (int i = 0; i < count; i++)
		decoy_check(&decoys[i]);
	check_new_port();
}

TEST(own_number_taken_with_dup2, "R4.20") { take_helpers(false, false); }
TEST(own_number_taken_unseen, "R4.20") { take_helpers(true, false); }
TEST(own_number_taken_with_dup2_while_busy, "R4.20") { take_helpers(false, true); }
TEST(own_number_taken_unseen_while_busy, "R4.20") { take_helpers(true, true); }

/* Every number but a few low ones is the program's socket: there is no room where the library would like to be. */
static void no_room(bool before_first_port)
{
	struct rlimit limit = { 1100, 1100 };
	int fds[2];
	char byte;
	SKIP_UNDER_VALGRIND("keeps RLIMIT_NOFILE to itself");
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	if (!before_first_port) {
		check_new_port();
		raw_close_loop();
	}
	make_pair(fds);
	for (int fd = 40; fd < 1100; fd++)
		CHECK_EQ(raw_dup3(fds[0], fd), fd);
	int port = port_create();
	if (port == -1)
		CHECK(errno == EMFILE || errno == EAGAIN || errno == ENOMEM);
	else
		check_new_port();
	CHECK_EQ(recv(fds[1], &byte, 1, MSG_DONTWAIT), -1);
	for (int fd = 40; fd < 1100; fd++) {
		CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR);
		CHECK_EQ(fcntl(fd, F_GETFD), 0);
		CHECK_EQ(raw_close(fd), 0);
	}
	CHECK_EQ(recv(fds[1], &byte, 1, MSG_DONTWAIT), -1);
	close_pipe(fds);
	if (port >= 0)
		CHECK_OK(close(port));
	raw_close_loop();
	check_new_port();
	raw_close_loop();
}

TEST(no_room_for_the_librarys_descriptor, "R3.1 R3.2") { no_room(true); }
TEST(no_room_after_raw_closes, "R3.1 R3.2") { no_room(false); }

/* A child that closes everything, as before an exec, and then makes ports anyway. */
TEST(child_closes_everything_unseen, "R4.22 T-302")
{
	struct rig r;
	rig_open(&r, true);
	for (int way = 0; way < 2; way++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (way == 0)
				raw_close_loop();
			else
				close_loop();
			check_new_port();
			_exit(0);
		}
		CHECK_EQ(wait_child(pid), 0);
	}
	rig_check_alive(&r, true);
	check_new_port();
	rig_close(&r, false);
}
