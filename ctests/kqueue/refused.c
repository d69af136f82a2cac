/* What the host refuses to watch leaves the queue as it was (K-303), whatever comes next. */
#include "harness.h"
#include "kqueue.h"
#include <sys/epoll.h>

/* Descriptors that epoll refuses: without a file operation to poll with, and a set that holds the queue itself. */
static int refused(int kq, int kind)
{
	int fd = kind == 0 ? open("/", O_PATH) : epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	CHECK(fd >= 0);
	if (kind == 1)
		CHECK_OK(epoll_ctl(fd, EPOLL_CTL_ADD, kq, &event));
	return fd;
}

static void refuse(int kq, int fd, int kind)
{
	CHECK_EQ(try_change(kq, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, U(1)), kind == 0 ? EBADF : ELOOP);
	CHECK_EQ(try_change(kq, (uintptr_t)fd, EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
}

TEST(others_work_after_a_refusal, "K-303 K-122")
{
	for (int kind = 0; kind < 2; kind++) {
		int kq = new_kq(), fd = refused(kq, kind), fds[2];
		refuse(kq, fd, kind);
		refuse(kq, fd, kind);
		make_pair(fds);
		add_read(kq, fds[0], 0, U(2));
		add_write(kq, fds[0], EV_CLEAR, U(3));
		expect(kq, fds[0], EVFILT_WRITE, EV_CLEAR, 0, SOME, U(3));
		put(fds[1]);
		expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(2));
		refuse(kq, fd, kind);
		close_pipe(fds);
		close(fd);
		close(kq);
	}
}

TEST(number_of_a_refused_descriptor_is_used_again, "K-303 K-122")
{
	for (int kind = 0; kind < 2; kind++) {
		int kq = new_kq(), fd = refused(kq, kind), fds[2];
		refuse(kq, fd, kind);
		close(fd);
		make_pair(fds);
		CHECK_EQ(fds[0], fd);
		add_read(kq, fd, 0, U(1));
		add_write(kq, fd, EV_CLEAR, U(2));
		expect(kq, fd, EVFILT_WRITE, EV_CLEAR, 0, SOME, U(2));
		put(fds[1]);
		expect(kq, fd, EVFILT_READ, 0, 0, 1, U(1));
		close_pipe(fds);
		close(kq);
	}
}
