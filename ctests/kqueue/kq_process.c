/* The queue belongs to the process that made it: fork and exec (section 2). */
#include "harness.h"
#include "kqueue.h"

#define KQ_OF_THE_FORMER_IMAGE "EVSHIM_TEST_FORMER_KQ"

/* Runs in the new image of the test below, before main. */
__attribute__((constructor)) static void in_the_new_image(void)
{
	const char *text = getenv(KQ_OF_THE_FORMER_IMAGE);
	struct kevent ev;
	if (text == NULL)
		return;
	errno = 0;
	int result = kevent(atoi(text), NULL, 0, &ev, 1, ZERO_TIMEOUT);
	_exit(result == -1 && errno == EBADF ? 0 : 1);
}

TEST(not_usable_after_exec, "K-017")
{
	SKIP_UNDER_VALGRIND("/proc/self/exe is valgrind itself");
	char number[16];
	int kq = new_kq();
	add_user(kq, 1, 0, U(1));
	trigger(kq, 1, U(1));
	snprintf(number, sizeof number, "%d", kq);
	pid_t child = fork();
	if (child == 0) {
		setenv(KQ_OF_THE_FORMER_IMAGE, number, 1);
		execl("/proc/self/exe", "new", (char *)NULL);
		_exit(99);
	}
	CHECK_EQ(wait_child(child), 0);
	expect(kq, 1, EVFILT_USER, 0, 0, 0, U(1));
	close(kq);
}

TEST(inner_descriptors_are_closed_by_exec, "K-017")
{
	static struct h_fds before, after;
	struct kevent list[ROOM];
	int fds[2], seen = 0;
	make_pipe(fds);
	h_list_fds(&before);
	int kq = new_kq();
	add_read(kq, fds[0], 0, U(1));
	add_user(kq, 2, 0, U(2));
	change(kq, 3, EVFILT_TIMER, EV_ADD, 0, 5, U(3));
	change(kq, 4, EVFILT_TIMER, EV_ADD, NOTE_ABSTIME | NOTE_SECONDS, 1, U(4));
	sleep_ms(20); /* the other timer too */
	CHECK(harvest(kq, list, ROOM) >= 1);
	h_list_fds(&after);
	for (int i = 0; i < after.count; i++) {
		bool known = after.fd[i] == kq;
		for (int j = 0; j < before.count; j++)
			known |= before.fd[j] == after.fd[i];
		seen += after.fd[i] == kq;
		if (!known)
			CHECK_EQ(fcntl(after.fd[i], F_GETFD), FD_CLOEXEC);
	}
	CHECK_EQ(seen, 1);
	close_pipe(fds);
	close(kq);
}

TEST(child_has_no_queue, "K-015")
{
	struct kevent ev;
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(1));
	add_user(kq, 2, EV_CLEAR, U(2));
	trigger(kq, 2, U(2));
	put(fds[1]);
	pid_t child = fork();
	if (child == 0) {
		CHECK_ERR(kevent(kq, NULL, 0, &ev, 1, ZERO_TIMEOUT), EBADF);
		CHECK_EQ(try_change(kq, 2, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), EBADF);
		int result = close(kq); /* on BSD there is nothing to close */
		CHECK(result == 0 || errno == EBADF);
		CHECK_ERR(kevent(kq, NULL, 0, &ev, 1, ZERO_TIMEOUT), EBADF);
		_exit(0);
	}
	CHECK_EQ(wait_child(child), 0);
	struct kevent list[ROOM];
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	is_event(&list[0], 2, EVFILT_USER, EV_CLEAR, 0, 0, U(2));
	is_event(&list[1], fds[0], EVFILT_READ, 0, 0, 1, U(1));
	close_pipe(fds);
	close(kq);
}

TEST(queue_of_the_childs_own, "K-015 K-016")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(1));
	pid_t child = fork();
	if (child == 0) {
		int own = new_kq();
		add_read(own, fds[0], 0, U(2));
		expect_none(own);
		put(fds[1]);
		expect(own, fds[0], EVFILT_READ, 0, 0, 1, U(2));
		change(own, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, U(3));
		drop(own, fds[0], EVFILT_READ);
		expect(own, 1, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(3));
		_exit(0);
	}
	CHECK_EQ(wait_child(child), 0);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(1));
	close_pipe(fds);
	close(kq);
}

/* The child has the same open files: whatever it closes or leaves open, the parent's events are the parent's. */
TEST(parent_goes_on_while_a_child_lives, "K-016")
{
	int kq = new_kq(), fds[2], hold[2];
	make_pipe(fds);
	make_pipe(hold);
	add_read(kq, fds[0], EV_CLEAR, U(1));
	add_user(kq, 2, EV_CLEAR, U(2));
	change(kq, 3, EVFILT_TIMER, EV_ADD, 0, 20, U(3));
	pid_t child = fork();
	if (child == 0) {
		int copy = dup(kq);
		close(hold[1]);
		close(fds[0]);
		take(hold[0]);
		close(copy);
		close(kq);
		_exit(0);
	}
	for (int i = 0; i < 3; i++) {
		bool data = false, user = false;
		int timer = 0;
		put(fds[1]);
		trigger(kq, 2, U(2));
		while (!data || !user || timer < 3) {
			struct kevent ev;
			CHECK_EQ(kevent(kq, NULL, 0, &ev, 1, LONG_TIMEOUT), 1);
			data |= ev.filter == EVFILT_READ && ev.data == i + 1;
			user |= ev.filter == EVFILT_USER;
			timer += ev.filter == EVFILT_TIMER;
		}
		if (i == 1) {
			put(hold[1]);
			CHECK_EQ(wait_child(child), 0);
		}
	}
	close_pipe(fds);
	close_pipe(hold);
	close(kq);
}

/*
 * A storm of forks under a sleeping parent: nothing is stolen, and no sleeper is told EBADF. Where sections block signals
 * (valgrind) a child may end while the thread that made it blocks SIGCHLD: the kernel then gives that to the sleeper, to
 * be ignored there, which is EINTR.
 */
TEST_LIMIT(fork_storm, "K-016 K-302", 30)
{
	struct sleeper s;
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	add_read(kq, fds[0], EV_CLEAR, U(1));
	for (int round = 0; round < 5; round++) {
		sleep_in(&s, kq, -1);
		for (int i = 0; i < 20; i++) {
			pid_t child = fork();
			if (child == 0) {
				if (i % 2)
					close(kq);
				_exit(0);
			}
			CHECK_EQ(wait_child(child), 0);
		}
		if (thread_done(&s.thread)) {
			CHECK(getenv("EVSHIM_TEST_VALGRIND") != NULL);
			join_sleeper(&s, -1, EINTR);
			sleep_in(&s, kq, -1);
		}
		put(fds[1]);
		join_sleeper(&s, 1, 0);
		is_event(&s.list[0], fds[0], EVFILT_READ, EV_CLEAR, 0, round + 1, U(1));
	}
	close_pipe(fds);
	close(kq);
}
