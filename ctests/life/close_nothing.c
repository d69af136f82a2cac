/*
 * Calls that fail or close nothing must purge nothing (R4.20), and a copy of a number is a number of its own.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

/* Every such call is made against a queued event and against an armed association. */
static void keeps(void (*call)(int fd))
{
	for (int ready = 0; ready <= 1; ready++) {
		struct rig r;
		rig_open(&r, ready);
		call(r.fd);
		CHECK_EQ(fcntl(r.fd, F_GETFD), 0);
		rig_check_alive(&r, ready);
		rig_close(&r, false);
	}
}

static void dup2_same(int fd) { CHECK_RET(dup2(fd, fd), fd); }
static void dup2_from_nothing(int fd)
{
	CHECK_ERR(dup2(-1, fd), EBADF);
	CHECK_ERR(dup2(4000, fd), EBADF);
}

static void dup2_beyond_limit(int fd)
{
	struct rlimit limit;
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	CHECK_ERR(dup2(fd, (int)limit.rlim_cur), EBADF);
	CHECK_ERR(dup2(fd, -1), EBADF);
	CHECK_ERR(dup2(fd, 0x7fffffff), EBADF);
}

static void dup3_same(int fd)
{
	CHECK_ERR(dup3(fd, fd, 0), EINVAL);
	CHECK_ERR(dup3(fd, fd, O_CLOEXEC), EINVAL);
}

static void dup3_bad_flags(int fd)
{
	CHECK_ERR(dup3(STDIN_FILENO, fd, O_APPEND), EINVAL);
	CHECK_ERR(dup3(STDIN_FILENO, fd, -1), EINVAL);
	CHECK_ERR(dup3(-1, fd, 0), EBADF);
}

static void close_of_nothing(int fd)
{
	CHECK_ERR(close(-1), EBADF);
	CHECK_ERR(close(fd + 2000), EBADF);
	CHECK_ERR(close(0x7fffffff), EBADF);
	CHECK_ERR(close((int)0x80000000), EBADF);
}

static void flags_only(int fd)
{
	CHECK_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
	CHECK_OK(fcntl(fd, F_SETFD, 0));
	CHECK_EQ(fcntl(fd, F_DUPFD, -1), -1);
	CHECK_EQ(fcntl(fd, F_DUPFD, 0x7fffffff), -1);
	CHECK_EQ(fcntl(fd, 9999, 0), -1);
	CHECK(fcntl(fd, F_GETFL) != -1);
}

TEST(dup2_onto_itself, "R4.20") { keeps(dup2_same); }
TEST(dup2_of_a_closed_number, "R4.20") { keeps(dup2_from_nothing); }
TEST(dup2_beyond_the_limit, "R4.20") { keeps(dup2_beyond_limit); }
TEST(dup3_onto_itself, "R4.20") { keeps(dup3_same); }
TEST(dup3_with_bad_flags, "R4.20") { keeps(dup3_bad_flags); }
TEST(close_of_closed_numbers, "R4.20") { keeps(close_of_nothing); }
TEST(fcntl_of_flags, "R4.20") { keeps(flags_only); }

/* The limit may be lowered below numbers that are in use: they can be closed but not be dup2's target. */
TEST(dup2_onto_an_open_number_beyond_the_limit, "R4.20")
{
	struct rig r;
	int fds[2];
	struct rlimit limit, low;
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	make_pair(fds);
	CHECK_RET(dup2(fds[0], 500), 500);
	rig_watch(&r, 500, fds[1], true);
	low = limit;
	low.rlim_cur = 400;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &low));
	CHECK_ERR(dup2(STDIN_FILENO, 500), EBADF);
	CHECK_ERR(dup3(STDIN_FILENO, 500, O_CLOEXEC), EBADF);
	rig_check_alive(&r, true);
	CHECK_OK(watch(r.port, 500, POLLIN));
	CHECK_EQ(pending(r.port), 1);
	CHECK_OK(close(500));
	CHECK_EQ(pending(r.port), 0);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	close(fds[0]);
	rig_close(&r, true);
}

#ifdef __GLIBC__
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

/* EPERM: a container's filter that refuses the call altogether. */
static void refused(int first, int last, int flags)
{
	errno = 0;
	CHECK_EQ(close_range((unsigned)first, (unsigned)last, flags), -1);
	CHECK(errno == EINVAL || errno == ENOSYS || errno == EPERM);
}

static void bad_close_range(int fd)
{
	refused(fd + 1, fd, 0);
	refused(fd, fd - 1, 0);
	refused(fd, fd, 1 << 30);
	refused(fd, fd, -1);
	refused(-1, 0, 0);
}

static void empty_close_range(int fd)
{
	if (close_range((unsigned)fd + 1000, ~0U, 0) == -1 && errno != ENOSYS && errno != EPERM)
		FAIL("close_range: %s", strerror(errno));
}

static void cloexec_range(int fd)
{
	if (close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_CLOEXEC) == -1)
		return; /* before Linux 5.11 */
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_OK(fcntl(fd, F_SETFD, 0));
	CHECK_OK(close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE));
	CHECK_OK(fcntl(fd, F_SETFD, 0));
}

static void closefrom_beyond(int fd) { closefrom(fd + 1000); }

TEST(close_range_with_bad_arguments, "R4.20 T-061") { keeps(bad_close_range); }
TEST(close_range_of_nothing, "R4.20 T-061") { keeps(empty_close_range); }
TEST(close_range_that_sets_flags, "R4.20 T-061") { keeps(cloexec_range); }
TEST(closefrom_of_nothing, "R4.20 T-061") { keeps(closefrom_beyond); }
#endif

static int copy_dup(int fd) { return dup(fd); }
static int copy_dupfd(int fd) { return fcntl(fd, F_DUPFD, 50); }
static int copy_dupfd_cloexec(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 50); }
static int copy_dup2(int fd) { return dup2(fd, 70); }
static int copy_dup3(int fd) { return dup3(fd, 71, O_CLOEXEC); }

static int (*const copies[])(int) = { copy_dup, copy_dupfd, copy_dupfd_cloexec, copy_dup2, copy_dup3 };
#define COPIES (int)(sizeof copies / sizeof copies[0])

/* R13.5: any copy is the same port, and outlives the number it came from. */
TEST(copy_of_a_port_is_the_port, "R13.5 T-276 T-277")
{
	for (int i = 0; i < COPIES; i++) {
		int fds[2], port = port_create(), copy = copies[i](port);
		CHECK(copy >= 0 && copy != port);
		make_pair(fds);
		CHECK_OK(send_value(copy, 7));
		CHECK_USER_EVENT(port, 7);
		CHECK_OK(watch(copy, fds[0], POLLIN));
		put(fds[1]);
		CHECK_FD_EVENT(port, fds[0]);
		CHECK_OK(send_value(port, 8));
		CHECK_OK(close(port));
		CHECK_ERR(send_value(port, 9), EBADF);
		CHECK_USER_EVENT(copy, 8);
		CHECK_OK(watch(copy, fds[0], POLLIN));
		CHECK_FD_EVENT(copy, fds[0]);
		CHECK_OK(close(copy));
		CHECK_ERR(send_value(copy, 9), EBADF);
		close_pipe(fds);
	}
}

/* R4.2: a copy of an associated number is not associated. */
TEST(copy_of_an_associated_number_is_not_associated, "R4.2 R4.21")
{
	for (int i = 0; i < COPIES; i++) {
		struct rig r;
		port_event_t list[4];
		rig_open(&r, false);
		int copy = copies[i](r.fd);
		CHECK_ERR(unwatch(r.port, copy), ENOENT);
		put(r.peer);
		CHECK_EQ(harvest(r.port, list, 4, 100), 1);
		CHECK_EQ(list[0].portev_object, r.fd);
		close(copy);
		CHECK_OK(watch(r.port, r.fd, POLLIN));
		rig_check_alive(&r, true);
		rig_close(&r, false);
	}
}

/* The copy replaces a descriptor that was associated, and a port is replaced by a plain file. */
TEST(number_changes_between_port_and_file, "R4.20 R13.5")
{
	struct rig r;
	rig_open(&r, true);
	CHECK_RET(dup2(r.port, r.fd), r.fd);
	CHECK_EQ(pending(r.fd), 0);
	CHECK_PORT_WORKS(r.fd);
	CHECK_RET(dup2(r.keep, r.fd), r.fd);
	CHECK_ERR(send_value(r.fd, 1), EBADFD);
	CHECK_ERR(unwatch(r.port, r.fd), ENOENT);
	CHECK_OK(watch(r.port, r.fd, POLLIN));
	CHECK_FD_EVENT(r.port, r.fd);
	rig_close(&r, false);
}
