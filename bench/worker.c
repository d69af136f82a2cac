/*
 * worker.c: the sides of rows that would disturb each other inside one process. Compiled three times: with WITH_PORTS
 * or WITH_KQUEUE and the library (worker-ports, worker-kqueue), and without any of it (worker-plain). Reads numbers,
 * answers each with a number.
 *
 *   worker fork      n: nanoseconds of n times fork, _exit and waitpid
 *   worker memory    n: bytes of this process' memory that n ports, kqueues or epoll sets take
 *   worker descriptors    n: descriptors that n kqueues or epoll sets take
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(WITH_PORTS)
#include <port.h>
#elif defined(WITH_KQUEUE)
#include <sys/event.h>
#endif

#define PORTS 100
#define ASSOCIATIONS 1000

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int create(void)
{
#if defined(WITH_PORTS)
	int queue = port_create();
#elif defined(WITH_KQUEUE)
	int queue = kqueue();
#else
	int queue = epoll_create1(0);
#endif
	if (queue < 0)
		fail("create");
	return queue;
}

static void watch(int queue, int fd)
{
#if defined(WITH_PORTS)
	if (port_associate(queue, PORT_SOURCE_FD, (uintptr_t)fd, POLLIN, NULL) != 0)
		fail("port_associate");
#elif defined(WITH_KQUEUE)
	struct kevent changes[2];

	EV_SET(&changes[0], fd, EVFILT_READ, EV_ADD, 0, 0, NULL);
	EV_SET(&changes[1], 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL);
	if (kevent(queue, changes, 2, NULL, 0, NULL) != 0)
		fail("kevent");
#else
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};

	if (epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event) != 0)
		fail("epoll_ctl");
#endif
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void setup_fork(void)
{
	int queues[PORTS], ends[2];

	for (int i = 0; i < PORTS; i++)
		queues[i] = create();
	for (int i = 0; i < ASSOCIATIONS; i++) {
		if (i % 2 == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
			fail("socketpair");
		watch(queues[i % PORTS], ends[i % 2]);
	}
}

static uint64_t forks(uint64_t n)
{
	uint64_t start = now();

	while (n-- > 0) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			fail("fork");
	}
	return now() - start;
}

/* Pages that are this process' own. Without stdio, whose buffer would be counted. */
static uint64_t private_bytes(void)
{
	static char text[4096];
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	uint64_t kib = 0;

	if (length < 0)
		fail("/proc/self/smaps_rollup");
	text[length] = '\0';
	close(fd);
	for (const char *at = text; (at = strstr(at, "\nPrivate_")) != NULL; at++)
		kib += strtoull(strchr(at, ':') + 1, NULL, 10);
	return kib * 1024;
}

/* The first port and the first look are not counted: they set up what all ports share. */
static uint64_t memory(uint64_t n)
{
	uint64_t before;

	create();
	private_bytes();
	before = private_bytes();
	while (n-- > 0)
		create();
	return private_bytes() - before;
}

static uint64_t open_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!directory)
		fail("/proc/self/fd");
	while (readdir(directory))
		n++;
	closedir(directory);
	return n;
}

/* All watch the same idle pipe. What all queues share is there after the first. */
static uint64_t descriptors(uint64_t n)
{
	uint64_t before;
	int ends[2];

	if (pipe(ends) != 0)
		fail("pipe");
	watch(create(), ends[0]);
	before = open_descriptors();
	while (n-- > 0)
		watch(create(), ends[0]);
	return open_descriptors() - before;
}

static const struct role {
	const char *name;
	uint64_t (*answer)(uint64_t n);
} roles[] = {{"fork", forks}, {"memory", memory}, {"descriptors", descriptors}};

int main(int argc, char **argv)
{
	uint64_t (*answer)(uint64_t) = NULL;
	uint64_t n;

	for (size_t i = 0; argc == 2 && i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			answer = roles[i].answer;
	if (!answer) {
		fprintf(stderr, "usage: worker fork|memory|descriptors\n");
		return 2;
	}
	if (answer == forks)
		setup_fork();
	while (read(0, &n, sizeof(n)) == sizeof(n)) {
		n = answer(n);
		if (write(1, &n, sizeof(n)) != sizeof(n))
			return 1;
	}
	return 0;
}
