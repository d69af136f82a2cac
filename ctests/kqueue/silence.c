/* Where nothing has happened nothing is told: neither by kevent() nor by poll(2) on the queue. */
#include "harness.h"
#include "kqueue.h"
#include "inet.h"

static void check_silence(int kq)
{
	struct pollfd p = { .fd = kq, .events = POLLIN };
	CHECK_RET(poll(&p, 1, 0), 0);
	expect_none(kq);
	CHECK_RET(poll(&p, 1, 0), 0);
}

/* Files and devices that are always ready: once for EV_CLEAR, and again after a change. */
TEST(always_ready_and_cleared, "K-090 K-147")
{
	char path[] = "/tmp/evshim-silence-XXXXXX";
	int file = mkstemp(path), kq = new_kq();
	CHECK(file >= 0);
	int fds[] = { file, open("/dev/null", O_RDWR), open("/dev/zero", O_RDWR) };
	for (int i = 0; i < 3; i++)
		for (int filter = EVFILT_READ; filter >= EVFILT_WRITE; filter--) {
			if (i == 0 && filter == EVFILT_READ)
				continue; /* at its end */
			for (int again = 0; again < 2; again++) {
				change(kq, fds[i], filter, EV_ADD | EV_CLEAR, 0, 0, U(i));
				expect(kq, fds[i], filter, EV_CLEAR, 0, 0, U(i));
				expect_none(kq);
				expect_none(kq);
			}
			drop(kq, fds[i], filter);
		}
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	unlink(path);
	close(kq);
}

TEST(sockets_that_were_never_connected, "K-155")
{
	int kinds[][2] = { { AF_INET, SOCK_STREAM }, { AF_UNIX, SOCK_STREAM }, { AF_UNIX, SOCK_SEQPACKET } };
	for (int i = 0; i < 3; i++)
		for (int flags = 0; flags <= EV_CLEAR; flags += EV_CLEAR) {
			int kq = new_kq(), fd = socket(kinds[i][0], kinds[i][1], 0);
			add_read(kq, fd, flags, U(1));
			check_silence(kq);
			add_write(kq, fd, flags, U(2));
			check_silence(kq);
			close(fd);
			close(kq);
		}
}

/* Room to write that was told of is no news because the READ knote of the socket changes. */
TEST(changes_of_the_read_knote, "K-090 K-166")
{
	unsigned reads[] = { EV_DISPATCH, EV_ONESHOT, EV_CLEAR | EV_DISPATCH, EV_CLEAR | EV_ONESHOT, 0, EV_CLEAR };
	for (int i = 0; i < 12; i++) {
		unsigned flags = reads[i % 6];
		int kq = new_kq(), fds[2];
		if (i < 6)
			make_pair(fds);
		else
			make_tcp(fds);
		add_write(kq, fds[0], EV_CLEAR, U(2));
		expect(kq, fds[0], EVFILT_WRITE, EV_CLEAR, 0, SOME, U(2));
		add_read(kq, fds[0], flags, U(1));
		expect_none(kq);
		for (int round = 0; round < 5; round++) {
			put(fds[1]);
			wait_for(fds[0], POLLIN);
			expect(kq, fds[0], EVFILT_READ, flags, 0, 1, U(1));
			read_bytes(fds[0], 1);
			if (flags & EV_ONESHOT)
				add_read(kq, fds[0], flags, U(1));
			else {
				change(kq, fds[0], EVFILT_READ, EV_DISABLE, 0, 0, U(1));
				change(kq, fds[0], EVFILT_READ, EV_ENABLE, 0, 0, U(1));
			}
			expect_none(kq);
		}
		close_pipe(fds);
		close(kq);
	}
}

/* A timer that is disabled counts (K-268), but it has nothing to tell until it is enabled. */
TEST(disabled_timers, "K-130 K-131 K-268")
{
	int kq = new_kq(), period = 20 * (int)slow();
	struct pollfd p = { .fd = kq, .events = POLLIN };
	CHECK_RET(poll(&p, 1, 0), 0);
	change(kq, 1, EVFILT_TIMER, EV_ADD, 0, period, U(1));
	change(kq, 1, EVFILT_TIMER, EV_DISABLE, 0, 0, U(1));
	change(kq, 2, EVFILT_TIMER, EV_ADD | EV_DISABLE, 0, period, U(2));
	change(kq, 3, EVFILT_TIMER, EV_ADD, 0, period, U(3));
	drop(kq, 3, EVFILT_TIMER);
	CHECK_RET(poll(&p, 1, 5 * period), 0);
	check_silence(kq);
	for (int i = 1; i <= 2; i++) {
		change(kq, i, EVFILT_TIMER, EV_ENABLE, 0, 0, U(i));
		struct kevent ev = only(kq);
		is_event(&ev, i, EVFILT_TIMER, EV_CLEAR, 0, SOME, U(i));
		CHECK(ev.data >= 4);
		drop(kq, i, EVFILT_TIMER);
	}
	change(kq, 4, EVFILT_TIMER, EV_ADD | EV_DISPATCH, 0, period, U(4));
	CHECK_RET(poll(&p, 1, 1000 * (int)slow()), 1);
	struct kevent ev = only(kq);
	is_event(&ev, 4, EVFILT_TIMER, EV_CLEAR | EV_DISPATCH, 0, SOME, U(4));
	CHECK_RET(poll(&p, 1, 3 * period), 0);
	close(kq);
}

/* ------------------------------------------------------------------ a pool of workers */

static volatile long served, empty;
static volatile int over;

struct worker {
	struct thread thread;
	int kq;
};

/* Whoever has the event of a one-shot is its only reader, and reads all before it is asked for again. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct kevent ev;
	char bytes[64];
	while (!over) {
		int got = kevent(w->kq, NULL, 0, &ev, 1, TIMEOUT_MS(20));
		CHECK(got == 0 || got == 1);
		if (got == 0)
			continue;
		if (ev.data == 0)
			__sync_fetch_and_add(&empty, 1);
		while (read((int)ev.ident, bytes, sizeof bytes) > 0)
			;
		__sync_fetch_and_add(&served, 1);
		add_read(w->kq, ev.ident, EV_ONESHOT, U(1));
	}
	return NULL;
}

TEST_LIMIT(oneshots_in_a_pool, "K-085 6.1", 60)
{
	enum { PAIRS = 4, WORKERS = 4 };
	struct worker workers[WORKERS];
	int kq = new_kq(), fds[PAIRS][2];
	for (int i = 0; i < PAIRS; i++) {
		make_pair(fds[i]);
		add_read(kq, fds[i][0], EV_ONESHOT, U(1));
	}
	for (int i = 0; i < WORKERS; i++) {
		workers[i].kq = kq;
		thread_start(&workers[i].thread, work, &workers[i]);
	}
	long long end = now_ms() + 1000;
	for (int i = 0; now_ms() < end; i++)
		if (write(fds[i % PAIRS][1], "x", 1) != 1)
			CHECK_EQ(errno, EAGAIN);
	over = 1;
	for (int i = 0; i < WORKERS; i++)
		thread_join(&workers[i].thread);
	CHECK(served > 0);
	CHECK_EQ(empty, 0);
	for (int i = 0; i < PAIRS; i++)
		close_pipe(fds[i]);
	close(kq);
}
