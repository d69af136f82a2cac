/* A watched descriptor is closed (6.2): its knotes go, silently, and those of no other. */
#include "harness.h"
#include "kqueue.h"
#include "closing.h"

TEST(close_removes, "K-120 K-121")
{
	struct rig r;
	for (int ready = 0; ready < 2; ready++) {
		rig_open(&r, ready);
		CHECK_OK(close(r.fd));
		rig_purged(&r);
		rig_close(&r);
	}
}

TEST(last_close_removes, "K-120")
{
	int kq = new_kq(), fds[2];
	signal(SIGPIPE, SIG_IGN);
	for (int ready = 0; ready < 2; ready++) {
		make_pipe(fds);
		add_read(kq, fds[0], 0, U(1));
		if (ready)
			put(fds[1]);
		CHECK_OK(close(fds[0]));
		CHECK_ERR(write(fds[1], "x", 1), EPIPE);
		expect_none(kq);
		CHECK_EQ(try_change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), EBADF);
		close(fds[1]);
	}
	close(kq);
}

TEST(duplicates_have_knotes_of_their_own, "K-121")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	int copy = dup(fds[0]);
	add_read(kq, fds[0], 0, U(1));
	add_read(kq, copy, 0, U(2));
	CHECK_OK(close(fds[0]));
	put(fds[1]);
	expect(kq, copy, EVFILT_READ, 0, 0, 1, U(2));
	CHECK_EQ(dup2(copy, fds[0]), fds[0]); /* the same file at the old number: no knote comes back */
	expect(kq, copy, EVFILT_READ, 0, 0, 1, U(2));
	CHECK_GONE(kq, fds[0], EVFILT_READ);
	CHECK_OK(close(copy));
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

TEST(number_taken_by_another_file, "K-122")
{
	int kq = new_kq(), old[2], new[2];
	make_pair(old);
	int keep = dup(old[0]);
	add_read(kq, old[0], EV_CLEAR, U(1));
	put(old[1]);
	CHECK_OK(close(old[0]));
	make_pair(new);
	CHECK_EQ(new[0], old[0]);
	expect_none(kq);
	CHECK_GONE(kq, new[0], EVFILT_READ);
	add_read(kq, new[0], 0, U(2));
	put(old[1]);
	expect_none(kq);
	send_bytes(new[1], 7);
	expect(kq, new[0], EVFILT_READ, 0, 0, 7, U(2));
	close(keep);
	close(old[1]);
	close_pipe(new);
	close(kq);
}

/* As a program does it that also runs on kernels without the call. */
static void close_a_range(int fd)
{
	if (close_range((unsigned)fd, (unsigned)fd, 0) != 0) {
		CHECK(errno == ENOSYS || errno == EPERM);
		CHECK_OK(close(fd));
	}
}

/* One way to replace or close r->fd after another. */
static void goes(struct rig *r, int way, int other)
{
	FILE *stream;
	switch (way) {
	case 0: CHECK_EQ(dup2(other, r->fd), r->fd); break;
	case 1: CHECK_EQ(dup3(other, r->fd, O_CLOEXEC), r->fd); break;
	case 2: close_a_range(r->fd); break;
	case 3: CHECK_OK(fclose(fdopen(r->fd, "r"))); break;
	case 4:
		stream = freopen("/dev/null", "r", fdopen(r->fd, "r"));
		CHECK(stream != NULL);
		fclose(stream);
		break;
	default: FAIL("no such way");
	}
}

TEST(other_ways_to_close, "K-123 K-126")
{
	struct rig r;
	int other[2];
	make_pair(other);
	put(other[1]);
	for (int i = 0; i < 10; i++) {
		rig_open(&r, i % 2);
		goes(&r, i / 2, other[0]);
		rig_purged(&r);
		if (i / 2 < 2) {
			add_read(r.kq, r.fd, 0, U(9));
			expect(r.kq, r.fd, EVFILT_READ, 0, 0, 1, U(9));
			close(r.fd);
			expect_none(r.kq);
		}
		rig_close(&r);
	}
	close_pipe(other);
}

TEST(dup2_onto_itself_is_no_close, "K-123")
{
	struct rig r;
	rig_open(&r, true);
	CHECK_EQ(dup2(r.fd, r.fd), r.fd);
	expect(r.kq, r.fd, EVFILT_READ, 0, 0, 1, U(1));
	CHECK_ERR(dup2(999999, r.fd), EBADF);
	expect(r.kq, r.fd, EVFILT_READ, 0, 0, 1, U(1));
	close(r.fd);
	rig_close(&r);
}

/* A range that is only marked close-on-exec, and closefrom. */
TEST(close_range_and_closefrom, "K-126")
{
	struct rig r;
	rig_open(&r, true);
	if (close_range((unsigned)r.fd, (unsigned)r.fd, CLOSE_RANGE_CLOEXEC) != 0)
		CHECK(errno == ENOSYS || errno == EPERM || errno == EINVAL);
	expect(r.kq, r.fd, EVFILT_READ, 0, 0, 1, U(1));
	int high = fcntl(r.fd, F_DUPFD, 700);
	add_read(r.kq, high, 0, U(7));
	struct kevent list[ROOM];
	CHECK_EQ(harvest(r.kq, list, ROOM), 2);
	closefrom(700);
	expect(r.kq, r.fd, EVFILT_READ, 0, 0, 1, U(1));
	CHECK_EQ(try_change(r.kq, (uintptr_t)high, EVFILT_READ, EV_DELETE, 0, 0, NULL), EBADF);
	close(r.fd);
	rig_close(&r);
}

TEST(every_queue_forgets_it, "K-120 6.2")
{
	struct rig r;
	int more[3], copy;
	rig_open(&r, true);
	for (int i = 0; i < 3; i++) {
		more[i] = new_kq();
		add_read(more[i], r.fd, i == 1 ? EV_CLEAR : 0, U(i));
	}
	copy = dup(more[2]);
	close(r.fd);
	rig_purged(&r);
	for (int i = 0; i < 3; i++) {
		expect_none(more[i]);
		close(more[i]);
	}
	expect_none(copy);
	close(copy);
	rig_close(&r);
}

/* The library holds no reference: the other side sees the end at once. */
TEST(peer_sees_the_end, "K-127")
{
	char byte;
	int kq = new_kq(), pair[2], fds[2];
	signal(SIGPIPE, SIG_IGN);
	make_pair(pair);
	add_read(kq, pair[0], 0, U(1));
	add_write(kq, pair[0], EV_CLEAR, U(2));
	CHECK_OK(close(pair[0]));
	CHECK_RET(read(pair[1], &byte, 1), 0);
	make_pipe(fds);
	add_write(kq, fds[1], 0, U(3));
	CHECK_OK(close(fds[1]));
	CHECK_RET(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(4));
	CHECK_OK(close(fds[0]));
	CHECK_ERR(write(fds[1], "x", 1), EPIPE);
	close(fds[1]);
	expect_none(kq);
	close(pair[1]);
	close(kq);
}

/* ------------------------------------------------------------------ under other threads */

static struct {
	int kq, fd, stop;
	long wrong;
} race;

static void *changes_race(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&race.stop, __ATOMIC_ACQUIRE)) {
		struct kevent list[ROOM], add = kev((uintptr_t)race.fd, EVFILT_READ, EV_ADD, 0, 0, U(1));
		int got = kevent(race.kq, &add, 1, list, 1, ZERO_TIMEOUT);
		if (got == 1 && (list[0].flags & EV_ERROR) && list[0].data != EBADF)
			race.wrong++;
		if (got < 0)
			race.wrong++;
	}
	return NULL;
}

TEST_LIMIT(close_in_another_thread, "K-124", 20)
{
	struct thread t;
	int pair[2];
	race.kq = new_kq();
	make_pair(pair);
	put(pair[1]);
	race.fd = dup(pair[0]);
	close(race.fd);
	thread_start(&t, changes_race, NULL);
	for (int i = 0; i < (slow() > 1 ? 200 : 3000); i++) {
		int fd = dup(pair[0]);
		CHECK_EQ(fd, race.fd);
		if (i % 8 == 0)
			sched_yield();
		CHECK_OK(close(fd));
	}
	__atomic_store_n(&race.stop, 1, __ATOMIC_RELEASE);
	thread_join(&t);
	CHECK_EQ(race.wrong, 0);
	expect_none(race.kq);
	close_pipe(pair);
	close(race.kq);
}

TEST(close_under_a_sleeper, "K-124 K-120")
{
	struct sleeper s;
	struct rig r;
	rig_open(&r, false);
	drop(r.kq, r.fd, EVFILT_WRITE);
	add_user(r.kq, 5, EV_CLEAR, U(5));
	sleep_in(&s, r.kq, -1);
	CHECK_OK(close(r.fd));
	put(r.peer);
	sleep_ms(30);
	CHECK(!thread_done(&s.thread));
	trigger(r.kq, 5, U(5));
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], 5, EVFILT_USER, EV_CLEAR, 0, 0, U(5));
	rig_purged(&r);
	rig_close(&r);
}

/* Thousands of lives of one number, with the open file living on. */
TEST_LIMIT(no_ghosts, "K-301", 30)
{
	struct timespec used;
	int kq = new_kq(), pair[2], rounds = slow() > 1 ? 500 : 10000;
	make_pair(pair);
	put(pair[1]);
	int other = dup(pair[0]);
	for (int i = 0; i < rounds; i++) {
		int fd = dup(pair[0]);
		add_read(kq, fd, i % 2 ? EV_CLEAR : 0, U(i));
		if (i % 3 == 0)
			expect(kq, fd, EVFILT_READ, i % 2 ? EV_CLEAR : 0, 0, 1, U(i));
		CHECK_OK(close(fd));
		if (i % 5 == 0)
			expect_none(kq);
	}
	expect_none(kq);
	struct kevent list[ROOM];
	CHECK_RET(kevent(kq, NULL, 0, list, ROOM, TIMEOUT_MS(100)), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	CHECK(used.tv_sec < 10 * slow());
	close(other);
	close_pipe(pair);
	close(kq);
}
