/* EVFILT_READ on FIFOs, terminals and what only Linux has (7.1). */
/* libs: -lutil */
#include "harness.h"
#include "kqueue.h"
#include <pty.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <termios.h>

static void fifo_path(char *path, size_t size)
{
	const char *dir = getenv("TMPDIR");
	snprintf(path, size, "%s/evshim-fifo-%d", dir ? dir : "/tmp", (int)getpid());
}

TEST(fifo, "K-146")
{
	char path[256];
	int kq = new_kq();
	fifo_path(path, sizeof path);
	CHECK_OK(mkfifo(path, 0600));
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	add_read(kq, reader, 0, U(1));
	expect_none(kq); /* no writer yet: not the end */
	int writer = open(path, O_WRONLY);
	expect_none(kq);
	send_bytes(writer, 1);
	close(writer);
	expect(kq, reader, EVFILT_READ, EV_EOF, 0, 1, U(1));
	read_bytes(reader, 1);
	expect(kq, reader, EVFILT_READ, EV_EOF, 0, 0, U(1));
	writer = open(path, O_WRONLY);
	expect_none(kq); /* a new writer takes the end back */
	send_bytes(writer, 2);
	expect(kq, reader, EVFILT_READ, 0, 0, 2, U(1));
	unlink(path);
	close(writer);
	close(reader);
	close(kq);
}

TEST(terminal, "K-150")
{
	int kq = new_kq(), master, slave;
	struct termios modes;
	CHECK_OK(openpty(&master, &slave, NULL, NULL, NULL));
	CHECK_OK(tcgetattr(slave, &modes));
	modes.c_lflag &= ~(tcflag_t)ECHO;
	CHECK_OK(tcsetattr(slave, TCSANOW, &modes));
	add_read(kq, slave, 0, U(1));
	CHECK_RET(write(master, "abc", 3), 3);
	CHECK_RET(kevent(kq, NULL, 0, &(struct kevent){ .ident = 0 }, 1, TIMEOUT_MS(50)), 0); /* no line yet */
	CHECK_RET(write(master, "\n", 1), 1);
	expect(kq, slave, EVFILT_READ, 0, 0, 4, U(1));
	read_bytes(slave, 4);
	expect_none(kq);
	cfmakeraw(&modes);
	CHECK_OK(tcsetattr(slave, TCSANOW, &modes));
	CHECK_RET(write(master, "de", 2), 2);
	expect(kq, slave, EVFILT_READ, 0, 0, 2, U(1));
	close(slave);
	close(master);
	close(kq);
}

TEST(master_of_a_terminal, "K-151")
{
	int kq = new_kq(), master, slave;
	struct termios modes;
	CHECK_OK(openpty(&master, &slave, NULL, NULL, NULL));
	CHECK_OK(tcgetattr(slave, &modes));
	cfmakeraw(&modes);
	CHECK_OK(tcsetattr(slave, TCSANOW, &modes));
	add_read(kq, master, 0, U(1));
	expect_none(kq);
	CHECK_RET(write(slave, "xyz", 3), 3);
	expect(kq, master, EVFILT_READ, 0, 0, 3, U(1));
	read_bytes(master, 3);
	close(slave);
	struct kevent ev = only(kq);
	CHECK_EQ(ev.flags, EV_EOF);
	CHECK_EQ(ev.data, 0);
	close(master);
	close(kq);
}

/* Linux' own kinds of descriptors: an event, and never an error. */
TEST(descriptors_that_bsd_does_not_have, "K-157")
{
	sigset_t usr1, before;
	struct itimerspec soon = { .it_value = { 0, 1000000 } };
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, &before);
	int kq = new_kq(), fds[] = { eventfd(0, EFD_NONBLOCK), timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK),
		signalfd(-1, &usr1, SFD_NONBLOCK) };
	for (int i = 0; i < 3; i++)
		add_read(kq, fds[i], 0, U(i));
	expect_none(kq);
	for (int i = 0; i < 3; i++) {
		char bytes[256];
		if (i == 0)
			CHECK_RET(write(fds[0], &(uint64_t){ 1 }, 8), 8);
		else if (i == 1)
			CHECK_OK(timerfd_settime(fds[1], 0, &soon, NULL));
		else
			CHECK_OK(kill(getpid(), SIGUSR1));
		struct kevent ev = only(kq);
		is_event(&ev, fds[i], EVFILT_READ, 0, 0, SOME, U(i));
		CHECK(read(fds[i], bytes, sizeof bytes) > 0);
		expect_none(kq);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(kq);
}
