/* An error that an event has told of belongs to the socket, and goes with it (K-095): numbers, queues, threads, processes. */
#include "harness.h"
#include "kqueue.h"
#include "inet.h"
#include "kept.h"

#pragma GCC diagnostic ignored "-Wunused-result"

ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __recv_chk(int, void *, size_t, size_t, int);

TEST(events_tell_it_until_it_is_handed_out, "K-095 14.13")
{
	struct kevent list[ROOM];
	for (int state = 0; state < STATES; state++) {
		int kq = new_kq(), fd = make_told((enum state)state, kq);
		CHECK_EQ(socket_error(fd), error_of((enum state)state));
		CHECK_EQ(harvest(kq, list, ROOM), 2);
		for (int i = 0; i < 2; i++) {
			CHECK_EQ(list[i].flags, EV_EOF);
			CHECK_EQ(list[i].fflags, 0);
		}
		close(fd);
		close(kq);
	}
}

/* The error is the socket's: whichever number asks for it has it, and no other after that. */
TEST(duplicates_share_it, "K-095")
{
	for (int order = 0; order < 8; order++) {
		struct kevent list[ROOM];
		int kq = new_kq(), early = -1, fd = make(RESET), late;
		char byte;
		if ((order & 4) == 0)
			early = dup(fd);
		add_read(kq, fd, 0, U(1));
		CHECK_EQ(harvest(kq, list, ROOM), 1);
		CHECK_EQ(list[0].fflags, ECONNRESET);
		late = (order & 4) == 0 ? early : fcntl(fd, F_DUPFD_CLOEXEC, 100);
		if (order & 1)
			close(fd);
		if (order & 2)
			CHECK_ERR(read(late, &byte, 1), ECONNRESET);
		else
			CHECK_EQ(socket_error(late), ECONNRESET);
		CHECK_EQ(socket_error(late), 0);
		if ((order & 1) == 0) {
			CHECK_RET(read(fd, &byte, 1), 0);
			close(fd);
		}
		close(late);
		close(kq);
	}
}

/* Two queues and one socket: both tell it, it is handed out once. */
TEST(two_queues, "K-095")
{
	int one = new_kq(), other = new_kq(), fd = make(REFUSED);
	add_read(one, fd, 0, U(1));
	add_write(other, fd, 0, U(2));
	expect(one, fd, EVFILT_READ, EV_EOF, ECONNREFUSED, 0, U(1));
	expect(other, fd, EVFILT_WRITE, EV_EOF, ECONNREFUSED, ANY, U(2));
	close(one);
	CHECK_EQ(socket_error(fd), ECONNREFUSED);
	CHECK_EQ(socket_error(fd), 0);
	expect(other, fd, EVFILT_WRITE, EV_EOF, 0, ANY, U(2));
	close(fd);
	close(other);
}

/* The knote and the queue go; the error is the program's still. */
TEST(it_outlives_knote_and_queue, "K-095")
{
	char byte;
	int kq = new_kq(), fd = make_told(RESET, kq);
	drop(kq, fd, EVFILT_READ);
	drop(kq, fd, EVFILT_WRITE);
	close(kq);
	CHECK_ERR(read(fd, &byte, 1), ECONNRESET);
	close(fd);
}

/* A number that was closed, seen or not, and names another socket: that has no error. */
TEST(another_socket_at_the_number, "K-095")
{
	for (int way = 0; way < 3; way++) {
		int kq = new_kq(), fd = make_told(RESET, kq), pair[2];
		char byte;
		make_tcp(pair);
		if (way == 0)
			CHECK_OK(close(fd));
		if (way == 1)
			CHECK_EQ(syscall(SYS_close, fd), 0);
		CHECK_EQ(dup2(pair[0], fd), fd);
		CHECK_EQ(socket_error(fd), 0);
		CHECK_RET(write(fd, "x", 1), 1);
		close(pair[1]);
		wait_for(fd, POLLHUP); /* a byte was not read: a reset */
		CHECK_ERR(read(fd, &byte, 1), ECONNRESET);
		CHECK_RET(read(fd, &byte, 1), 0);
		close(pair[0]);
		close(fd);
		close(kq);
	}
}

/* More than a burst of resets at once. */
TEST(many_at_once, "K-095")
{
	enum { MANY = 300 };
	static struct kevent list[MANY];
	static int fds[MANY];
	int kq = new_kq();
	for (int i = 0; i < MANY; i++) {
		fds[i] = make(RESET);
		add_read(kq, fds[i], 0, U(i));
	}
	CHECK_EQ(kevent(kq, NULL, 0, list, MANY, ZERO_TIMEOUT), MANY);
	for (int i = 0; i < MANY; i++)
		CHECK_EQ(list[i].fflags, ECONNRESET);
	for (int i = 0; i < MANY; i++) {
		char byte;
		CHECK_ERR(read(fds[i], &byte, 1), ECONNRESET);
		CHECK_RET(read(fds[i], &byte, 1), 0);
		close(fds[i]);
	}
	close(kq);
}

/* The child has the socket, but the error is handed out once: by the process that was told. */
TEST(child_process, "K-095")
{
	int kq = new_kq(), fd = make_told(RESET, kq), status;
	pid_t child = fork();
	if (child == 0) {
		char byte;
		_exit(socket_error(fd) != 0 || read(fd, &byte, 1) != 0);
	}
	CHECK(child > 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	CHECK_EQ(socket_error(fd), ECONNRESET);
	close(fd);
	close(kq);
}

static void *read_blocking(void *argument)
{
	char byte;
	int fd = *(int *)argument;
	ssize_t got = read(fd, &byte, 1);
	return (void *)(intptr_t)(got == -1 ? errno : -2);
}

/* A reader that sleeps gets the error, whether its own call took it or one for the events. */
TEST(sleeping_reader, "K-095")
{
	for (int round = 0; round < 100; round++) {
		struct kevent list[ROOM];
		int kq = new_kq(), fds[2];
		pthread_t thread;
		void *error;
		make_tcp(fds);
		CHECK_OK(fcntl(fds[0], F_SETFL, 0));
		add_read(kq, fds[0], 0, U(1));
		CHECK_EQ(pthread_create(&thread, NULL, read_blocking, &fds[0]), 0);
		if (round & 1)
			sleep_ms(1);
		linger_zero(fds[1]);
		close(fds[1]);
		CHECK_EQ(kevent(kq, NULL, 0, list, ROOM, LONG_TIMEOUT), 1);
		CHECK_EQ(pthread_join(thread, &error), 0);
		CHECK_EQ((intptr_t)error, ECONNRESET);
		CHECK_EQ(socket_error(fds[0]), 0);
		close(fds[0]);
		close(kq);
	}
}

static void cleaned(void *argument)
{
	*(int *)argument = 1;
}

struct job {
	int fd, cleaned;
	size_t call;
};

#define SLEEPERS 9

static void sleep_in_call(int fd, size_t call)
{
	static const char bytes[65536];
	char byte;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	switch (call) {
	case 0: read(fd, &byte, 1); break;
	case 1: readv(fd, &part, 1); break;
	case 2: recv(fd, &byte, 1, 0); break;
	case 3: recvfrom(fd, &byte, 1, 0, NULL, NULL); break;
	case 4: recvmsg(fd, &message, 0); break;
	case 5: __read_chk(fd, &byte, 1, 1); break;
	case 6: __recv_chk(fd, &byte, 1, 1, 0); break;
	case 7: while (write(fd, bytes, sizeof bytes) > 0) continue; break;
	default: while (send(fd, bytes, sizeof bytes, 0) > 0) continue;
	}
}

static void *call_until_cancelled(void *argument)
{
	struct job *job = argument;
	pthread_cleanup_push(cleaned, &job->cleaned);
	sleep_in_call(job->fd, job->call);
	pthread_cleanup_pop(0);
	return NULL;
}

/* The calls are cancellation points as ever, while an error is kept and while none is. */
TEST(sleeping_calls_can_be_cancelled, "K-095")
{
	for (int kept = 0; kept < 2; kept++) {
		int kq = new_kq(), broken = kept ? make_told(RESET, kq) : -1;
		for (size_t call = 0; call < SLEEPERS; call++) {
			int fds[2];
			struct job job = { .call = call };
			pthread_t thread;
			void *result;
			CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
			job.fd = fds[0];
			CHECK_EQ(pthread_create(&thread, NULL, call_until_cancelled, &job), 0);
			sleep_ms(2);
			CHECK_EQ(pthread_cancel(thread), 0);
			CHECK_EQ(pthread_join(thread, &result), 0);
			CHECK(result == PTHREAD_CANCELED);
			CHECK_EQ(job.cleaned, 1);
			close_pipe(fds);
		}
		if (kept)
			close(broken);
		close(kq);
	}
}

/* An error of a connection that goes on (an ICMP message, with IP_RECVERR) or of another kind of socket is left alone. */
TEST(other_sockets_keep_theirs, "K-095 K-154")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2], udp[2];
	char byte;
	make_pair(fds);
	send_bytes(fds[0], 1);
	add_read(kq, fds[0], 0, U(1));
	close(fds[1]); /* a byte was not read */
	CHECK_EQ(harvest(kq, list, ROOM), 1);
	is_event(&list[0], fds[0], EVFILT_READ, EV_EOF, 0, 0, U(1));
	CHECK_ERR(read(fds[0], &byte, 1), ECONNRESET);
	close(fds[0]);
	make_udp(udp);
	add_read(kq, udp[0], 0, U(1));
	add_write(kq, udp[0], 0, U(2));
	close(udp[1]);
	send_bytes(udp[0], 4);
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(list[i].flags, 0);
		CHECK_EQ(list[i].fflags, 0);
	}
	CHECK_EQ(socket_error(udp[0]), ECONNREFUSED);
	CHECK_EQ(harvest(kq, list, ROOM), 1);
	is_event(&list[0], udp[0], EVFILT_WRITE, 0, 0, SOME, U(2));
	close(udp[0]);
	close(kq);
}
