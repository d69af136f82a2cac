/* Numbers that are closed or replaced by raw system calls, past any interposition (6.2). */
/* modes: shared static preload dlopen */
#include "harness.h"
#include "kqueue.h"
#include "closing.h"

static void raw_close(int fd)
{
	CHECK_EQ(syscall(SYS_close, fd), 0);
}

static void raw_dup2(int from, int to)
{
	CHECK_EQ(syscall(SYS_dup3, from, to, 0), to);
}

/*
 * A change of a knote whose number was replaced unseen. Where closes are seen the kernel is not asked whether it was, so
 * the knote may be there for one more change; it reports nothing, and after a moment it is gone.
 */
static void check_gone_unseen(int kq, int fd, int filter, int error)
{
	int found = try_change(kq, (uintptr_t)fd, filter, EV_DELETE, 0, 0, NULL);
#ifdef EVSHIM_TEST_DLOPEN
	CHECK_EQ(found, error);
#else
	CHECK(found == 0 || found == error);
	int again = try_change(kq, (uintptr_t)fd, filter, EV_DELETE, 0, 0, NULL);
	CHECK(again == ENOENT || again == EBADF);
#endif
}

TEST(raw_close_while_the_file_lives_on, "K-120 K-121 6.2")
{
	SKIP_UNDER_TSAN("its runtime does not follow a child that shares the memory");
	struct rig r;
	for (int ready = 0; ready < 2; ready++) {
		rig_open(&r, ready);
		raw_close(r.fd);
		rig_purged(&r);
		rig_close(&r);
	}
}

TEST(raw_close_of_the_last_number, "K-120")
{
	SKIP_UNDER_TSAN("its runtime does not follow a child that shares the memory");
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(1));
	put(fds[1]);
	raw_close(fds[0]);
	expect_none(kq);
	check_gone_unseen(kq, fds[0], EVFILT_READ, EBADF);
	close(fds[1]);
	close(kq);
}

TEST(raw_replacement_by_another_file, "K-122 K-123")
{
	for (int lives = 0; lives < 2; lives++) { /* does the old file live on? */
		int kq = new_kq(), old[2], new[2];
		make_pair(old);
		make_pair(new);
		int keep = dup(old[0]);
		add_read(kq, old[0], 0, U(1));
		if (!lives)
			close(keep);
		put(old[1]);
		raw_dup2(new[0], old[0]);
		expect_none(kq);
		put(new[1]);
		expect_none(kq);
		check_gone_unseen(kq, old[0], EVFILT_READ, ENOENT);
		add_read(kq, old[0], 0, U(2));
		send_bytes(new[1], 2);
		expect(kq, old[0], EVFILT_READ, 0, 0, 3, U(2));
		if (lives)
			close(keep);
		close_pipe(old);
		close_pipe(new);
		close(kq);
	}
}

/* EV_ADD on the number of a knote whose file is another one now makes a new knote: it has the new flags. */
TEST(add_after_an_unseen_replacement, "K-122 6.2")
{
	int kq = new_kq(), old[2], new[2];
	make_pair(old);
	make_pair(new);
	int keep = dup(old[0]);
	add_read(kq, old[0], EV_CLEAR, U(1));
	raw_dup2(new[0], old[0]);
	send_bytes(new[1], 4);
	add_read(kq, old[0], 0, U(2));
	expect(kq, old[0], EVFILT_READ, 0, 0, 4, U(2));
	put(old[1]);
	expect(kq, old[0], EVFILT_READ, 0, 0, 4, U(2));
	close(keep);
	close_pipe(old);
	close_pipe(new);
	close(kq);
}

/* The same with the old wishes: the kernel is asked within ten milliseconds, also while the queue is busy. */
TEST(same_add_after_an_unseen_replacement, "K-122 6.2")
{
	for (int busy = 0; busy < 2; busy++)
		for (int flags = 0; flags <= EV_CLEAR; flags += EV_CLEAR) {
			struct kevent ev;
			int kq = new_kq(), old[2], new[2], other[2];
			make_pair(old);
			make_pair(new);
			make_pair(other);
			add_read(kq, old[0], flags, U(1));
			raw_dup2(new[0], old[0]);
			add_read(kq, old[0], flags, U(1));
			if (busy) {
				put(other[1]);
				add_read(kq, other[0], 0, U(3));
			}
			send_bytes(new[1], 4);
			long long start = now_ms();
			do
				CHECK_RET(kevent(kq, NULL, 0, &ev, 1, LONG_TIMEOUT), 1);
			while (ev.ident == (uintptr_t)other[0] && now_ms() - start < 1000 * slow());
			CHECK(now_ms() - start < 1000 * slow());
			is_event(&ev, old[0], EVFILT_READ, flags, 0, 4, U(1));
			close_pipe(old);
			close_pipe(new);
			close_pipe(other);
			close(kq);
		}
}

/* A knote that was not added again is the old file's: it is gone when that is found out. */
TEST(enabled_after_an_unseen_replacement, "K-122 6.2")
{
	int kq = new_kq(), old[2], new[2];
	make_pair(old);
	make_pair(new);
	add_read(kq, old[0], 0, U(1));
	raw_dup2(new[0], old[0]);
	int error = try_change(kq, (uintptr_t)old[0], EVFILT_READ, EV_ENABLE, 0, 0, NULL);
	CHECK(error == 0 || error == ENOENT);
	send_bytes(new[1], 4);
	struct kevent ev;
	CHECK_RET(kevent(kq, NULL, 0, &ev, 1, TIMEOUT_MS(50)), 0);
	CHECK_GONE(kq, old[0], EVFILT_READ);
	close_pipe(old);
	close_pipe(new);
	close(kq);
}

/* Ghosts of files that live on must keep nobody busy. */
TEST(ghosts_do_not_spin, "K-301 9.1")
{
	SKIP_UNDER_TSAN("its runtime does not follow a child that shares the memory");
	struct timespec before, after;
	struct kevent list[ROOM];
	int kq = new_kq(), pair[2], live[2];
	make_pair(pair);
	make_pair(live);
	put(pair[1]);
	add_read(kq, live[0], 0, U(1));
	for (int i = 0; i < 50; i++) {
		int fd = dup(pair[0]);
		add_read(kq, fd, 0, U(2));
		raw_close(fd);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	CHECK_RET(kevent(kq, NULL, 0, list, ROOM, TIMEOUT_MS(300)), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 100 * slow());
	put(live[1]);
	expect(kq, live[0], EVFILT_READ, 0, 0, 1, U(1));
	close_pipe(pair);
	close_pipe(live);
	close(kq);
}

TEST(raw_close_under_a_sleeper, "K-124")
{
	SKIP_UNDER_TSAN("its runtime does not follow a child that shares the memory");
	struct sleeper s;
	struct rig r;
	rig_open(&r, false);
	drop(r.kq, r.fd, EVFILT_WRITE);
	add_user(r.kq, 5, EV_CLEAR, U(5));
	sleep_in(&s, r.kq, -1);
	raw_close(r.fd);
	put(r.peer);
	sleep_ms(50);
	CHECK(!thread_done(&s.thread));
	trigger(r.kq, 5, U(5));
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], 5, EVFILT_USER, EV_CLEAR, 0, 0, U(5));
	rig_purged(&r);
	rig_close(&r);
}

TEST(raw_close_of_the_queue, "K-021 K-030")
{
	struct kevent ev;
	int kq = new_kq();
	add_user(kq, 1, 0, U(1));
	trigger(kq, 1, U(1));
	raw_close(kq);
	CHECK_ERR(kevent(kq, NULL, 0, &ev, 1, ZERO_TIMEOUT), EBADF);
	CHECK_EQ(open("/dev/null", O_RDWR), kq);
	CHECK_ERR(kevent(kq, NULL, 0, &ev, 1, ZERO_TIMEOUT), EBADF);
	CHECK_EQ(try_change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), EBADF);
	close(kq);
	int again = new_kq();
	expect_none(again);
	CHECK_GONE(again, 1, EVFILT_USER);
	close(again);
}

TEST(queue_replaced_unseen, "K-021")
{
	int kq = new_kq(), other = new_kq(), fds[2];
	make_pipe(fds);
	add_user(kq, 1, 0, U(1));
	trigger(kq, 1, U(1));
	raw_dup2(fds[0], kq);
	struct kevent ev;
	CHECK_ERR(kevent(kq, NULL, 0, &ev, 1, ZERO_TIMEOUT), EBADF);
	CHECK_EQ(try_change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), EBADF);
	add_read(other, kq, 0, U(2)); /* it is an ordinary descriptor now */
	put(fds[1]);
	expect(other, kq, EVFILT_READ, 0, 0, 1, U(2));
	close(kq);
	expect_none(other);
	close_pipe(fds);
	close(other);
}

/* What a queue had for itself (its clock, its second set, what tells of files) goes when its raw close is noticed. */
TEST(a_queue_that_went_unseen_leaves_nothing, "K-019 K-020")
{
	static struct h_fds before, after;
	for (int round = 0; round < 40; round++) {
		struct kevent ev;
		char path[] = "/tmp/evshim-unseen-XXXXXX";
		int kq = new_kq(), pair[2], file = mkstemp(path);
		CHECK(file >= 0);
		CHECK_OK(unlink(path));
		make_pair(pair);
		change(kq, 1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, U(1));
		change(kq, 2, EVFILT_TIMER, EV_ADD, NOTE_SECONDS | NOTE_ABSTIME, INT32_MAX, U(2));
		add_read(kq, pair[0], EV_CLEAR, U(3));
		add_write(kq, pair[0], EV_CLEAR, U(4));
		add_read(kq, file, 0, U(5));
		raw_close(kq);
		CHECK_ERR(kevent(kq, NULL, 0, &ev, 1, ZERO_TIMEOUT), EBADF);
		close(file);
		close_pipe(pair);
		if (round == 1)
			h_list_fds(&before);
	}
	h_list_fds(&after);
	CHECK_EQ(after.count, before.count);
}
