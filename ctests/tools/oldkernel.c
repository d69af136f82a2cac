/*
 * oldkernel: run a program on a kernel that lacks the newer system calls.
 *
 * usage: oldkernel [-p] [-q] program [argument ...]
 *   -p  the calls answer EPERM, as under a container's filter (default: ENOSYS, as from an old kernel)
 *   -q  fcntl(F_DUPFD_QUERY) answers EINVAL, as a kernel that has never heard of the command
 *
 * The library's floor is Linux 5.4; every newer call has a fall-back, and this makes the fall-backs run. The
 * filter is inherited by every child.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define DUPFD_QUERY 1027

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__i386__)
#define ARCH AUDIT_ARCH_I386
#elif defined(__riscv)
#define ARCH AUDIT_ARCH_RISCV64
#else
#error "oldkernel: name this architecture's AUDIT_ARCH"
#endif

/* 32-bit systems reach fcntl through fcntl64. */
#ifdef SYS_fcntl64
#define FCNTL_CALL SYS_fcntl64
#else
#define FCNTL_CALL SYS_fcntl
#endif

/* The low word of the second argument: F_DUPFD_QUERY fits in it, and the kernel reads an int. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define SECOND_ARGUMENT (offsetof(struct seccomp_data, args[1]) + 4)
#else
#define SECOND_ARGUMENT offsetof(struct seccomp_data, args[1])
#endif

static int install(int call_errno, int query_errno)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kcmp, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FCNTL_CALL, 0, 1),
		BPF_JUMP(BPF_JMP | BPF_JA, 2, 0, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)call_errno),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SECOND_ARGUMENT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DUPFD_QUERY, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)query_errno),
	};
	struct sock_fprog program = { sizeof code / sizeof code[0], code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
	int call_errno = ENOSYS, query_errno = 0, opt;

	/* "+": options after the program's name are the program's. */
	while ((opt = getopt(argc, argv, "+pq")) != -1) {
		if (opt == 'p')
			call_errno = EPERM;
		else if (opt == 'q')
			query_errno = EINVAL;
		else
			return 2;
	}
	if (optind >= argc) {
		fprintf(stderr, "usage: oldkernel [-p] [-q] program [argument ...]\n");
		return 2;
	}
	if (install(call_errno, query_errno ? query_errno : call_errno) != 0) {
		fprintf(stderr, "oldkernel: cannot install the filter: %s\n", strerror(errno));
		return 126;
	}
	execvp(argv[optind], argv + optind);
	fprintf(stderr, "oldkernel: %s: %s\n", argv[optind], strerror(errno));
	return 127;
}
