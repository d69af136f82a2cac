/* Regular files, directories and devices (7.1, 7.2): what epoll refuses. */
#include "harness.h"
#include "kqueue.h"
#include <poll.h>

static int temp_file(size_t size)
{
	char path[256];
	const char *dir = getenv("TMPDIR");
	snprintf(path, sizeof path, "%s/evshim-file-XXXXXX", dir ? dir : "/tmp");
	int fd = mkstemp(path);
	CHECK(fd >= 0);
	CHECK_OK(unlink(path));
	if (size > 0)
		send_bytes(fd, size);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* The same file by another open file: its writes leave our offset alone. */
static int opened_again(int fd)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int again = open(path, O_WRONLY | O_APPEND);
	CHECK(again >= 0);
	return again;
}

TEST(offset_to_the_end, "K-147")
{
	int kq = new_kq(), fd = temp_file(10);
	add_read(kq, fd, 0, U(1));
	expect(kq, fd, EVFILT_READ, 0, 0, 10, U(1));
	expect(kq, fd, EVFILT_READ, 0, 0, 10, U(1));
	read_bytes(fd, 4);
	expect(kq, fd, EVFILT_READ, 0, 0, 6, U(1));
	read_bytes(fd, 6);
	expect_none(kq);
	CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
	expect(kq, fd, EVFILT_READ, 0, 0, 7, U(1));
	close(fd);
	expect_none(kq);
	close(kq);
}

TEST(appended_and_truncated, "K-147")
{
	int kq = new_kq(), fd = temp_file(10), again = opened_again(fd);
	add_read(kq, fd, 0, U(1));
	read_bytes(fd, 10);
	expect_none(kq);
	send_bytes(again, 5);
	expect(kq, fd, EVFILT_READ, 0, 0, 5, U(1));
	CHECK_OK(ftruncate(again, 4));
	expect(kq, fd, EVFILT_READ, 0, 0, -6, U(1));
	CHECK_OK(ftruncate(again, 10));
	expect_none(kq);
	close(again);
	close(fd);
	close(kq);
}

static void *append_later(void *arg)
{
	sleep_ms(30);
	send_bytes(*(int *)arg, 5);
	return NULL;
}

/* A sleeper for ten seconds, and 5 bytes more: it wakes at once. */
static void wakes_by_an_append(int kq, int fd, int again, unsigned flags, intptr_t data)
{
	struct sleeper s;
	struct thread t;
	long long begin = now_ms();
	sleep_in(&s, kq, 10000);
	thread_start(&t, append_later, &again);
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], fd, EVFILT_READ, flags, 0, data, U(1));
	thread_join(&t);
	CHECK(now_ms() - begin < 8000);
}

TEST_LIMIT(append_wakes_a_sleeper, "K-147", 30)
{
	int kq = new_kq(), fd = temp_file(10), again = opened_again(fd);
	add_read(kq, fd, 0, U(1));
	read_bytes(fd, 10);
	for (int i = 1; i <= 3; i++) {
		wakes_by_an_append(kq, fd, again, 0, 5);
		expect(kq, fd, EVFILT_READ, 0, 0, 5, U(1));
		read_bytes(fd, 5);
		expect_none(kq);
	}
	close(again);
	close(fd);
	close(kq);
}

TEST_LIMIT(append_wakes_by_edges, "K-147 K-087", 30)
{
	int kq = new_kq(), fd = temp_file(10), again = opened_again(fd);
	add_read(kq, fd, EV_CLEAR, U(1));
	expect(kq, fd, EVFILT_READ, EV_CLEAR, 0, 10, U(1));
	for (int i = 1; i <= 3; i++)
		wakes_by_an_append(kq, fd, again, EV_CLEAR, 10 + 5 * i);
	expect_none(kq);
	close(again);
	close(fd);
	close(kq);
}

/* Who polls the queue hears of it as well, and of nothing once the knote is gone. */
TEST(append_shows_in_poll, "K-147 K-130")
{
	int kq = new_kq(), fd = temp_file(0), again = opened_again(fd);
	struct pollfd p = { .fd = kq, .events = POLLIN };
	add_read(kq, fd, 0, U(1));
	CHECK_RET(poll(&p, 1, 0), 0);
	send_bytes(again, 2);
	CHECK_RET(poll(&p, 1, 5000), 1);
	expect(kq, fd, EVFILT_READ, 0, 0, 2, U(1));
	read_bytes(fd, 2);
	expect_none(kq);
	CHECK_RET(poll(&p, 1, 0), 0);
	drop(kq, fd, EVFILT_READ);
	send_bytes(again, 2);
	CHECK_RET(poll(&p, 1, 20), 0);
	close(again);
	close(fd);
	close(kq);
}

/* Two queues have the file, one of them by two numbers: each hears of it until the last one goes. */
TEST_LIMIT(a_file_in_two_queues, "K-147 K-069", 30)
{
	int kq = new_kq(), other = new_kq(), fd = temp_file(10), copy = opened_again(fd), again = opened_again(fd);
	add_read(kq, fd, 0, U(1));
	add_read(kq, copy, EV_DISABLE, U(2));
	add_read(other, fd, 0, U(1));
	read_bytes(fd, 10);
	wakes_by_an_append(kq, fd, again, 0, 5);
	expect(other, fd, EVFILT_READ, 0, 0, 5, U(1));
	read_bytes(fd, 5);
	close(copy);
	wakes_by_an_append(other, fd, again, 0, 5);
	read_bytes(fd, 5);
	expect_none(other);
	wakes_by_an_append(kq, fd, again, 0, 5);
	close(other);
	close(again);
	close(fd);
	expect_none(kq);
	close(kq);
}

/* A queue above one that has a file. */
TEST_LIMIT(append_reaches_the_queue_above, "K-147 K-131", 30)
{
	struct sleeper s;
	struct thread t;
	int top = new_kq(), kq = new_kq(), fd = temp_file(0), again = opened_again(fd);
	long long begin = now_ms();
	add_read(top, kq, 0, U(7));
	add_read(kq, fd, 0, U(1));
	sleep_in(&s, top, 10000);
	thread_start(&t, append_later, &again);
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], kq, EVFILT_READ, 0, 0, 1, U(7));
	thread_join(&t);
	CHECK(now_ms() - begin < 8000);
	expect(kq, fd, EVFILT_READ, 0, 0, 5, U(1));
	close(again);
	close(fd);
	close(kq);
	close(top);
}

TEST(settings_on_a_file, "K-147 K-085 K-087 K-091")
{
	int kq = new_kq(), fd = temp_file(10), again = opened_again(fd);
	add_read(kq, fd, EV_ONESHOT, U(1));
	expect(kq, fd, EVFILT_READ, EV_ONESHOT, 0, 10, U(1));
	expect_none(kq);
	CHECK_GONE(kq, fd, EVFILT_READ);
	add_read(kq, fd, EV_DISPATCH, U(2));
	expect(kq, fd, EVFILT_READ, EV_DISPATCH, 0, 10, U(2));
	expect_none(kq);
	change(kq, fd, EVFILT_READ, EV_ENABLE, 0, 0, U(2));
	expect(kq, fd, EVFILT_READ, EV_DISPATCH, 0, 10, U(2));
	drop(kq, fd, EVFILT_READ);
	add_read(kq, fd, EV_CLEAR, U(3));
	expect(kq, fd, EVFILT_READ, EV_CLEAR, 0, 10, U(3));
	expect_none(kq);
	send_bytes(again, 5);
	expect(kq, fd, EVFILT_READ, EV_CLEAR, 0, 15, U(3));
	expect_none(kq);
	close(again);
	close(fd);
	close(kq);
}

TEST(two_descriptors_of_a_file, "K-147 6.2")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fd = temp_file(10), copy = dup(fd);
	add_read(kq, fd, 0, U(1));
	add_read(kq, copy, 0, U(2));
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	close(fd);
	expect(kq, copy, EVFILT_READ, 0, 0, 10, U(2));
	read_bytes(copy, 10);
	expect_none(kq);
	close(copy);
	close(kq);
}

TEST(file_poll, "K-148")
{
	int kq = new_kq(), fd = temp_file(3);
	change(kq, fd, EVFILT_READ, EV_ADD, NOTE_FILE_POLL, 0, U(1));
	expect(kq, fd, EVFILT_READ, 0, 0, 3, U(1));
	read_bytes(fd, 3);
	expect(kq, fd, EVFILT_READ, 0, 0, 0, U(1));
	expect(kq, fd, EVFILT_READ, 0, 0, 0, U(1));
	close(fd);
	close(kq);
}

TEST(devices_that_are_always_ready, "K-149")
{
	const char *names[] = { "/dev/null", "/dev/zero", "/dev/urandom" };
	int kq = new_kq();
	for (int i = 0; i < 3; i++) {
		int fd = open(names[i], O_RDWR | O_CLOEXEC);
		if (fd < 0)
			fd = open(names[i], O_RDONLY | O_CLOEXEC);
		CHECK(fd >= 0);
		add_read(kq, fd, 0, U(i));
		expect(kq, fd, EVFILT_READ, 0, 0, 0, U(i));
		expect(kq, fd, EVFILT_READ, 0, 0, 0, U(i));
		drop(kq, fd, EVFILT_READ);
		add_write(kq, fd, 0, U(i));
		expect(kq, fd, EVFILT_WRITE, 0, 0, ANY, U(i));
		close(fd);
		expect_none(kq);
	}
	close(kq);
}

TEST(directory, "K-158")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fd = open("/", O_RDONLY | O_DIRECTORY);
	int error = try_change(kq, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, U(1));
	CHECK(error == 0 || error == EINVAL);
	CHECK(harvest(kq, list, ROOM) <= 1);
	close(fd);
	expect_none(kq);
	close(kq);
}

TEST(writing_to_a_file, "K-167")
{
	int kq = new_kq(), fd = temp_file(0);
	add_write(kq, fd, 0, U(1));
	expect(kq, fd, EVFILT_WRITE, 0, 0, 0, U(1));
	send_bytes(fd, 100);
	expect(kq, fd, EVFILT_WRITE, 0, 0, 0, U(1));
	close(fd);
	expect_none(kq);
	close(kq);
}
