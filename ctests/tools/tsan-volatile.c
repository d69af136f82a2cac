/*
 * What gcc calls for volatile accesses under --param tsan-distinguish-volatile=1; the runtime has no such
 * functions. They do nothing: volatile variables are the flags and counters of the test programs, set and
 * polled across threads and in signal handlers, and no rule rests on their order. They create no order
 * either: plain data that is handed over by such a flag alone is still reported.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#define STUB(name)                                                                                        \
	void name(void *address);                                                                         \
	void name(void *address) { (void)address; }
#define STUBS(size)                                                                                       \
	STUB(__tsan_volatile_read##size)                                                                  \
	STUB(__tsan_volatile_write##size)                                                                 \
	STUB(__tsan_unaligned_volatile_read##size)                                                        \
	STUB(__tsan_unaligned_volatile_write##size)

STUBS(1)
STUBS(2)
STUBS(4)
STUBS(8)
STUBS(16)
