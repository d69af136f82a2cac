/* Regular files, directories and devices (7.1, 7.2): what epoll refuses. */
#include "harness.h"
#include "kqueue.h"

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

TEST(append_wakes_a_sleeper, "K-147")
{
	struct sleeper s;
	struct thread t;
	int kq = new_kq(), fd = temp_file(10), again = opened_again(fd);
	add_read(kq, fd, 0, U(1));
	read_bytes(fd, 10);
	sleep_in(&s, kq, 5000);
	thread_start(&t, append_later, &again);
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], fd, EVFILT_READ, 0, 0, 5, U(1));
	thread_join(&t);
	close(again);
	close(fd);
	close(kq);
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
