/*
 * <sys/event.h>: BSD kqueue and kevent. Link with `pkg-config --libs evshim-kqueue`.
 *
 * Structures and values are those of libkqueue, which has FreeBSD's filter numbers and macOS' timer units. Names
 * of FreeBSD, NetBSD and macOS that it lacks are here too; where a value would collide with another bit of the same
 * filter it is one of our own, so recompile, and do not carry numbers over.
 *
 * With `#define EVSHIM_FREEBSD_KEVENT 1` before the include, struct kevent is that of FreeBSD 12 and later (64 bytes
 * with ext[]), the timer units have FreeBSD's values, and kevent() is another function of the library.
 *
 * Every function returns -1 and sets errno on failure, and leaves errno alone on success.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_SYS_EVENT_H
#define EVSHIM_SYS_EVENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/select.h>
#include <time.h>
#if defined(__GLIBC__)
#include <bits/types/struct_timespec.h> /* strict C89 hides it in <time.h>, and the prototypes need it */
#endif

#if defined(__GLIBC__) && defined(_TIME_BITS) && _TIME_BITS == 64 && !defined(__LP64__) && !defined(__x86_64__)
#error "evshim on 32-bit systems is built for a 32-bit time_t: compile without -D_TIME_BITS=64"
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct kevent {
	uintptr_t ident;      /* descriptor, process, signal, or the program's own number, by filter */
	short filter;         /* EVFILT_* */
	unsigned short flags; /* EV_* */
	unsigned int fflags;  /* NOTE_*, by filter; with EV_EOF the socket's error */
#ifdef EVSHIM_FREEBSD_KEVENT
#define EVSHIM_KEVENT_HAS_EXT 1
	int64_t data;         /* by filter; with EV_ERROR the errno */
	void *udata;          /* the program's value, verbatim */
	uint64_t ext[4];      /* [0] and [1] by filter, [2] and [3] the program's, verbatim */
#else
	intptr_t data;        /* by filter; with EV_ERROR the errno */
	void *udata;          /* the program's value, verbatim */
#endif
};

/* For kevent64(), as on macOS: the same on every host. */
struct kevent64_s {
	uint64_t ident;
	int16_t filter;
	uint16_t flags;
	uint32_t fflags;
	int64_t data;
	uint64_t udata;
	uint64_t ext[2];
};

/* Fills in all of a struct kevent. Each argument is evaluated once; the whole is one statement. */
#define EV_SET(kevp_, a_, b_, c_, d_, e_, f_) \
	do { \
		struct kevent *evshim_kevp_ = (kevp_); \
		evshim_kevp_->ident = (a_); \
		evshim_kevp_->filter = (b_); \
		evshim_kevp_->flags = (c_); \
		evshim_kevp_->fflags = (d_); \
		evshim_kevp_->data = (e_); \
		evshim_kevp_->udata = (f_); \
		EVSHIM_NO_EXT_(evshim_kevp_); \
	} while (0)
#ifdef EVSHIM_KEVENT_HAS_EXT
#define EVSHIM_NO_EXT_(kevp_) ((kevp_)->ext[0] = (kevp_)->ext[1] = (kevp_)->ext[2] = (kevp_)->ext[3] = 0)
#else
#define EVSHIM_NO_EXT_(kevp_) ((void)0)
#endif

/* The same for a struct kevent64_s. */
#define EV_SET64(kevp_, a_, b_, c_, d_, e_, f_, g_, h_) \
	do { \
		struct kevent64_s *evshim_kevp_ = (kevp_); \
		evshim_kevp_->ident = (a_); \
		evshim_kevp_->filter = (b_); \
		evshim_kevp_->flags = (c_); \
		evshim_kevp_->fflags = (d_); \
		evshim_kevp_->data = (e_); \
		evshim_kevp_->udata = (f_); \
		evshim_kevp_->ext[0] = (g_); \
		evshim_kevp_->ext[1] = (h_); \
	} while (0)

/* Filters. READ, WRITE, TIMER, USER and EMPTY work; the others answer EINVAL in this version. */
#define EVFILT_READ (-1)    /* something to read; data: how much */
#define EVFILT_WRITE (-2)   /* room to write; data: how much */
#define EVFILT_AIO (-3)
#define EVFILT_VNODE (-4)
#define EVFILT_PROC (-5)
#define EVFILT_SIGNAL (-6)
#define EVFILT_TIMER (-7)   /* data: the period or the deadline; in events the number of expirations */
#define EVFILT_NETDEV (-8)
#define EVFILT_FS (-9)
#define EVFILT_LIO (-10)
#define EVFILT_USER (-11)   /* the program's own events: NOTE_TRIGGER */
#define EVFILT_EMPTY (-13)  /* a socket has sent all that was written */
#define EVFILT_SYSCOUNT 13

/* Actions. */
#define EV_ADD 0x0001     /* register, or modify what is registered */
#define EV_DELETE 0x0002
#define EV_ENABLE 0x0004
#define EV_DISABLE 0x0008 /* keep it, deliver nothing */

/* Flags of a registration. */
#define EV_ONESHOT 0x0010      /* delete at delivery */
#define EV_CLEAR 0x0020        /* reset at delivery: once for each time that it happens */
#define EV_RECEIPT 0x0040      /* report success, too: EV_ERROR with data 0 */
#define EV_DISPATCH 0x0080     /* disable at delivery */
#define EV_FORCEONESHOT 0x0100 /* deliver now, whatever the condition, and delete (FreeBSD) */
#define EV_KEEPUDATA 0x0200    /* modify all but udata (FreeBSD) */
#define EV_SYSFLAGS 0xF000     /* ignored in changes */
#define EV_FLAG1 0x2000

/* Flags of events. */
#define EV_ERROR 0x4000 /* of a change: data is its errno, or 0 for EV_RECEIPT */
#define EV_EOF 0x8000   /* nothing more can come, or go; fflags: why, 0 if in good order */

/* EVFILT_READ, EVFILT_WRITE. */
#define NOTE_LOWAT 0x0001     /* data is the least amount that is reported */
#define NOTE_FILE_POLL 0x0002 /* a regular file is ready at its end, too (FreeBSD) */

/* EVFILT_USER: the upper bits say what to do with the stored lower 24. */
#define NOTE_FFNOP 0x00000000
#define NOTE_FFAND 0x40000000
#define NOTE_FFOR 0x80000000
#define NOTE_FFCOPY 0xc0000000
#define NOTE_FFCTRLMASK 0xc0000000
#define NOTE_FFLAGSMASK 0x00ffffff
#define NOTE_TRIGGER 0x01000000 /* let it happen */

/* EVFILT_TIMER: the unit of data, milliseconds if none is named. */
#ifdef EVSHIM_KEVENT_HAS_EXT
#define NOTE_SECONDS 0x0001
#define NOTE_MSECONDS 0x0002
#define NOTE_USECONDS 0x0004
#define NOTE_NSECONDS 0x0008
#define NOTE_ABSTIME 0x0010
#else
#define NOTE_SECONDS 0x0001
#define NOTE_USECONDS 0x0002
#define NOTE_NSECONDS 0x0004
#define NOTE_ABSOLUTE 0x0008   /* data is a time of CLOCK_REALTIME; once, then gone (libkqueue, macOS) */
#define NOTE_LEEWAY 0x0010     /* these three are accepted and change nothing (macOS) */
#define NOTE_CRITICAL 0x0020
#define NOTE_BACKGROUND 0x0040
#define NOTE_MSECONDS 0x1000   /* FreeBSD, NetBSD */
#define NOTE_ABSTIME 0x2000    /* as NOTE_ABSOLUTE, but reported until it is deleted (FreeBSD, NetBSD) */
#endif

/* EVFILT_VNODE. */
#define NOTE_DELETE 0x0001
#define NOTE_WRITE 0x0002
#define NOTE_EXTEND 0x0004
#define NOTE_ATTRIB 0x0008
#define NOTE_LINK 0x0010
#define NOTE_RENAME 0x0020
#define NOTE_REVOKE 0x0040
#define NOTE_CLOSE 0x0100       /* these four: FreeBSD, NetBSD */
#define NOTE_CLOSE_WRITE 0x0200
#define NOTE_READ 0x0400
#define NOTE_OPEN 0x0800        /* not 0x80, which is libkqueue's NOTE_TRUNCATE */

/* EVFILT_PROC. */
#define NOTE_EXIT 0x80000000
#define NOTE_FORK 0x40000000
#define NOTE_EXEC 0x20000000
#define NOTE_SIGNAL 0x08000000     /* this and the next: macOS */
#define NOTE_EXITSTATUS 0x04000000
#define NOTE_PCTRLMASK 0xf0000000
#define NOTE_PDATAMASK 0x000fffff
#define NOTE_TRACK 0x00000001
#define NOTE_TRACKERR 0x00000002
#define NOTE_CHILD 0x00000004

/* EVFILT_NETDEV. */
#define NOTE_LINKUP 0x0001
#define NOTE_LINKDOWN 0x0002
#define NOTE_LINKINV 0x0004

/* EVFILT_FS (FreeBSD keeps them in <sys/mount.h>). */
#define VQ_NOTRESP 0x0001
#define VQ_NEEDAUTH 0x0002
#define VQ_LOWDISK 0x0004
#define VQ_MOUNT 0x0008
#define VQ_UNMOUNT 0x0010
#define VQ_DEAD 0x0020
#define VQ_ASSIST 0x0040
#define VQ_NOTRESPLOCK 0x0080

/* Flags of kqueuex() and of kevent64(). */
#define KQUEUE_CLOEXEC 0x0001
#define KEVENT_FLAG_NONE 0x0000
#define KEVENT_FLAG_IMMEDIATE 0x0001    /* do not wait, whatever the time-out */
#define KEVENT_FLAG_ERROR_EVENTS 0x0002 /* apply the changes and report their errors, no events */

/*
 * Left out on purpose. Programs ask for these names by #ifdef and take another way when they see them, so each is
 * defined when it works and not before. The values in brackets are kept free for them.
 *   EVFILT_EXCEPT [-15], EV_OOBAND, EV_POLL, NOTE_OOB [4], NOTE_EOF [2], NOTE_TRUNCATE [0x80]
 *   EVFILT_PROCDESC [-14] without pdfork(), EVFILT_LIBKQUEUE [-12] without its requests, SIGEV_KEVENT, NOTE_REAP
 *   EV_UDATA_SPECIFIC [0x400], EV_DISPATCH2 [0x480], EV_VANISHED [0x800], NOTE_MACHTIME, NOTE_MACH_CONTINUOUS_TIME
 *   KQUEUE_CPONFORK [2]
 */

/* A new queue: the lowest free descriptor, without FD_CLOEXEC. EMFILE, ENOMEM. */
int kqueue(void);

/* The same with O_CLOEXEC or O_NONBLOCK, which has no effect. EINVAL. */
int kqueue1(int flags);

/* The same with KQUEUE_CLOEXEC. EINVAL. */
int kqueuex(unsigned int flags);

#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* the function has the structure's name, which C++ lets it hide */
#endif

/* Applies the changes in order, then waits for events; a null time-out waits without end. The two lists may be the
 * same array. EBADF, EINTR, EINVAL, ENOMEM, EFAULT; and a change's own error if the list has no room for it. */
int kevent(int kq, const struct kevent *changelist, int nchanges, struct kevent *eventlist, int nevents,
	const struct timespec *timeout)
#ifdef EVSHIM_KEVENT_HAS_EXT
	__asm__("evshim_kevent_freebsd")
#endif
	;

#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#ifndef EVSHIM_KEVENT_HAS_EXT
/* The same on macOS' structure; `flags` are KEVENT_FLAG_*. */
int kevent64(int kq, const struct kevent64_s *changelist, int nchanges, struct kevent64_s *eventlist, int nevents,
	unsigned int flags, const struct timespec *timeout);
#endif

/* What the library was built for. A system whose 32-bit ABI has only a 64-bit time_t stops here, at compile time, and
 * not in the middle of a time-out. */
#define EVSHIM_LAYOUT_(name_, condition_) typedef char evshim_##name_[(condition_) ? 1 : -1]
EVSHIM_LAYOUT_(kevent_timespec_is_two_longs, sizeof(struct timespec) == 2 * sizeof(long));
EVSHIM_LAYOUT_(kevent_filter, offsetof(struct kevent, filter) == sizeof(void *));
EVSHIM_LAYOUT_(kevent_flags, offsetof(struct kevent, flags) == sizeof(void *) + 2);
EVSHIM_LAYOUT_(kevent_fflags, offsetof(struct kevent, fflags) == sizeof(void *) + 4);
#ifdef EVSHIM_KEVENT_HAS_EXT
EVSHIM_LAYOUT_(kevent_data, sizeof(void *) != 8 || offsetof(struct kevent, data) == 16);
EVSHIM_LAYOUT_(kevent_udata, offsetof(struct kevent, udata) == offsetof(struct kevent, data) + 8);
EVSHIM_LAYOUT_(kevent_ext, sizeof(void *) != 8 || offsetof(struct kevent, ext) == 32);
EVSHIM_LAYOUT_(kevent_size, sizeof(void *) != 8 || sizeof(struct kevent) == 64);
#else
EVSHIM_LAYOUT_(kevent_data, offsetof(struct kevent, data) == sizeof(void *) + 8);
EVSHIM_LAYOUT_(kevent_udata, offsetof(struct kevent, udata) == 2 * sizeof(void *) + 8);
EVSHIM_LAYOUT_(kevent_size, sizeof(struct kevent) == 3 * sizeof(void *) + 8);
#endif
EVSHIM_LAYOUT_(kevent64_data, offsetof(struct kevent64_s, data) == 16);
EVSHIM_LAYOUT_(kevent64_ext, offsetof(struct kevent64_s, ext) == 32);
EVSHIM_LAYOUT_(kevent64_size, sizeof(struct kevent64_s) == 48);
#undef EVSHIM_LAYOUT_

#ifdef __cplusplus
}
#endif

#elif defined(EVSHIM_FREEBSD_KEVENT) && !defined(EVSHIM_KEVENT_HAS_EXT)
#error "define EVSHIM_FREEBSD_KEVENT before the first include of <sys/event.h>"
#endif /* EVSHIM_SYS_EVENT_H */
