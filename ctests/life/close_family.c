/*
 * Every way of giving up a descriptor number ends its associations (R4.20 to R4.23), although a duplicate keeps
 * the open file alive. Calls that close nothing are in close_nothing.c, those of the C library in close_libc.c.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

static int spare(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

/* Runs one way of giving the number up against a queued event and against an armed association. */
static void purges(void (*give_up)(int fd), bool reused)
{
	for (int ready = 0; ready <= 1; ready++) {
		struct rig r;
		rig_open(&r, ready);
		give_up(r.fd);
		CHECK_EQ(fcntl(r.fd, F_GETFD) != -1, reused);
		rig_check_purged(&r);
		if (reused)
			close(r.fd);
		rig_close(&r, true);
	}
}

static void by_close(int fd) { CHECK_OK(close(fd)); }

static void by_dup2(int fd)
{
	int other = spare();
	CHECK_RET(dup2(other, fd), fd);
	close(other);
}

static void by_dup3(int fd)
{
	int other = spare();
	CHECK_RET(dup3(other, fd, O_CLOEXEC), fd);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(other);
}

TEST(close_purges, "R4.20 T-054 T-057") { purges(by_close, false); }
TEST(dup2_purges, "R4.20 T-058") { purges(by_dup2, true); }
TEST(dup3_purges, "R4.20 T-058") { purges(by_dup3, true); }

#ifdef __GLIBC__
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#endif

static void by_close_range(int fd) { CHECK_OK(close_range((unsigned)fd, (unsigned)fd, 0)); }
static void by_close_range_unshare(int fd)
{
	CHECK_OK(close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_UNSHARE));
}

static void need_close_range(void)
{
	errno = 0;
	if (close_range(~0U, ~0U, 0) == -1 && errno != EINVAL)
		SKIP("close_range is not available");
}

TEST(close_range_purges, "R4.20 T-061")
{
	need_close_range();
	purges(by_close_range, false);
}

TEST(close_range_unshare_purges, "R4.20 T-061")
{
	need_close_range();
	purges(by_close_range_unshare, false);
}

/* Two of three numbers lie in the range; the one outside keeps its association. */
TEST(close_range_is_exact, "R4.20 R4.21 T-061")
{
	int fds[2], port = port_create();
	need_close_range();
	make_pair(fds);
	for (int fd = 300; fd <= 302; fd++) {
		CHECK_RET(dup2(fds[0], fd), fd);
		CHECK_OK(watch(port, fd, POLLIN));
	}
	put(fds[1]);
	CHECK_EQ(pending(port), 3);
	CHECK_OK(close_range(301, 302, 0));
	CHECK_EQ(pending(port), 1);
	CHECK_FD_EVENT(port, 300);
	CHECK_EQ(pending(port), 0);
	close(300);
	close_pipe(fds);
	close(port);
}

/* Everything above the port goes, beyond any table's end, too. */
TEST(closefrom_purges, "R4.20 T-061")
{
	for (int ready = 0; ready <= 1; ready++) {
		struct rig r;
		rig_open(&r, ready);
		CHECK_RET(dup2(r.fd, 600), 600);
		CHECK_OK(watch(r.port, 600, POLLIN));
		CHECK_EQ(pending(r.port), ready ? 2 : 0);
		closefrom(600);
		CHECK_EQ(fcntl(600, F_GETFD), -1);
		CHECK_EQ(pending(r.port), ready ? 1 : 0);
		CHECK_ERR(unwatch(r.port, 600), EBADFD);
		rig_check_alive(&r, ready);
		rig_close(&r, false);
	}
}
#endif

/* A number closed and opened again names something new, in whatever way it was closed. */
TEST(reused_number_is_new, "R4.23 T-059")
{
	void (*const ways[])(int) = { by_close, by_dup2, by_dup3 };
	for (int way = 0; way < 3; way++) {
		struct rig r;
		int fds[2];
		rig_open(&r, true);
		make_pair(fds);
		ways[way](r.fd);
		CHECK_RET(dup2(fds[0], r.fd), r.fd);
		CHECK_ERR(unwatch(r.port, r.fd), ENOENT);
		put(fds[1]);
		CHECK_EQ(pending(r.port), 0);
		CHECK_OK(watch(r.port, r.fd, POLLIN));
		CHECK_FD_EVENT(r.port, r.fd);
		take(r.fd);
		CHECK_OK(watch(r.port, r.fd, POLLIN));
		put(r.peer); /* the old file must not show through the new number */
		CHECK_EQ(pending(r.port), 0);
		CHECK_OK(unwatch(r.port, r.fd));
		close_pipe(fds);
		rig_close(&r, false);
	}
}

TEST(one_close_reaches_every_port, "R4.20 T-281")
{
	int fds[2], keep, ports[100];
	make_pair(fds);
	keep = dup(fds[0]);
	put(fds[1]);
	for (int i = 0; i < 100; i++) {
		ports[i] = port_create();
		CHECK_OK(watch(ports[i], fds[0], POLLIN));
		CHECK_EQ(pending(ports[i]), 1);
	}
	CHECK_OK(close(fds[0]));
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(pending(ports[i]), 0);
		CHECK_PORT_WORKS(ports[i]);
		CHECK_OK(close(ports[i]));
	}
	close(keep);
	close(fds[1]);
}

TEST(close_of_a_duplicate_changes_nothing, "R4.21 T-056")
{
	for (int ready = 0; ready <= 1; ready++) {
		struct rig r;
		rig_open(&r, ready);
		CHECK_OK(close(r.keep));
		rig_check_alive(&r, ready);
		rig_close(&r, false);
	}
}

/* Only the number that is given up goes: its queued event disappears from between its neighbours. */
TEST(purge_keeps_the_order_of_the_others, "R4.20 R2.1")
{
	int a[2], b[2], c[2], port = port_create();
	port_event_t list[8];
	make_pair(a);
	make_pair(b);
	make_pair(c);
	int keep = dup(b[0]);
	put(a[1]);
	put(b[1]);
	put(c[1]);
	CHECK_OK(watch(port, a[0], POLLIN));
	CHECK_OK(send_value(port, 1));
	CHECK_OK(watch(port, b[0], POLLIN));
	CHECK_OK(send_value(port, 2));
	CHECK_OK(watch(port, c[0], POLLIN));
	CHECK_EQ(pending(port), 5);
	CHECK_OK(close(b[0]));
	CHECK_EQ(pending(port), 4);
	CHECK_EQ(harvest(port, list, 8, 0), 4);
	CHECK_EQ(list[0].portev_object, a[0]);
	CHECK_EQ((uintptr_t)list[1].portev_user, 1);
	CHECK_EQ((uintptr_t)list[2].portev_user, 2);
	CHECK_EQ(list[3].portev_object, c[0]);
	close(keep);
	close(b[1]);
	close_pipe(a);
	close_pipe(c);
	close(port);
}

/* The slot of a purged association is free again, whether its event was armed, queued or already taken. */
TEST(purge_frees_the_slot, "R2.2 R4.20")
{
	int port = port_create();
	for (int i = 0; i < 70000; i++) {
		int fds[2];
		make_pipe(fds);
		if (i % 2)
			put(fds[1]);
		if (watch(port, fds[0], POLLIN) != 0)
			FAIL("association %d: %s", i, strerror(errno));
		if (i % 4 == 3)
			CHECK_FD_EVENT(port, fds[0]);
		close_pipe(fds);
	}
	CHECK_EQ(pending(port), 0);
	close(port);
}

/* A regular file is always ready and no epoll set ever sees it (R4.8): it still has to go. */
TEST(close_purges_a_regular_file, "R4.20 R4.8")
{
	FILE *file = tmpfile();
	int port = port_create();
	if (file == NULL)
		SKIP("no directory for a temporary file");
	int fd = fileno(file), keep = dup(fd);
	CHECK_OK(watch(port, fd, POLLIN));
	CHECK_EQ(pending(port), 1);
	CHECK_OK(fclose(file));
	CHECK_EQ(pending(port), 0);
	CHECK_ERR(unwatch(port, fd), EBADFD);
	CHECK_OK(watch(port, keep, POLLIN));
	CHECK_FD_EVENT(port, keep);
	CHECK_RET(dup2(port, keep), keep); /* the port takes the place of the file */
	CHECK_PORT_WORKS(keep);
	close(keep);
	close(port);
}
