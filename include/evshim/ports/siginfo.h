/* <siginfo.h>: illumos' home of siginfo_t; the host has it in <signal.h>. */
#ifndef EVSHIM_SIGINFO_H
#define EVSHIM_SIGINFO_H

#include <signal.h>

#endif /* EVSHIM_SIGINFO_H */
