//! `<sys/event.h>`: the C symbols of kqueue.

use super::kevent::{Entry, Kevent64, KeventC, KeventFreebsd};
use super::{boundary, pointer};
use crate::errno::{Errno, Result};
use crate::host::{Masked, Until, below};
use crate::kqueue::direct::{Short, at_once};
use crate::kqueue::scan::{self, Glance, Step, Wait};
use crate::kqueue::{self, Kevent, flag, register};
use core::cell::Cell;
use core::ffi::{c_int, c_uint};
use core::mem::MaybeUninit;

/// Entries of a changelist that are read before the first of their results is written (K-039).
const STEP: usize = 8;

const KQUEUE_CLOEXEC: c_uint = 1;
const KEVENT_FLAG_IMMEDIATE: c_uint = 1;
const KEVENT_FLAG_ERROR_EVENTS: c_uint = 2;

/// `int kqueue(void)`
#[unsafe(no_mangle)]
pub extern "C" fn kqueue() -> c_int {
    boundary(|| kqueue::create(false))
}

/// `int kqueue1(int flags)`: O_NONBLOCK is taken and means nothing (K-012).
#[unsafe(no_mangle)]
pub extern "C" fn kqueue1(flags: c_int) -> c_int {
    boundary(|| match flags & !(libc::O_CLOEXEC | libc::O_NONBLOCK) {
        0 => kqueue::create(flags & libc::O_CLOEXEC != 0),
        _ => Err(Errno::EINVAL),
    })
}

/// `int kqueuex(unsigned int flags)`
#[unsafe(no_mangle)]
pub extern "C" fn kqueuex(flags: c_uint) -> c_int {
    boundary(|| match flags & !KQUEUE_CLOEXEC {
        0 => kqueue::create(flags & KQUEUE_CLOEXEC != 0),
        _ => Err(Errno::EINVAL),
    })
}

// libpthread's. It may not return: the C library then walks up the stack of the thread that ends, through these frames,
// which have nothing to be cleaned up (the crate aborts on panic, so nothing in it ever unwinds) and are left as by a
// jump. They must not say that they may be unwound: the compiler would add tables that stop the walk at every call that
// may not.
unsafe extern "C" {
    fn pthread_testcancel();
}

/// `int kevent(int, const struct kevent *, int, struct kevent *, int, const struct timespec *)`
///
/// # Safety
/// The lists have as many entries as their counts say; `timeout` is null or points to a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kevent(
    kq: c_int,
    changes: *const KeventC,
    nchanges: c_int,
    events: *mut KeventC,
    nevents: c_int,
    timeout: *const libc::timespec,
) -> c_int {
    // SAFETY: passed on.
    unsafe { run(Call::new(kq, (changes, nchanges), (events, nevents), Ok(0), timeout)) }
}

/// The same with FreeBSD's structure.
///
/// # Safety
/// As [`kevent`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evshim_kevent_freebsd(
    kq: c_int,
    changes: *const KeventFreebsd,
    nchanges: c_int,
    events: *mut KeventFreebsd,
    nevents: c_int,
    timeout: *const libc::timespec,
) -> c_int {
    // SAFETY: passed on.
    unsafe { run(Call::new(kq, (changes, nchanges), (events, nevents), Ok(0), timeout)) }
}

/// `int kevent64(int, const struct kevent64_s *, int, struct kevent64_s *, int, unsigned, const struct timespec *)`
///
/// # Safety
/// As [`kevent`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kevent64(
    kq: c_int,
    changes: *const Kevent64,
    nchanges: c_int,
    events: *mut Kevent64,
    nevents: c_int,
    flags: c_uint,
    timeout: *const libc::timespec,
) -> c_int {
    let unknown = flags & !(KEVENT_FLAG_IMMEDIATE | KEVENT_FLAG_ERROR_EVENTS) != 0;
    let flags = if unknown { Err(Errno::EINVAL) } else { Ok(flags) };
    // SAFETY: passed on.
    unsafe { run(Call::new(kq, (changes, nchanges), (events, nevents), flags, timeout)) }
}

/// A call of kevent. Nothing in it needs to be dropped: a thread may be cancelled while it is here.
#[derive(Clone, Copy)]
struct Call<E> {
    kq: c_int,
    changes: (*const E, c_int),
    events: (*mut E, c_int),
    flags: Result<c_uint>,
    timeout: *const libc::timespec,
    wait: Option<Wait>,
    /// The short way has found nothing.
    silent: bool,
    handlers: u32,
}

impl<E> Call<E> {
    fn new(
        kq: c_int,
        changes: (*const E, c_int),
        events: (*mut E, c_int),
        flags: Result<c_uint>,
        timeout: *const libc::timespec,
    ) -> Call<E> {
        let (wait, silent) = (None, false);
        Call { kq, changes, events, flags, timeout, wait, silent, handlers: Masked::interruptions() }
    }
}

/// What [`Call::go_on`] answers if it has to sleep.
const SLEEP: c_int = c_int::MIN;

/// Runs a call. It is a cancellation point if it may wait (K-053); no lock is held and nothing has to be undone where the
/// thread may end: between two steps, and with all signals blocked, so that no request slips in before the sleep.
///
/// # Safety
/// As [`kevent`].
unsafe fn run<E: Entry>(mut call: Call<E>) -> c_int {
    let may_wait = call.events.1 > 0;
    if may_wait {
        // SAFETY: nothing here needs to be dropped.
        unsafe { pthread_testcancel() };
        if call.changes.1 == 0 && call.flags == Ok(0) {
            // SAFETY: the caller's promise.
            if let Some(told) = unsafe { call.short() } {
                return told;
            }
        }
    }
    loop {
        // SAFETY: the caller's promise.
        let result = boundary(|| unsafe { call.go_on() });
        let interrupted = result == -1 && below::errno() == Errno::EINTR.0;
        if result != SLEEP && !(interrupted && may_wait) {
            return result;
        }
        if result == SLEEP {
            // SAFETY: as above.
            unsafe { pthread_testcancel() };
            if let Some(wait) = &mut call.wait {
                wait.may_sleep(Masked::block());
            }
        }
        // SAFETY: as above.
        unsafe { pthread_testcancel() };
        if result != SLEEP {
            return result;
        }
    }
}

impl<E: Entry> Call<E> {
    /// The short way, where it leads to the end.
    ///
    /// # Safety
    /// As [`kevent`].
    #[inline]
    unsafe fn short(&mut self) -> Option<c_int> {
        let room = self.events.1 as usize;
        pointer::check(self.events.0, room).ok()?;
        // SAFETY: the caller's pointer.
        let now = unsafe { pointer::is_zero(self.timeout) }.ok()?;
        let before = below::errno();
        let mut chunk = [const { MaybeUninit::<E>::uninit() }; scan::CHUNK];
        let ended = at_once(self.kq, room, now, |at, event| {
            if let Some(place) = chunk.get_mut(at) {
                place.write(E::write(event));
            }
        });
        below::set_errno(before);
        let told = match ended {
            Short::Done(told) => told,
            Short::More(..) => scan::CHUNK,
            Short::Long(_) => 0,
        };
        // SAFETY: so many were written, and the caller has room for them.
        unsafe { chunk.as_ptr().cast::<E>().copy_to(self.events.0, told) };
        match ended {
            Short::Done(told) => return Some(told as c_int),
            Short::More(look, end) => {
                self.wait = Some(Wait::new(self.kq, room, Until::Now, self.handlers).after_chunk(look, end));
            }
            Short::Long(silent) => self.silent = silent,
        }
        None
    }

    /// Section 3.1: changes in order, then the scan. [`SLEEP`]: it has to sleep; the next step does.
    ///
    /// # Safety
    /// As [`kevent`].
    #[inline]
    unsafe fn go_on(&mut self) -> Result<c_int> {
        let (kq, events) = (self.kq, self.events.0);
        let mut wait = match self.wait {
            Some(wait) => wait,
            // SAFETY: passed on.
            None => match unsafe { self.begin() } {
                Ok(Begun::Waits(wait)) => wait,
                Ok(Begun::Done(told)) => return Ok(told),
                Err(error) => return kqueue::check(kq).and(Err(error)),
            },
        };
        let step = wait.step(|at, chunk| {
            for (index, event) in chunk.iter().enumerate() {
                // SAFETY: never more entries than the caller has room for.
                unsafe { events.add(at + index).write_unaligned(E::write(event)) };
            }
        });
        match kqueue::seen_off(kq, step)? {
            Step::Done(taken) => Ok(taken as c_int),
            Step::Sleep | Step::Again => {
                self.wait = Some(wait);
                Ok(SLEEP)
            }
        }
    }

    /// # Safety
    /// As [`kevent`].
    #[inline]
    unsafe fn begin(&self) -> Result<Begun> {
        let flags = self.flags?;
        if self.changes.1 > 0 || self.events.1 == 0 {
            kqueue::check(self.kq)?; // else the wait does
        }
        // K-031
        let nchanges = usize::try_from(self.changes.1).map_err(|_| Errno::EINVAL)?;
        let room = usize::try_from(self.events.1).map_err(|_| Errno::EINVAL)?;
        let glance = Cell::new(Glance::default());
        if nchanges > 0 {
            pointer::check(self.changes.0, nchanges)?;
            kqueue::seen_off(self.kq, scan::begin(self.kq))?;
            // SAFETY: the caller's lists.
            let told = unsafe { apply(self.kq, (self.changes.0, nchanges), (self.events.0, room), &glance) };
            let told = kqueue::seen_off(self.kq, told);
            if !matches!(told, Ok(None)) || room == 0 {
                scan::tell_above(self.kq);
            }
            if let Some(told) = told? {
                return Ok(Begun::Done(told as c_int));
            }
        }
        if room == 0 || flags & KEVENT_FLAG_ERROR_EVENTS != 0 {
            return Ok(Begun::Done(0)); // K-041
        }
        let immediate = flags & KEVENT_FLAG_IMMEDIATE != 0;
        // SAFETY: the caller's pointer.
        let until = if immediate { Until::Now } else { unsafe { pointer::read_timeout(self.timeout)? } };
        pointer::check(self.events.0, room)?;
        let wait = Wait::new(self.kq, room, until, self.handlers);
        Ok(Begun::Waits(if nchanges > 0 {
            wait.after_look(glance.get())
        } else {
            wait.after_silence(self.silent)
        }))
    }
}

enum Begun {
    Done(c_int),
    Waits(Wait),
}

/// Applies a changelist. `Some`: the call ends with that many entries, errors and receipts.
///
/// # Safety
/// The lists have as many entries as their counts say.
unsafe fn apply<E: Entry>(
    kq: c_int,
    (changes, count): (*const E, usize),
    (events, room): (*mut E, usize),
    glance: &Cell<Glance>,
) -> Result<Option<usize>> {
    let mut told = 0;
    for begin in (0..count).step_by(STEP) {
        let length = STEP.min(count - begin);
        let mut step = [Kevent::default(); STEP];
        for (index, change) in step.iter_mut().take(length).enumerate() {
            // SAFETY: the caller's list.
            *change = unsafe { changes.add(begin + index).read_unaligned() }.read();
        }
        // 3.1, step 4: filter 0 is skipped without a word.
        for change in step.iter().take(length).filter(|change| change.filter != 0) {
            let error = match register::change(kq, change, glance) {
                Ok(()) if change.flags & flag::RECEIPT == 0 => continue,
                Ok(()) => 0,
                Err(error) => {
                    kqueue::check_again(kq, error)?;
                    error.0
                }
            };
            if told == room {
                // 3.1, step 5: without room a receipt ends the call, and an error fails it.
                return if error == 0 { Ok(Some(0)) } else { Err(Errno(error)) };
            }
            pointer::check(events, told + 1)?;
            let entry = Kevent { flags: flag::ERROR, data: error.into(), ..*change };
            // SAFETY: there is room.
            unsafe { events.add(told).write_unaligned(E::write(&entry)) };
            told += 1;
        }
    }
    Ok((told > 0).then_some(told))
}
