/*
 * abi_values.h: what the two forms of <sys/event.h> have in common: every value but those of the timers. A name
 * must be a macro, because programs ask for it by #ifdef. Include it after harness.h and <sys/event.h>.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_ABI_VALUES_H
#define EVSHIM_TEST_ABI_VALUES_H

struct abi_value {
	const char *name, *expanded;
	long long have, want;
};

#define EXPANDED_(x) #x
#define EXPANDED(x) EXPANDED_(x)
#define VALUE(name, value) { #name, EXPANDED(name), (name), (value) }

/* The rows of libkqueue (1.2), and of FreeBSD where libkqueue has no such name. */
static const struct abi_value common_values[] = {
	VALUE(EV_ADD, 0x1), VALUE(EV_DELETE, 0x2), VALUE(EV_ENABLE, 0x4), VALUE(EV_DISABLE, 0x8),
	VALUE(EV_ONESHOT, 0x10), VALUE(EV_CLEAR, 0x20), VALUE(EV_RECEIPT, 0x40), VALUE(EV_DISPATCH, 0x80),
	VALUE(EV_FORCEONESHOT, 0x100), VALUE(EV_KEEPUDATA, 0x200),
	VALUE(EV_SYSFLAGS, 0xF000), VALUE(EV_FLAG1, 0x2000), VALUE(EV_ERROR, 0x4000), VALUE(EV_EOF, 0x8000),

	VALUE(EVFILT_READ, -1), VALUE(EVFILT_WRITE, -2), VALUE(EVFILT_AIO, -3), VALUE(EVFILT_VNODE, -4),
	VALUE(EVFILT_PROC, -5), VALUE(EVFILT_SIGNAL, -6), VALUE(EVFILT_TIMER, -7), VALUE(EVFILT_NETDEV, -8),
	VALUE(EVFILT_FS, -9), VALUE(EVFILT_LIO, -10), VALUE(EVFILT_USER, -11), VALUE(EVFILT_EMPTY, -13),
	VALUE(EVFILT_SYSCOUNT, 13),

	VALUE(NOTE_LOWAT, 1), VALUE(NOTE_FILE_POLL, 2),

	VALUE(NOTE_FFNOP, 0), VALUE(NOTE_FFAND, 0x40000000), VALUE(NOTE_FFOR, 0x80000000),
	VALUE(NOTE_FFCOPY, 0xc0000000), VALUE(NOTE_FFCTRLMASK, 0xc0000000), VALUE(NOTE_FFLAGSMASK, 0x00ffffff),
	VALUE(NOTE_TRIGGER, 0x01000000),

	VALUE(NOTE_DELETE, 1), VALUE(NOTE_WRITE, 2), VALUE(NOTE_EXTEND, 4), VALUE(NOTE_ATTRIB, 8),
	VALUE(NOTE_LINK, 0x10), VALUE(NOTE_RENAME, 0x20), VALUE(NOTE_REVOKE, 0x40),
	VALUE(NOTE_CLOSE, 0x100), VALUE(NOTE_CLOSE_WRITE, 0x200), VALUE(NOTE_READ, 0x400), VALUE(NOTE_OPEN, 0x800),

	VALUE(NOTE_EXIT, 0x80000000), VALUE(NOTE_FORK, 0x40000000), VALUE(NOTE_EXEC, 0x20000000),
	VALUE(NOTE_SIGNAL, 0x08000000), VALUE(NOTE_EXITSTATUS, 0x04000000),
	VALUE(NOTE_PCTRLMASK, 0xf0000000), VALUE(NOTE_PDATAMASK, 0x000fffff),
	VALUE(NOTE_TRACK, 1), VALUE(NOTE_TRACKERR, 2), VALUE(NOTE_CHILD, 4),

	VALUE(NOTE_LINKUP, 1), VALUE(NOTE_LINKDOWN, 2), VALUE(NOTE_LINKINV, 4),

	VALUE(VQ_NOTRESP, 0x1), VALUE(VQ_NEEDAUTH, 0x2), VALUE(VQ_LOWDISK, 0x4), VALUE(VQ_MOUNT, 0x8),
	VALUE(VQ_UNMOUNT, 0x10), VALUE(VQ_DEAD, 0x20), VALUE(VQ_ASSIST, 0x40), VALUE(VQ_NOTRESPLOCK, 0x80),

	VALUE(KQUEUE_CLOEXEC, 1), VALUE(KEVENT_FLAG_NONE, 0), VALUE(KEVENT_FLAG_IMMEDIATE, 1),
	VALUE(KEVENT_FLAG_ERROR_EVENTS, 2),
};

/* Programs take another way where they see these: a name comes with what it stands for, and its line goes from here. */
static const struct abi_value absent[] = {
#define ABSENT(name) { #name, EXPANDED(name), 0, 0 }
	ABSENT(EVFILT_EXCEPT), ABSENT(EVFILT_PROCDESC), ABSENT(EVFILT_LIBKQUEUE), ABSENT(EVFILT_MACHPORT),
	ABSENT(EV_OOBAND), ABSENT(EV_POLL), ABSENT(EV_UDATA_SPECIFIC), ABSENT(EV_DISPATCH2), ABSENT(EV_VANISHED),
	ABSENT(NOTE_EOF), ABSENT(NOTE_OOB), ABSENT(NOTE_TRUNCATE), ABSENT(NOTE_REAP), ABSENT(NOTE_MACHTIME),
	ABSENT(NOTE_MACH_CONTINUOUS_TIME), ABSENT(KQUEUE_CPONFORK), ABSENT(SIGEV_KEVENT),
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

H_UNUSED static void check_values(const struct abi_value *values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(values[i].name, values[i].expanded) == 0)
			FAIL("%s is not a macro", values[i].name);
		if (values[i].have != values[i].want)
			FAIL("%s is %#llx, should be %#llx", values[i].name, values[i].have, values[i].want);
	}
}

H_UNUSED static void check_absent(void)
{
	for (size_t i = 0; i < COUNT(absent); i++)
		if (strcmp(absent[i].name, absent[i].expanded) != 0)
			FAIL("%s is defined", absent[i].name);
}

/* No two of them share a bit, and none is empty. */
H_UNUSED static void check_apart(const unsigned *bits, size_t count)
{
	unsigned taken = 0;
	for (size_t i = 0; i < count; i++) {
		CHECK(bits[i] != 0);
		CHECK_EQ(bits[i] & taken, 0);
		taken |= bits[i];
	}
}

/* In both forms six fields; what is beyond them is the caller's to look at. */
H_UNUSED static void check_kevent(const struct kevent *ev, uintptr_t ident, int filter, unsigned flags, unsigned fflags,
	long long data, const void *udata)
{
	CHECK(ev->ident == ident);
	CHECK_EQ(ev->filter, filter);
	CHECK_EQ(ev->flags, flags);
	CHECK_EQ(ev->fflags, fflags);
	CHECK_EQ(ev->data, data);
	CHECK(ev->udata == udata);
}

#endif /* EVSHIM_TEST_ABI_VALUES_H */
