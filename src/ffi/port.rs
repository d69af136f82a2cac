//! `<port.h>`.

use super::{boundary, pointer};
use crate::errno::{Errno, Result};
use crate::port::retrieve::{self, Ended, Request};
use crate::port::{MAX_LIST, alert, associate, create, seen_off, send};
use crate::registry::queue::Event;
use core::ffi::{c_int, c_uint, c_ushort, c_void};

/// `port_event_t`.
#[repr(C)]
pub struct PortEvent {
    portev_events: c_int,
    portev_source: c_ushort,
    portev_pad: c_ushort,
    portev_object: usize,
    portev_user: *mut c_void,
}

/// `int port_create(void)`
#[unsafe(no_mangle)]
pub extern "C" fn port_create() -> c_int {
    boundary(create)
}

/// `int port_associate(int port, int source, uintptr_t object, int events, void *user)`
#[unsafe(no_mangle)]
pub extern "C" fn port_associate(
    port: c_int,
    source: c_int,
    object: usize,
    events: c_int,
    user: *mut c_void,
) -> c_int {
    boundary(|| seen_off(port, associate::associate(port, source, object, events, user as usize).map(|()| 0)))
}

/// `int port_dissociate(int port, int source, uintptr_t object)`
#[unsafe(no_mangle)]
pub extern "C" fn port_dissociate(port: c_int, source: c_int, object: usize) -> c_int {
    boundary(|| seen_off(port, associate::dissociate(port, source, object).map(|()| 0)))
}

/// `int port_send(int port, int events, void *user)`
#[unsafe(no_mangle)]
pub extern "C" fn port_send(port: c_int, events: c_int, user: *mut c_void) -> c_int {
    boundary(|| send::send(port, events, user as usize).map(|()| 0))
}

/// `int port_alert(int port, int flags, int events, void *user)`
#[unsafe(no_mangle)]
pub extern "C" fn port_alert(port: c_int, flags: c_int, events: c_int, user: *mut c_void) -> c_int {
    boundary(|| seen_off(port, alert::alert(port, flags, events, user as usize).map(|()| 0)))
}

/// `int port_sendn(int ports[], int errors[], uint_t nent, int events, void *user)`
///
/// # Safety
/// `ports` has `nent` entries; `errors` has as many or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn port_sendn(
    ports: *const c_int,
    errors: *mut c_int,
    nent: c_uint,
    events: c_int,
    user: *mut c_void,
) -> c_int {
    boundary(|| {
        if nent == 0 {
            return Err(Errno::EINVAL); // R6.5
        }
        pointer::check(ports, nent as usize)?;
        let writable = pointer::check(errors, nent as usize);
        let mut sent = 0;
        for start in (0..nent as usize).step_by(MAX_LIST) {
            let length = MAX_LIST.min(nent as usize - start);
            let errors = writable.map(|()| errors.wrapping_add(start));
            // SAFETY: within the arrays that the caller promised.
            match unsafe { send_chunk(ports.add(start), errors, length, events, user) } {
                Ok(count) => sent += count,
                Err(_) if sent > 0 => break, // R6.7: "returns the count so far"
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    })
}

/// One chunk: `errors` is written only if an entry failed, then all of the chunk's (R6.6).
///
/// # Safety
/// As for [`port_sendn`], with `length` entries; a bad `errors` is the error that it leads to.
unsafe fn send_chunk(
    ports: *const c_int,
    errors: Result<*mut c_int>,
    length: usize,
    events: c_int,
    user: *mut c_void,
) -> Result<c_int> {
    let (mut written, mut failed) = (0, false);
    // SAFETY: the caller's array.
    let each = (0..length).map(|i| unsafe { ports.add(i).read_unaligned() });
    let sent = send::send_each(each, events, user as usize, |index, error| {
        failed = true;
        if let Ok(errors) = errors {
            // SAFETY: the caller's array, up to this entry.
            unsafe { put_errors(errors, &mut written, index, error.0) };
        }
    });
    if failed {
        let errors = errors?; // "although the good ports have received their event"
        // SAFETY: as above; the entries after the last failure.
        unsafe { put_errors(errors, &mut written, length, 0) };
    }
    Ok(sent as c_int)
}

/// Zeroes the entries from `written` to `index`, and writes `error` there if it is not zero.
///
/// # Safety
/// `errors` has entries up to `index`, and `index` itself if `error` is not zero.
unsafe fn put_errors(errors: *mut c_int, written: &mut usize, index: usize, error: c_int) {
    for good in *written..index {
        // SAFETY: the caller's promise.
        unsafe { errors.add(good).write_unaligned(0) };
    }
    *written = index;
    if error != 0 {
        // SAFETY: the caller's promise.
        unsafe { errors.add(index).write_unaligned(error) };
        *written = index + 1;
    }
}

/// `int port_get(int port, port_event_t *pe, const struct timespec *timeout)`
///
/// # Safety
/// `pe` points to an event, `limit` to a time or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn port_get(port: c_int, pe: *mut PortEvent, limit: *const libc::timespec) -> c_int {
    boundary(|| {
        retrieve::check(port)?;
        pointer::check(pe, 1)?;
        // SAFETY: the caller's pointer, read only if the call must wait.
        let timeout = || unsafe { pointer::read_timeout(limit) };
        let request = Request { port, want: 1, max: 1, endless: limit.is_null(), timeout: &timeout };
        // SAFETY: one event fits.
        let ended =
            retrieve::retrieve::<1>(&request, &mut |at, events| unsafe { write_events(pe, at, events) });
        match seen_off(port, ended)? {
            Ended::Enough(_) | Ended::AtOnce(1..) => Ok(0),
            Ended::AtOnce(0) if retrieve::zero_timeout_succeeds() => Ok(0), // Q1
            _ => Err(Errno::ETIME),
        }
    })
}

/// `int port_getn(int port, port_event_t list[], uint_t max, uint_t *nget, const struct timespec *timeout)`
///
/// # Safety
/// `list` has `max` entries, `nget` points to a number, `limit` to a time or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn port_getn(
    port: c_int,
    list: *mut PortEvent,
    max: c_uint,
    nget: *mut c_uint,
    limit: *const libc::timespec,
) -> c_int {
    boundary(|| {
        if nget.is_null() {
            return Err(Errno::EINVAL); // 7.1 a: before anything else
        }
        retrieve::check(port)?;
        pointer::check(nget, 1)?;
        // SAFETY: checked, and the caller's promise.
        let want = unsafe { nget.read_unaligned() };
        if max > 0 && want > max {
            return Err(Errno::EINVAL); // 7.1 c
        }
        if max == 0 {
            let queued = seen_off(port, retrieve::count(port))?; // 7.1 d
            // SAFETY: as above.
            unsafe { nget.write_unaligned(queued) };
            return Ok(0);
        }
        // 7.1 e, Q11. `max` has no upper bound, so it says nothing of the list's length; `want` does.
        pointer::check(list, want.max(1) as usize)?;
        if want == 0 {
            return Ok(0); // 7.1 f: *nget is 0 already
        }
        // SAFETY: the caller's pointer, read only if the call must wait.
        let timeout = || unsafe { pointer::read_timeout(limit) };
        let request = Request { port, want, max, endless: limit.is_null(), timeout: &timeout };
        // SAFETY: never more than `max` events.
        let ended = retrieve::retrieve::<{ retrieve::CHUNK }>(&request, &mut |at, events| unsafe {
            write_events(list, at, events)
        });
        let late = matches!(ended, Ok(Ended::Late(_)));
        let (Ended::Enough(taken) | Ended::AtOnce(taken) | Ended::Late(taken)) = seen_off(port, ended)?;
        // SAFETY: as above. Q14: only success and ETIME change it.
        unsafe { nget.write_unaligned(taken) };
        if late { Err(Errno::ETIME) } else { Ok(0) }
    })
}

/// Writes what was retrieved; `portev_pad` is never written (1.2).
///
/// # Safety
/// `list` has room for entries up to `at + events.len()`.
unsafe fn write_events(list: *mut PortEvent, at: usize, events: &[Event]) {
    for (index, event) in events.iter().enumerate() {
        // SAFETY: the caller's promise; a kernel's copy minds no alignment.
        unsafe {
            let place = list.add(at + index);
            (&raw mut (*place).portev_events).write_unaligned(event.events);
            (&raw mut (*place).portev_source).write_unaligned(event.tag as c_ushort);
            (&raw mut (*place).portev_object).write_unaligned(event.ident);
            (&raw mut (*place).portev_user).write_unaligned(event.user as *mut c_void);
        }
    }
}
