/* An error that an event has told of is the program's (K-095): every call does what it does to a socket in the same
 * state that nobody watches. Each test has two sockets, one of them watched, and compares all that the calls answer. */
#define _GNU_SOURCE
#include "harness.h"
#include "kqueue.h"
#include "inet.h"
#include "kept.h"
#include <sys/sendfile.h>

ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

/* ------------------------------------------------------------------ calls */

struct answer {
	ssize_t result;
	int error, signals;
};

static ssize_t from_file(int fd, off_t offset, bool own)
{
	char path[] = "/tmp/evshim-kept-XXXXXX";
	int file = mkstemp(path);
	CHECK(file >= 0);
	CHECK_OK(unlink(path));
	send_bytes(file, 10);
	CHECK_EQ(lseek(file, offset, SEEK_SET), offset);
	ssize_t result = sendfile(fd, file, own ? NULL : &offset, 4);
	int error = errno;
	if (result == -1)
		CHECK_EQ(own ? lseek(file, 0, SEEK_CUR) : offset, offset); /* nothing was taken from it */
	close(file);
	errno = error;
	return result;
}

static ssize_t by_pipe(int fd, bool to_socket, size_t bytes, size_t length)
{
	int ends[2];
	make_pipe(ends);
	if (bytes > 0)
		send_bytes(ends[1], bytes);
	ssize_t result = to_socket ? splice(ends[0], NULL, fd, NULL, length, SPLICE_F_NONBLOCK)
		: splice(fd, NULL, ends[1], NULL, length, SPLICE_F_NONBLOCK);
	int error = errno;
	close_pipe(ends);
	errno = error;
	return result;
}

static ssize_t option(int fd, socklen_t length)
{
	unsigned char bytes[8];
	memset(bytes, 0xee, sizeof bytes);
	socklen_t before = length;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, bytes, &length) == -1)
		return -1;
	CHECK_EQ(bytes[before < 4 ? before : 4], 0xee);
	return (ssize_t)length << 32 | (ssize_t)bytes[1] << 8 | bytes[0];
}

static ssize_t connect_to(int fd, int family)
{
	struct sockaddr_in address = nobody();
	address.sin_family = (sa_family_t)family;
	return connect(fd, (struct sockaddr *)&address, sizeof address);
}

enum call { READ, READ_NOTHING, READV, READV_NOTHING, RECV, RECV_NOTHING, RECV_PEEK, RECV_OOB, RECV_QUEUE, RECV_ALL,
	RECVFROM, RECVMSG, RECVMMSG, RECVMMSG_NONE, READ_CHK, RECV_CHK, RECVFROM_CHK, WRITE, WRITE_NOTHING, WRITEV, SEND,
	SEND_NOSIGNAL, SENDTO, SENDMSG, SENDMMSG, SENDMMSG_NONE, SENDFILE, SENDFILE_OWN, SENDFILE_END, SENDFILE_NONE,
	SPLICE_IN, SPLICE_OUT, SPLICE_NOTHING, SPLICE_EMPTY, OPTION, OPTION_SHORT, OPTION_BAD, CONNECT, CONNECT_UNSPEC,
	ACCEPT, ACCEPT4, LISTEN, SHUTDOWN, PEERNAME, CALLS };

static ssize_t reads(int fd, enum call call)
{
	char bytes[8];
	struct iovec part = { bytes, call == READV_NOTHING ? 0 : sizeof bytes };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct mmsghdr messages[2] = { { .msg_hdr = message }, { .msg_hdr = message } };
	switch (call) {
	case READ: return read(fd, bytes, sizeof bytes);
	case READ_NOTHING: return read(fd, bytes, 0);
	case READV:
	case READV_NOTHING: return readv(fd, &part, 1);
	case RECV: return recv(fd, bytes, sizeof bytes, 0);
	case RECV_NOTHING: return recv(fd, bytes, 0, 0);
	case RECV_PEEK: return recv(fd, bytes, sizeof bytes, MSG_PEEK);
	case RECV_OOB: return recv(fd, bytes, sizeof bytes, MSG_OOB);
	case RECV_QUEUE: return recv(fd, bytes, sizeof bytes, MSG_ERRQUEUE);
	case RECV_ALL: return recv(fd, bytes, sizeof bytes, MSG_WAITALL);
	case RECVFROM: return recvfrom(fd, bytes, sizeof bytes, 0, NULL, NULL);
	case RECVMSG: return recvmsg(fd, &message, 0);
	case RECVMMSG: return recvmmsg(fd, messages, 1, 0, NULL);
	case RECVMMSG_NONE: return recvmmsg(fd, messages, 0, 0, NULL);
	case READ_CHK: return __read_chk(fd, bytes, 3, sizeof bytes);
	case RECV_CHK: return __recv_chk(fd, bytes, 3, sizeof bytes, 0);
	default: return __recvfrom_chk(fd, bytes, 3, sizeof bytes, 0, NULL, NULL);
	}
}

static ssize_t writes(int fd, enum call call)
{
	char bytes[4] = "abc";
	struct iovec part = { bytes, sizeof bytes };
	struct mmsghdr message = { .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } };
	switch (call) {
	case WRITE: return write(fd, bytes, sizeof bytes);
	case WRITE_NOTHING: return write(fd, bytes, 0);
	case WRITEV: return writev(fd, &part, 1);
	case SEND: return send(fd, bytes, sizeof bytes, 0);
	case SEND_NOSIGNAL: return send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
	case SENDTO: return sendto(fd, bytes, sizeof bytes, 0, NULL, 0);
	case SENDMSG: return sendmsg(fd, &message.msg_hdr, 0);
	case SENDMMSG: return sendmmsg(fd, &message, 1, 0);
	case SENDMMSG_NONE: return sendmmsg(fd, &message, 0, 0);
	case SENDFILE: return from_file(fd, 2, false);
	case SENDFILE_OWN: return from_file(fd, 3, true);
	case SENDFILE_END: return from_file(fd, 10, true);
	default: return sendfile(fd, -1, NULL, 4);
	}
}

static ssize_t others(int fd, enum call call)
{
	socklen_t length = sizeof(struct sockaddr_in);
	struct sockaddr_in address;
	switch (call) {
	case SPLICE_IN: return by_pipe(fd, false, 0, 8);
	case SPLICE_OUT: return by_pipe(fd, true, 4, 4);
	case SPLICE_NOTHING: return by_pipe(fd, false, 0, 0);
	case SPLICE_EMPTY: return by_pipe(fd, true, 0, 4);
	case OPTION: return option(fd, 4);
	case OPTION_SHORT: return option(fd, 1);
	case OPTION_BAD: return getsockopt(fd, SOL_SOCKET, SO_ERROR, &address, NULL);
	case CONNECT: return connect_to(fd, AF_INET);
	case CONNECT_UNSPEC: return connect_to(fd, AF_UNSPEC);
	case ACCEPT: return accept(fd, NULL, NULL);
	case ACCEPT4: return accept4(fd, NULL, NULL, SOCK_NONBLOCK);
	case LISTEN: return listen(fd, 4);
	case SHUTDOWN: return shutdown(fd, SHUT_RDWR);
	default: return getpeername(fd, (struct sockaddr *)&address, &length);
	}
}

static struct answer ask(int fd, enum call call)
{
	struct answer answer = { .signals = signals };
	errno = H_SENTINEL;
	answer.result = call < WRITE ? reads(fd, call) : call < SPLICE_IN ? writes(fd, call) : others(fd, call);
	answer.error = errno;
	if (answer.result != -1 && call != SENDFILE && call != SENDFILE_OWN && call != SENDFILE_END
		&& (call < SPLICE_IN || call > SPLICE_EMPTY) && call != CONNECT && call != CONNECT_UNSPEC)
		CHECK_EQ(errno, H_SENTINEL); /* those that need other calls may touch it */
	else if (answer.result != -1)
		answer.error = 0;
	answer.signals = signals - answer.signals;
	return answer;
}

static bool alike(int plain, int told, enum call call, const char *what, int number)
{
	struct answer one = ask(plain, call), other = ask(told, call);
	if (one.result == other.result && one.error == other.error && one.signals == other.signals)
		return true;
	fprintf(stderr, "  %s %d, call %d: %zd, errno %d, %d signals; unwatched: %zd, errno %d, %d signals\n", what, number, (int)call,
		other.result, other.error, other.signals, one.result, one.error, one.signals);
	return false;
}

/* ------------------------------------------------------------------ tests */

/* Each call first, and then those that tell what it has left. */
TEST(each_call_answers_as_without_a_queue, "K-095")
{
	SKIP_UNDER_VALGRIND("reports the bad pointers that are passed on purpose");
	static const enum call after[] = { READ, READ, SEND_NOSIGNAL, OPTION, READ, WRITE, CONNECT };
	int kq = new_kq();
	bool right = true;
	signal(SIGPIPE, count_signal);
	for (int state = 0; state < STATES; state++) {
		for (int call = 0; call < CALLS; call++) {
			for (size_t first = 0; first < 4; first++) {
				int plain = make((enum state)state), told = make_told((enum state)state, kq);
				right &= alike(plain, told, (enum call)call, "state", state);
				for (size_t i = first; i < sizeof after / sizeof *after; i++)
					if (!alike(plain, told, after[i], "  after it, state", state)) {
						fprintf(stderr, "    (first call %d)\n", call);
						right = false;
					}
				close(plain);
				close(told);
			}
		}
	}
	CHECK(right);
	close(kq);
}

/* Sequences of calls, and looks at the queue in between: they take an error that came meanwhile. */
TEST(sequences_answer_as_without_a_queue, "K-095")
{
	SKIP_UNDER_VALGRIND("reports the bad pointers that are passed on purpose");
	struct kevent list[ROOM];
	unsigned random = 12345;
	int kq = new_kq();
	signal(SIGPIPE, count_signal);
	for (int round = 0; round < 500; round++) {
		int state = round % STATES, plain = make((enum state)state), told = make_told((enum state)state, kq);
		for (int step = 0; step < 6; step++) {
			random = random * 1103515245 + 12345;
			enum call call = (enum call)((random >> 16) % CALLS);
			if (call == LISTEN)
				call = OPTION;
			if (call == CONNECT || call == CONNECT_UNSPEC)
				break; /* another connection */
			CHECK(alike(plain, told, call, "round", round));
			harvest(kq, list, ROOM);
		}
		close(plain);
		close(told);
	}
	close(kq);
}
