//! `<sys/event.h>`: the C symbols of kqueue.

use super::kevent::{Entry, Kevent64, KeventC, KeventFreebsd};
use super::{boundary, pointer};
use crate::errno::{Errno, Result};
use crate::host::{Masked, Until, below};
use crate::kqueue::direct::{Rest, Short, at_once};
use crate::kqueue::scan::{self, Glance, Step, Wait};
use crate::kqueue::{self, Kevent, company, flag, register};
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
    unsafe {
        run(Given { kq, changes: (changes, nchanges), events: (events, nevents), flags: Ok(0), timeout })
    }
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
    unsafe {
        run(Given { kq, changes: (changes, nchanges), events: (events, nevents), flags: Ok(0), timeout })
    }
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
    unsafe { run(Given { kq, changes: (changes, nchanges), events: (events, nevents), flags, timeout }) }
}

/// What a caller of kevent has given.
#[derive(Clone, Copy)]
struct Given<E> {
    kq: c_int,
    changes: (*const E, c_int),
    events: (*mut E, c_int),
    flags: Result<c_uint>,
    timeout: *const libc::timespec,
}

/// Runs a call. It is a cancellation point if it may wait (K-053); no lock is held and nothing has to be undone where the
/// thread may end: between two steps, and with all signals blocked, so that no request slips in before the sleep.
///
/// # Safety
/// As [`kevent`].
#[inline(always)]
unsafe fn run<E: Entry>(given: Given<E>) -> c_int {
    let handlers = Masked::interruptions();
    let mut rest = (Rest::default(), None);
    let may_wait = given.events.1 > 0;
    if may_wait {
        // SAFETY: nothing here needs to be dropped.
        unsafe { pthread_testcancel() };
    }
    // SAFETY: the caller's promise.
    if !may_wait && let Some(done) = unsafe { given.single() } {
        return done;
    }
    if given.flags == Ok(0) && (may_wait || given.is_shared_change()) {
        // SAFETY: the caller's promise.
        match unsafe { given.short() } {
            Some(Short::Done(told)) => return told as c_int,
            Some(Short::More(look, end)) => rest.1 = Some((look, end)),
            Some(Short::Long(left)) => rest.0 = left,
            None => {}
        }
    }
    // SAFETY: passed on.
    unsafe { Call::new(given, rest.0, rest.1, handlers).run() }
}

impl<E: Entry> Given<E> {
    /// Nothing but one change, which needs no long way.
    ///
    /// # Safety
    /// As [`kevent`].
    #[inline(always)]
    unsafe fn single(&self) -> Option<c_int> {
        if self.changes.1 != 1 || self.events.1 != 0 || self.flags != Ok(0) {
            return None;
        }
        pointer::check(self.changes.0, 1).ok()?;
        // SAFETY: the caller's list.
        let change = unsafe { self.changes.0.read_unaligned() }.read();
        let before = below::errno();
        let done = register::single(self.kq, &change);
        below::set_errno(before);
        match done? {
            // An error may be that of a number that is no queue any more: the long way finds out.
            Err(Errno::EBADF) => None,
            done => Some(boundary(|| done.map(|()| 0))),
        }
    }

    /// Is it nothing but a change to a queue that several threads wait for?
    fn is_shared_change(&self) -> bool {
        self.events.1 == 0 && self.changes.1 == 1 && company::is_likely(self.kq)
    }

    /// The short way. `None`: the call has something for the long way.
    ///
    /// # Safety
    /// As [`kevent`].
    #[inline(always)]
    unsafe fn short(&self) -> Option<Short> {
        let room = self.events.1 as usize;
        let count = self.changes.1 as usize;
        if count > scan::CHUNK || pointer::check(self.events.0, room).is_err() {
            return None;
        }
        // SAFETY: the caller's pointer.
        let now = room == 0 || unsafe { pointer::is_zero(self.timeout) }.ok()?;
        let mut changes = [const { MaybeUninit::<Kevent>::uninit() }; scan::CHUNK];
        if count > 0 {
            pointer::check(self.changes.0, count).ok()?;
            for (index, place) in changes.iter_mut().take(count).enumerate() {
                // SAFETY: the caller's list.
                place.write(unsafe { self.changes.0.add(index).read_unaligned() }.read());
            }
        }
        // SAFETY: so many were written.
        let changes = unsafe { core::slice::from_raw_parts(changes.as_ptr().cast::<Kevent>(), count) };
        let before = below::errno();
        let mut chunk = [const { MaybeUninit::<E>::uninit() }; scan::CHUNK];
        let sink = |at: usize, event: &Kevent| {
            if let Some(place) = chunk.get_mut(at) {
                place.write(E::write(event));
            }
        };
        let ended = if company::is_likely(self.kq) && count <= 1 {
            company::among_threads(self.kq, changes.first(), room, now, sink)
        } else {
            at_once(self.kq, changes, room, now, sink)
        };
        below::set_errno(before);
        let told = match ended {
            Short::Done(told) => told,
            Short::More(..) => scan::CHUNK,
            Short::Long(_) => 0,
        };
        for (index, event) in chunk.iter().take(told).enumerate() {
            // SAFETY: so many were written, and the caller has room for them.
            unsafe { self.events.0.add(index).write_unaligned(event.assume_init()) };
        }
        Some(ended)
    }
}

/// A call of kevent that goes the long way. Nothing in it needs to be dropped: a thread may be cancelled while it is here.
#[derive(Clone, Copy)]
struct Call<E> {
    given: Given<E>,
    wait: Option<Wait>,
    /// The short way has left this.
    rest: Rest,
    handlers: u32,
}

/// What [`Call::go_on`] answers if it has to sleep.
const SLEEP: c_int = c_int::MIN;

impl<E: Entry> Call<E> {
    /// # Safety
    /// As [`kevent`]. `chunk`: so much has been taken by the short way.
    #[cold]
    unsafe fn new(
        mut given: Given<E>,
        rest: Rest,
        chunk: Option<(Option<u32>, u64)>,
        handlers: u32,
    ) -> Call<E> {
        let (changes, count) = given.changes;
        // SAFETY: within the list, or its end.
        given.changes = unsafe { (changes.add(rest.made), count - rest.made as c_int) };
        let wait = chunk.map(|(look, end)| {
            Wait::new(given.kq, given.events.1 as usize, Until::Now, handlers).after_chunk(look, end)
        });
        Call { given, wait, rest, handlers }
    }

    /// # Safety
    /// As [`kevent`].
    #[inline(never)]
    unsafe fn run(mut self) -> c_int {
        let may_wait = self.given.events.1 > 0;
        loop {
            // SAFETY: the caller's promise.
            let result = boundary(|| unsafe { self.go_on() });
            let interrupted = result == -1 && below::errno() == Errno::EINTR.0;
            if result != SLEEP && !(interrupted && may_wait) {
                return result;
            }
            if result == SLEEP {
                // SAFETY: nothing here needs to be dropped.
                unsafe { pthread_testcancel() };
                if let Some(wait) = &mut self.wait {
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

    /// Section 3.1: changes in order, then the scan. [`SLEEP`]: it has to sleep; the next step does.
    ///
    /// # Safety
    /// As [`kevent`].
    #[inline]
    unsafe fn go_on(&mut self) -> Result<c_int> {
        let (kq, events) = (self.given.kq, self.given.events.0);
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
        let flags = self.given.flags?;
        let has_changes = self.given.changes.1 > 0;
        if !has_changes && self.given.events.1 == 0 {
            kqueue::check(self.given.kq)?; // else the first of them, or the wait, does
        }
        // K-031
        let nchanges = usize::try_from(self.given.changes.1).map_err(|_| Errno::EINVAL)?;
        let room = usize::try_from(self.given.events.1).map_err(|_| Errno::EINVAL)?;
        let glance = Cell::new(self.rest.glance);
        if nchanges > 0 {
            kqueue::seen_off(self.given.kq, scan::begin(self.given.kq))?;
            pointer::check(self.given.changes.0, nchanges)?;
            // SAFETY: the caller's lists.
            let told = unsafe {
                apply(self.given.kq, (self.given.changes.0, nchanges), (self.given.events.0, room), &glance)
            };
            let told = kqueue::seen_off(self.given.kq, told);
            if !matches!(told, Ok(None)) || room == 0 {
                scan::tell_above(self.given.kq);
            }
            if let Some(told) = told? {
                return Ok(Begun::Done(told as c_int));
            }
        }
        if room == 0 || flags & KEVENT_FLAG_ERROR_EVENTS != 0 {
            return Ok(Begun::Done(0)); // K-041
        }
        let immediate = flags & KEVENT_FLAG_IMMEDIATE != 0;
        let timeout = self.given.timeout;
        // SAFETY: the caller's pointer.
        let until = if immediate { Until::Now } else { unsafe { pointer::read_timeout(timeout)? } };
        pointer::check(self.given.events.0, room)?;
        let wait = Wait::new(self.given.kq, room, until, self.handlers);
        Ok(Begun::Waits(if nchanges > 0 {
            wait.after_look(glance.get())
        } else {
            wait.after_silence(self.rest.silent)
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
        let mut step = [const { MaybeUninit::<Kevent>::uninit() }; STEP];
        let length = STEP.min(count - begin);
        for (index, change) in step.iter_mut().take(length).enumerate() {
            // SAFETY: the caller's list.
            change.write(unsafe { changes.add(begin + index).read_unaligned() }.read());
        }
        // SAFETY: so many were written.
        let step = unsafe { core::slice::from_raw_parts(step.as_ptr().cast::<Kevent>(), length) };
        // 3.1, step 4: filter 0 is skipped without a word.
        for change in step.iter().filter(|change| change.filter != 0) {
            let error = match register::change(kq, change, glance) {
                Ok(()) if change.flags & flag::RECEIPT == 0 => continue,
                Ok(()) => 0,
                Err(register::GONE) => return Err(Errno::EBADF),
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
