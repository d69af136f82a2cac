/* The queue as a descriptor (section 2). What fork and exec make of it is in kq_process.c. */
#include "harness.h"
#include "kqueue.h"
#include <sys/ioctl.h>
#include <sys/stat.h>

static int open_fds(void)
{
	static struct h_fds fds;
	h_list_fds(&fds);
	return fds.count;
}

/* A queue with a knote of each filter, some of them active. */
static int busy_kq(int fds[2])
{
	int kq = new_kq();
	add_read(kq, fds[0], 0, U(1));
	add_write(kq, fds[1], EV_CLEAR, U(2));
	add_user(kq, 3, 0, U(3));
	trigger(kq, 3, U(3));
	change(kq, 4, EVFILT_TIMER, EV_ADD, 0, 1, U(4));
	change(kq, 5, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_SECONDS, 1000, U(5));
	change(kq, 6, EVFILT_TIMER, EV_ADD, NOTE_ABSTIME, 1, U(6));
	return kq;
}

TEST(lowest_free_number, "K-010")
{
	int a = dup(0), b = dup(0), c = dup(0);
	CHECK(a < b && b < c);
	close(a);
	close(b);
	int first = new_kq(), second = new_kq();
	CHECK_EQ(first, a);
	CHECK_EQ(second, b);
	close(first);
	close(second);
	close(c);
}

TEST(no_descriptor_left, "K-010 K-303")
{
	struct rlimit limit, low;
	int first = new_kq(), next = closed_fd();
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	low = limit;
	low.rlim_cur = (rlim_t)next;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &low));
	CHECK_ERR(kqueue(), EMFILE);
	CHECK_ERR(kqueue1(O_CLOEXEC), EMFILE);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	int second = new_kq();
	CHECK_EQ(second, next);
	add_user(second, 1, EV_CLEAR, U(1));
	trigger(second, 1, U(1));
	expect(second, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(1));
	close(first);
	close(second);
}

TEST(close_on_exec, "K-011")
{
	int plain = new_kq(), none = kqueue1(0), set = kqueue1(O_CLOEXEC);
	CHECK_EQ(fcntl(plain, F_GETFD), 0);
	CHECK_EQ(fcntl(none, F_GETFD), 0);
	CHECK_EQ(fcntl(set, F_GETFD), FD_CLOEXEC);
	CHECK_ERR(kqueue1(O_APPEND), EINVAL);
	CHECK_ERR(kqueue1(O_CLOEXEC | O_TRUNC), EINVAL);
	CHECK_ERR(kqueue1(-1), EINVAL);
	close(plain);
	close(none);
	close(set);
}

TEST(kqueuex, "K-011")
{
	int plain = kqueuex(0), set = kqueuex(KQUEUE_CLOEXEC);
	CHECK_EQ(fcntl(plain, F_GETFD), 0);
	CHECK_EQ(fcntl(set, F_GETFD), FD_CLOEXEC);
	add_user(set, 1, 0, U(1));
	CHECK_ERR(kqueuex(0x80), EINVAL);
	close(plain);
	close(set);
}

TEST(non_blocking_queue_sleeps_all_the_same, "K-012")
{
	struct sleeper s;
	int kq = kqueue1(O_NONBLOCK);
	CHECK(kq >= 0);
	add_user(kq, 1, EV_CLEAR, U(1));
	sleep_in(&s, kq, -1);
	trigger(kq, 1, U(2));
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], 1, EVFILT_USER, EV_CLEAR, 0, 0, U(2));
	close(kq);
}

TEST(read_write_and_seek, "K-013")
{
	char byte = 'x';
	int kq = new_kq();
	add_user(kq, 1, 0, U(1));
	trigger(kq, 1, U(1));
	CHECK_ERR2(read(kq, &byte, 1), ENXIO, EOPNOTSUPP);
	CHECK_ERR2(write(kq, &byte, 1), ENXIO, EOPNOTSUPP);
	CHECK_EQ(lseek(kq, 0, SEEK_CUR), -1);
	expect(kq, 1, EVFILT_USER, 0, 0, 0, U(1));
	close(kq);
}

TEST(fstat_shows_a_fifo, "K-014")
{
	struct stat st;
	int kq = new_kq();
	memset(&st, 0, sizeof st);
	CHECK_OK(fstat(kq, &st));
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(st.st_size, 0);
	close(kq);
}

TEST(duplicates_are_one_queue, "K-018")
{
	int kq = new_kq(), fds[2];
	int copies[] = { dup(kq), fcntl(kq, F_DUPFD, 50), fcntl(kq, F_DUPFD_CLOEXEC, 60), dup2(kq, 70),
		dup3(kq, 71, O_CLOEXEC) };
	make_pipe(fds);
	for (int i = 0; i < 5; i++) {
		CHECK(copies[i] >= 0);
		add_user(copies[i], i, EV_CLEAR, U(i));
		trigger(kq, i, U(i));
		expect(copies[i], i, EVFILT_USER, EV_CLEAR, 0, 0, U(i));
		add_read(i % 2 ? kq : copies[i], fds[0], 0, U(i));
		put(fds[1]);
		expect(i % 2 ? copies[i] : kq, fds[0], EVFILT_READ, 0, 0, 1, U(i));
		take(fds[0]);
	}
	CHECK_OK(close(kq));
	CHECK_ERR(kevent(kq, NULL, 0, NULL, 0, NULL), EBADF);
	for (int i = 0; i < 5; i++) {
		put(fds[1]);
		expect(copies[i], fds[0], EVFILT_READ, 0, 0, 1, U(4));
		take(fds[0]);
		CHECK_OK(close(copies[i]));
	}
	close_pipe(fds);
}

TEST(close_releases_everything, "K-018 K-019")
{
	int fds[2];
	make_pipe(fds);
	put(fds[1]);
	close(busy_kq(fds)); /* what the library keeps for the process is open from now on */
	int before = open_fds();
	for (int round = 0; round < 3; round++) {
		int kq = busy_kq(fds), copy = dup(kq);
		struct kevent list[ROOM];
		if (round > 0)
			CHECK(harvest(kq, list, ROOM) > 0);
		CHECK_OK(close(kq));
		CHECK(open_fds() > before);
		CHECK_OK(close(copy));
		CHECK_EQ(open_fds(), before);
	}
	close_pipe(fds);
}

static long resident_kb(void)
{
	char line[128];
	long pages = 0;
	CHECK(h_read_line("/proc/self/statm", line, sizeof line));
	CHECK_EQ(sscanf(line, "%*d %ld", &pages), 1);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int thread_count(void)
{
	int count = 0;
	DIR *dir = opendir("/proc/self/task");
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

TEST_LIMIT(many_lives_of_a_queue, "K-019 K-020", 30)
{
	int threads = thread_count(); /* a sanitizer may have one of its own */
	int rounds = 1000, before = 0, fds[2];
	long memory = 0;
	make_pipe(fds);
	put(fds[1]);
	for (int i = 0; i < 2 * rounds; i++) {
		if (i == rounds) { /* caches are full, the allocator has grown to its size */
			before = open_fds();
			memory = resident_kb();
		}
		struct kevent list[ROOM];
		int kq = busy_kq(fds);
		if (i % 2 == 0)
			CHECK(harvest(kq, list, ROOM) > 0);
		CHECK_OK(close(kq));
	}
	CHECK_EQ(open_fds(), before);
	CHECK_EQ(thread_count(), threads);
	if (slow() == 1)
		CHECK(resident_kb() - memory < 1024);
	close_pipe(fds);
}

TEST(number_of_a_closed_queue, "K-021 K-030")
{
	struct kevent ev = kev(1, EVFILT_USER, EV_ADD, 0, 0, NULL);
	int kq = new_kq();
	add_user(kq, 1, 0, U(1));
	trigger(kq, 1, U(1));
	CHECK_OK(close(kq));
	CHECK_EQ(open("/dev/null", O_RDWR), kq);
	CHECK_ERR(kevent(kq, NULL, 0, &ev, 1, ZERO_TIMEOUT), EBADF);
	CHECK_ERR(kevent(kq, &ev, 1, NULL, 0, NULL), EBADF);
	close(kq);
	int again = new_kq();
	CHECK_EQ(again, kq);
	expect_none(again);
	CHECK_GONE(again, 1, EVFILT_USER);
	close(again);
}

TEST(number_of_a_queue_replaced_by_dup2, "K-021")
{
	struct kevent ev;
	int kq = new_kq();
	add_user(kq, 1, 0, U(1));
	trigger(kq, 1, U(1));
	CHECK_EQ(dup2(STDOUT_FILENO, kq), kq);
	CHECK_ERR(kevent(kq, NULL, 0, &ev, 1, ZERO_TIMEOUT), EBADF);
	close(kq);
}

TEST(other_requests_of_ioctl, "K-022")
{
	int kq = new_kq();
	unsigned char space[64] = { 0 };
	CHECK_ERR2(ioctl(kq, TIOCGWINSZ, space), ENOTTY, EINVAL);
	close(kq);
}
