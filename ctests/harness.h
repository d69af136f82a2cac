/*
 * harness.h: the frame of the C conformance tests. Include it first, once per program.
 *
 * Every TEST runs in a forked child of its own, so that a crash, a hang or leaked state spoils one test
 * only. The parent never calls the event port functions: a library that is broken from its first port on
 * must not be able to take the reporting down with it.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_HARNESS_H
#define EVSHIM_TEST_HARNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <port.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define H_UNUSED __attribute__((unused))
#define H_SENTINEL 4242 /* an errno that no system call produces */
#define H_MAX_FDS 4096

struct h_test {
	const char *name;
	const char *cites;
	void (*body)(void);
	int seconds;
	int line;
	struct h_test *next;
};

/* What parent and child share. A failed CHECK in a thread or in a grandchild counts, too. */
struct h_shared {
	volatile int failed;
	volatile int skipped;
	volatile int finished;
	char reason[256];
};

static struct h_test *h_tests;
static struct h_shared *h_shared;
static const char *h_program;
static pid_t h_child; /* the process that runs the test body */

/* ------------------------------------------------------------------ declaring tests */

H_UNUSED static void h_register(struct h_test *t)
{
	struct h_test **at = &h_tests;
	while (*at != NULL && (*at)->line < t->line)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
}

#define TEST_LIMIT(test_name, test_cites, limit_seconds)                                                  \
	static void test_##test_name(void);                                                               \
	__attribute__((constructor)) static void h_register_##test_name(void)                             \
	{                                                                                                 \
		static struct h_test t = { .name = #test_name, .cites = test_cites,                       \
			.body = test_##test_name, .seconds = limit_seconds, .line = __LINE__ };           \
		h_register(&t);                                                                           \
	}                                                                                                 \
	static void test_##test_name(void)

#define TEST(test_name, test_cites) TEST_LIMIT(test_name, test_cites, 10)

/* ------------------------------------------------------------------ checks */

__attribute__((format(printf, 3, 4), noreturn)) H_UNUSED static void h_fail(const char *file, int line,
	const char *format, ...)
{
	char text[1024];
	const char *base = strrchr(file, '/');
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	h_shared->failed = 1;
	dprintf(STDOUT_FILENO, "  %s:%d: %s%s\n", base ? base + 1 : file, line, text,
		getpid() == h_child ? "" : " (in a process started by the test)");
	_exit(1);
}

#define FAIL(...) h_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(cond)                                                                                       \
	do {                                                                                              \
		if (!(cond))                                                                              \
			h_fail(__FILE__, __LINE__, "CHECK(%s), errno %d", #cond, errno);                  \
	} while (0)

/* Integers only: cast a pointer to uintptr_t first. */
#define CHECK_EQ(a, b)                                                                                    \
	do {                                                                                              \
		long long h_a = (long long)(a), h_b = (long long)(b);                                     \
		if (h_a != h_b)                                                                           \
			h_fail(__FILE__, __LINE__, "CHECK_EQ(%s, %s): %lld (%#llx), expected %lld (%#llx)", \
				#a, #b, h_a, (unsigned long long)h_a, h_b, (unsigned long long)h_b);      \
	} while (0)

/* A call that returns `value` and, being successful, leaves errno alone. */
#define CHECK_RET(expr, value)                                                                            \
	do {                                                                                              \
		errno = H_SENTINEL;                                                                       \
		long long h_r = (long long)(expr), h_v = (long long)(value);                              \
		int h_e = errno;                                                                          \
		if (h_r != h_v || h_e != H_SENTINEL)                                                      \
			h_fail(__FILE__, __LINE__, "%s: returned %lld, errno %s; expected %lld", #expr,   \
				h_r, h_e == H_SENTINEL ? "untouched" : strerror(h_e), h_v);               \
	} while (0)

#define CHECK_OK(expr) CHECK_RET(expr, 0)

#define CHECK_ERR2(expr, e1, e2)                                                                          \
	do {                                                                                              \
		errno = H_SENTINEL;                                                                       \
		long long h_r = (long long)(expr);                                                        \
		int h_e = errno;                                                                          \
		if (h_r != -1 || (h_e != (e1) && h_e != (e2)))                                            \
			h_fail(__FILE__, __LINE__, "%s: returned %lld, errno %d (%s); expected -1, %s",   \
				#expr, h_r, h_e, h_e == H_SENTINEL ? "untouched" : strerror(h_e),         \
				(e1) == (e2) ? #e1 : #e1 " or " #e2);                                     \
	} while (0)

#define CHECK_ERR(expr, e) CHECK_ERR2(expr, e, e)

/* valgrind is a machine of its own: for what it cannot do, with the reason. */
#define SKIP_UNDER_VALGRIND(why)                                                                          \
	do {                                                                                              \
		if (getenv("EVSHIM_TEST_VALGRIND"))                                                       \
			SKIP("valgrind: " why);                                                           \
	} while (0)
/* So is ThreadSanitizer's runtime, which also intercepts half of the C library. */
#ifdef __SANITIZE_THREAD__
#define SKIP_UNDER_TSAN(why) SKIP("ThreadSanitizer: " why)
#else
#define SKIP_UNDER_TSAN(why) ((void)0)
#endif
#ifdef __SANITIZE_ADDRESS__
#define SKIP_UNDER_ASAN(why) SKIP("AddressSanitizer: " why)
#else
#define SKIP_UNDER_ASAN(why) ((void)0)
#endif
/* Ends the test (from the test's own process and thread only). */
#define SKIP(why)                                                                                         \
	do {                                                                                              \
		snprintf(h_shared->reason, sizeof h_shared->reason, "%s", why);                           \
		h_shared->skipped = 1;                                                                    \
		_exit(0);                                                                                 \
	} while (0)

/* ------------------------------------------------------------------ time */

/* Factor by which a wrapper such as valgrind slows everything down: multiply upper bounds by it. */
H_UNUSED static int slow(void)
{
	const char *text = getenv("EVSHIM_TEST_SLOW");
	int factor = text != NULL ? atoi(text) : 1;
	return factor > 0 ? factor : 1;
}

H_UNUSED static long long now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

H_UNUSED static void sleep_ms(long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
	while (nanosleep(&left, &left) == -1 && errno == EINTR)
		;
}

/* A relative time-out for one call: port_get(p, &pe, TIMEOUT_MS(50)). */
#define TIMEOUT_MS(ms) (&(struct timespec){ (ms) / 1000, (ms) % 1000 * 1000000L })
#define ZERO_TIMEOUT TIMEOUT_MS(0)
/* "Surely, unless the library lost it": long, but below every test's limit. */
#define LONG_TIMEOUT TIMEOUT_MS(5000)

/* ------------------------------------------------------------------ descriptors and events */

H_UNUSED static void make_pipe(int fds[2])
{
	if (pipe(fds) == -1)
		FAIL("pipe: %s", strerror(errno));
}

H_UNUSED static void put(int fd)
{
	if (write(fd, "x", 1) != 1)
		FAIL("write(%d): %s", fd, strerror(errno));
}

H_UNUSED static void take(int fd)
{
	char byte;
	if (read(fd, &byte, 1) != 1)
		FAIL("read(%d): %s", fd, strerror(errno));
}

H_UNUSED static void close_pipe(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* How many events are queued (port_getn with max 0 takes nothing and never waits). */
H_UNUSED static unsigned pending(int port)
{
	port_event_t none;
	unsigned count = 0;
	if (port_getn(port, &none, 0, &count, NULL) != 0)
		FAIL("port_getn(%d, max 0): %s", port, strerror(errno));
	return count;
}

/* ------------------------------------------------------------------ threads */

struct thread {
	pthread_t handle;
	void *(*body)(void *);
	void *arg;
	volatile pid_t tid;
	volatile int done;
};

H_UNUSED static void *h_thread_main(void *arg)
{
	struct thread *t = arg;
	__atomic_store_n(&t->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	void *result = t->body(t->arg);
	__atomic_store_n(&t->done, 1, __ATOMIC_RELEASE);
	return result;
}

/* Starts a thread; its number t->tid is known on return. */
H_UNUSED static void thread_start(struct thread *t, void *(*body)(void *), void *arg)
{
	memset(t, 0, sizeof *t);
	t->body = body;
	t->arg = arg;
	int error = pthread_create(&t->handle, NULL, h_thread_main, t);
	if (error != 0)
		FAIL("pthread_create: %s", strerror(error));
	while (__atomic_load_n(&t->tid, __ATOMIC_ACQUIRE) == 0)
		sched_yield();
}

H_UNUSED static void *thread_join(struct thread *t)
{
	void *result = NULL;
	int error = pthread_join(t->handle, &result);
	if (error != 0)
		FAIL("pthread_join: %s", strerror(error));
	return result;
}

H_UNUSED static bool thread_done(struct thread *t)
{
	return __atomic_load_n(&t->done, __ATOMIC_ACQUIRE) != 0;
}

/* One line of a file under /proc; false if it is not there. */
H_UNUSED static bool h_read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, line, size - 1) : -1;
	if (fd >= 0)
		close(fd);
	line[got > 0 ? got : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return got > 0;
}

/* The state letter of a thread ('S' is asleep in a system call), or 0 if it is gone. */
H_UNUSED static char h_state(pid_t pid, pid_t tid)
{
	char path[96], line[512];
	snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	if (!h_read_line(path, line, sizeof line))
		return 0;
	const char *end = strrchr(line, ')');
	return end != NULL && end[1] == ' ' ? end[2] : 0;
}

/* True as soon as the thread sleeps in one and the same system call for several samples in a row. */
H_UNUSED static bool blocked_within(pid_t pid, pid_t tid, long ms)
{
	char path[96], line[512], before[512] = "";
	int same = 0;
	long long end = now_ms() + ms;
	snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)pid, (int)tid);
	do {
		char state = h_state(pid, tid);
		if (state == 0 || state == 'Z')
			return false;
		if (!h_read_line(path, line, sizeof line))
			snprintf(line, sizeof line, "unreadable");
		same = state == 'S' && strcmp(line, before) == 0 ? same + 1 : 0;
		memcpy(before, line, sizeof before);
		if (same >= 4 * slow())
			return true;
		sleep_ms(1);
	} while (now_ms() < end);
	return false;
}

H_UNUSED static void h_wait_until_blocked(const char *file, int line, pid_t pid, pid_t tid)
{
	if (!blocked_within(pid, tid, 5000L * slow()))
		h_fail(file, line, "thread %d does not block (state %c)", (int)tid, h_state(pid, tid) ?: '-');
}

/* A thread of this process, or the main thread of a child process. */
#define wait_until_blocked(tid) h_wait_until_blocked(__FILE__, __LINE__, getpid(), tid)
#define wait_until_child_blocked(pid) h_wait_until_blocked(__FILE__, __LINE__, pid, pid)

/* ------------------------------------------------------------------ child processes */

/* Waits for a forked child that reports by its exit status; a signal counts as 128 + its number. */
H_UNUSED static int wait_child(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			FAIL("waitpid: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ------------------------------------------------------------------ what a test must leave behind */

struct h_fds {
	int count;
	rlim_t soft;
	int fd[H_MAX_FDS];
};

static void h_list_fds(struct h_fds *fds)
{
	struct rlimit limit;
	DIR *dir = opendir("/proc/self/fd");
	if (dir == NULL)
		FAIL("/proc/self/fd: %s", strerror(errno));
	fds->count = 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		int fd = atoi(entry->d_name);
		if (entry->d_name[0] != '.' && fd != dirfd(dir) && fds->count < H_MAX_FDS)
			fds->fd[fds->count++] = fd;
	}
	closedir(dir);
	getrlimit(RLIMIT_NOFILE, &limit);
	fds->soft = limit.rlim_cur;
}

/* The library may keep up to two descriptors for the process: close-on-exec and with high numbers. */
static bool h_fd_tolerated(int fd, rlim_t soft)
{
	int flags = fcntl(fd, F_GETFD);
	bool high = fd >= 900 || ((rlim_t)fd < soft && (rlim_t)fd + 32 >= soft);
	return flags != -1 && (flags & FD_CLOEXEC) != 0 && high;
}

static void h_check_fds(const struct h_fds *before)
{
	static struct h_fds after;
	int tolerated = 0;
	h_list_fds(&after);
	for (int i = 0; i < after.count; i++) {
		int fd = after.fd[i], known = 0;
		for (int j = 0; j < before->count; j++)
			known |= before->fd[j] == fd;
		if (known || (h_fd_tolerated(fd, before->soft < after.soft ? before->soft : after.soft)
				     && ++tolerated <= 2))
			continue;
		char path[64], target[256];
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t length = readlink(path, target, sizeof target - 1);
		target[length > 0 ? length : 0] = '\0';
		FAIL("descriptor %d (%s) was left open", fd, target);
	}
}

static void h_run_body(const struct h_test *test, const sigset_t *original)
{
	static struct h_fds before;
	sigset_t mask;
	struct rlimit no_core = { 0, 0 };
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* whoever kills the program means its tests, too */
	setrlimit(RLIMIT_CORE, &no_core);
	pthread_sigmask(SIG_SETMASK, original, NULL);
	h_child = getpid();
	h_list_fds(&before);
	test->body();
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int sig = 1; sig < NSIG; sig++)
		if (sigismember(&mask, sig) != sigismember(original, sig))
			FAIL("the signal mask changed at signal %d", sig);
	h_check_fds(&before);
	h_shared->finished = 1;
	exit(0); /* not _exit: the library's own end-of-process work belongs to the test */
}

/* ------------------------------------------------------------------ the parent's side */

/* Says where each thread of a hanging child is: the number of its system call is the best first clue. */
static void h_report_hang(pid_t pid)
{
	char path[96], line[512];
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
		pid_t tid = atoi(entry->d_name);
		snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)pid, (int)tid);
		if (tid != 0 && h_read_line(path, line, sizeof line))
			printf("  thread %d: state %c, system call %s\n", (int)tid, h_state(pid, tid), line);
	}
	if (dir != NULL)
		closedir(dir);
}

/* Waits for the child's end; false if the time is up (the child is killed then). */
static bool h_watch(pid_t pid, long limit_ms, int *status)
{
	sigset_t child;
	long long end = now_ms() + limit_ms;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		long long left = end - now_ms();
		if (left <= 0)
			break;
		sigtimedwait(&child, NULL, TIMEOUT_MS(left));
	}
	h_report_hang(pid);
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	waitpid(pid, status, 0);
	return false;
}

enum h_outcome { H_PASSED, H_FAILED, H_SKIPPED };

static enum h_outcome h_run_test(const struct h_test *test)
{
	sigset_t child, original;
	int status = 0, seconds = test->seconds * slow();
	memset(h_shared, 0, sizeof *h_shared);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &child, &original);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		h_run_body(test, &original);
	setpgid(pid, pid);
	bool in_time = pid > 0 && h_watch(pid, seconds * 1000L, &status);
	if (pid > 0)
		kill(-pid, SIGKILL); /* whatever the test started and did not wait for */
	pthread_sigmask(SIG_SETMASK, &original, NULL);

	bool exited = in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (exited && h_shared->skipped && !h_shared->failed) {
		printf("skip %s: %s\n", test->name, h_shared->reason);
		return H_SKIPPED;
	}
	if (exited && h_shared->finished && !h_shared->failed) {
		printf("ok %s [%s]\n", test->name, test->cites);
		return H_PASSED;
	}
	if (!in_time)
		printf("  time-out after %d s\n", seconds);
	else if (WIFSIGNALED(status))
		printf("  killed by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (!h_shared->failed)
		printf("  ended early with exit status %d\n", WEXITSTATUS(status));
	printf("FAIL %s [%s]\n", test->name, test->cites);
	return H_FAILED;
}

int main(int argc, char **argv)
{
	int count[3] = { 0, 0, 0 };
	bool list = argc > 1 && strcmp(argv[1], "-l") == 0;
	h_program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	h_shared = mmap(NULL, sizeof *h_shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (h_shared == MAP_FAILED)
		return 2;
	for (const struct h_test *test = h_tests; test != NULL; test = test->next) {
		bool wanted = argc < 2;
		for (int i = 1; i < argc; i++)
			wanted |= strcmp(argv[i], test->name) == 0;
		if (list)
			printf("%s [%s]\n", test->name, test->cites);
		else if (wanted)
			count[h_run_test(test)]++;
	}
	if (list)
		return 0;
	printf("%s: %d passed, %d failed, %d skipped\n", h_program, count[H_PASSED], count[H_FAILED],
		count[H_SKIPPED]);
	return count[H_FAILED] > 0 || count[H_PASSED] + count[H_SKIPPED] == 0 ? 1 : 0;
}

#endif /* EVSHIM_TEST_HARNESS_H */
