/* Objects that are always ready: regular files, directories (R4.8). */
#include "harness.h"
#include "events.h"

/* The whole life of an association, without any activity. */
static void check_always_ready(int fd)
{
	int port = new_port();
	port_event_t pe;
	watch(port, fd, POLLIN | POLLOUT | POLLRDNORM, USER(1));
	CHECK_EQ(pending(port), 1);
	pe = get_one(port);
	is_fd(&pe, fd, POLLIN | POLLOUT | POLLRDNORM, USER(1));
	CHECK_EQ(pe.portev_events, POLLIN | POLLOUT | POLLRDNORM);
	CHECK_ERR(unwatch(port, fd), ENOENT);
	expect_none(port);
	watch(port, fd, POLLIN, USER(2));
	watch(port, fd, POLLIN, USER(3));
	pe = get_one(port);
	CHECK_EQ(pe.portev_events, POLLIN);
	CHECK_EQ((uintptr_t)pe.portev_user, (uintptr_t)USER(3));
	expect_none(port);
	watch(port, fd, POLLIN, USER(4));
	CHECK_OK(unwatch(port, fd));
	expect_none(port);
	watch(port, fd, 0, USER(5));
	expect_none(port);
	watch(port, fd, POLLPRI, USER(6));
	expect_none(port);
	CHECK_OK(unwatch(port, fd));
	for (int i = 0; i < 100; i++) {
		watch(port, fd, POLLIN, USER(i));
		get_fd(port, fd, POLLIN, USER(i));
	}
	watch(port, fd, POLLIN, USER(7));
	CHECK_OK(port_send(port, 8, USER(8)));
	CHECK_OK(close(fd));
	get_user(port, 8, USER(8));
	expect_none(port);
	close(port);
}

TEST(regular_file, "T-052 R4.8")
{
	char path[] = "/tmp/evshim-file-XXXXXX";
	int fd = mkstemp(path);
	CHECK(fd >= 0);
	unlink(path);
	check_always_ready(fd);
}

TEST(regular_file_read_only, "T-052 R4.8")
{
	int fd = open("/proc/self/exe", O_RDONLY);
	CHECK(fd >= 0);
	check_always_ready(fd);
}

TEST(directory, "T-053 R4.8")
{
	int fd = open("/", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0);
	check_always_ready(fd);
}

TEST(null_device, "R4.8")
{
	int fd = open("/dev/null", O_RDWR);
	CHECK(fd >= 0);
	check_always_ready(fd);
}

TEST(always_ready_wakes_a_poller, "R4.8 R13.1")
{
	int port = new_port(), fd = open("/", O_RDONLY | O_DIRECTORY);
	struct pollfd p = { port, POLLIN, 0 };
	watch(port, fd, POLLIN, USER(1));
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK(p.revents & POLLIN);
	get_fd(port, fd, POLLIN, USER(1));
	CHECK_EQ(poll(&p, 1, 0), 0);
	close(fd);
	close(port);
}
