/* Listening sockets beyond their backlog (7.1, section 14.11). */
#include "harness.h"
#include "kqueue.h"
#include "inet.h"

enum { CLIENTS = 5 };

static int local_listener(struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	socklen_t length = sizeof address->sun_family; /* a name of the kernel's choice */
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	CHECK_OK(bind(fd, (struct sockaddr *)address, length));
	CHECK_OK(listen(fd, 16));
	length = sizeof *address;
	CHECK_OK(getsockname(fd, (struct sockaddr *)address, &length));
	return fd;
}

static void connect_local(int fd, int listener)
{
	struct sockaddr_un address;
	socklen_t length = sizeof address;
	CHECK_OK(getsockname(listener, (struct sockaddr *)&address, &length));
	CHECK_OK(connect(fd, (struct sockaddr *)&address, length));
}

/* Each accept that leaves connections behind is an event for EV_CLEAR, whether somebody sleeps or not. */
TEST(accept_signals_the_listener, "14.11 K-141")
{
	for (int tcp = 0; tcp < 2; tcp++) {
		struct sockaddr_un address;
		struct sockaddr_in internet;
		int kq = new_kq(), clients[CLIENTS];
		int listener = tcp ? make_listener(&internet) : local_listener(&address);
		add_read(kq, listener, EV_CLEAR, U(1));
		expect_none(kq);
		for (int i = 0; i < CLIENTS; i++) {
			clients[i] = tcp ? connecting(&internet) : socket(AF_UNIX, SOCK_STREAM, 0);
			if (!tcp)
				connect_local(clients[i], listener);
			else
				wait_for(clients[i], POLLOUT);
		}
		for (int left = CLIENTS; left > 0; left--) {
			expect(kq, listener, EVFILT_READ, EV_CLEAR, 0, left, U(1));
			expect_none(kq);
			int fd = left % 2 ? accept(listener, NULL, NULL) : accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			CHECK(fd >= 0);
			close(fd);
		}
		expect_none(kq);
		for (int i = 0; i < CLIENTS; i++)
			close(clients[i]);
		close(listener);
		close(kq);
	}
}

static void *accept_one_later(void *arg)
{
	sleep_ms(50);
	int fd = accept(*(int *)arg, NULL, NULL);
	CHECK(fd >= 0);
	close(fd);
	return NULL;
}

TEST(accept_wakes_a_sleeper, "14.11")
{
	struct sockaddr_in address;
	struct thread other;
	struct kevent ev;
	int kq = new_kq(), listener = make_listener(&address), a = connecting(&address), b = connecting(&address);
	wait_for(a, POLLOUT);
	wait_for(b, POLLOUT);
	add_read(kq, listener, EV_CLEAR, U(1));
	expect(kq, listener, EVFILT_READ, EV_CLEAR, 0, 2, U(1));
	thread_start(&other, accept_one_later, &listener);
	CHECK_RET(kevent(kq, NULL, 0, &ev, 1, LONG_TIMEOUT), 1);
	is_event(&ev, listener, EVFILT_READ, EV_CLEAR, 0, 1, U(1));
	thread_join(&other);
	close(a);
	close(b);
	close(listener);
	close(kq);
}

TEST(write_knote_of_a_listener, "K-168")
{
	struct sockaddr_in address;
	int kq = new_kq(), listener = make_listener(&address);
	add_write(kq, listener, 0, U(1));
	expect_none(kq);
	int client = connecting(&address);
	wait_for(client, POLLOUT);
	wait_for(listener, POLLIN);
	expect_none(kq);
	add_read(kq, listener, 0, U(2));
	expect(kq, listener, EVFILT_READ, 0, 0, 1, U(2));
	close(client);
	close(listener);
	close(kq);
}
