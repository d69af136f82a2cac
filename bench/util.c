/*
 * util.c: descriptors and workers for the rows.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "bench.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>

extern char **environ;

void need_descriptors(long count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		fail("getrlimit");
	if (limit.rlim_cur >= (rlim_t)count)
		return;
	if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < (rlim_t)count)
		skip("needs %ld descriptors, and the hard limit is %lu", count, (unsigned long)limit.rlim_max);
	limit.rlim_cur = (rlim_t)count;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		fail("setrlimit");
}

static void connect_loopback(int *in, int *out)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&address, &length) != 0)
		fail("listen on loopback");
	*out = socket(AF_INET, SOCK_STREAM, 0);
	if (*out < 0 || connect(*out, (struct sockaddr *)&address, sizeof(address)) != 0)
		fail("connect to loopback");
	*in = accept(listener, NULL, NULL);
	if (*in < 0 || setsockopt(*out, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
		fail("accept");
	close(listener);
}

/* A byte written to `out` makes `in` readable. */
void make_pair(enum kind kind, int *in, int *out)
{
	int ends[2];

	if (kind == TCP) {
		connect_loopback(in, out);
	} else {
		if ((kind == PIPE ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) != 0)
			fail("pipe or socketpair");
		*in = ends[0];
		*out = ends[1];
	}
	if (fcntl(*in, F_SETFL, O_NONBLOCK) != 0 || fcntl(*out, F_SETFL, O_NONBLOCK) != 0)
		fail("O_NONBLOCK");
}

/* The worker stands beside this program. It ends when its input does. */
void start_worker(struct worker *worker, const char *program, const char *role)
{
	char path[4096], *slash;
	char *argv[] = {path, (char *)role, NULL};
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 64);
	posix_spawn_file_actions_t actions;
	int to[2], from[2];
	pid_t pid;

	if (length < 0)
		fail("/proc/self/exe");
	path[length] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash + 1, program);
	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
		fail("pipe2");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, to[0], 0);
	posix_spawn_file_actions_adddup2(&actions, from[1], 1);
	errno = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	if (errno != 0)
		fail(path);
	posix_spawn_file_actions_destroy(&actions);
	close(to[0]);
	close(from[1]);
	*worker = (struct worker){.to = to[1], .from = from[0]};
}

uint64_t ask_worker(const struct worker *worker, uint64_t iterations)
{
	uint64_t answer;

	if (write(worker->to, &iterations, sizeof(iterations)) != sizeof(iterations) ||
	    read(worker->from, &answer, sizeof(answer)) != sizeof(answer))
		fail("a worker ended early");
	return answer;
}
