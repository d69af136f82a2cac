//! The structures that C callers have for an event.

use crate::kqueue::{Kevent, NOTE_ABSTIME, NOTE_MSECONDS, filter};
use core::ffi::c_void;

/// A structure that C callers have for an event.
pub trait Entry: Copy {
    /// What it says.
    fn read(self) -> Kevent;
    /// The reverse.
    fn write(event: &Kevent) -> Self;
}

/// `struct kevent` of libkqueue.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct KeventC {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: isize,
    udata: *mut c_void,
}

impl Entry for KeventC {
    fn read(self) -> Kevent {
        Kevent {
            ident: self.ident,
            filter: self.filter,
            flags: self.flags,
            fflags: self.fflags,
            data: self.data as i64,
            udata: self.udata as usize as u64,
            ext: [0; 2],
        }
    }

    fn write(event: &Kevent) -> Self {
        KeventC {
            ident: event.ident,
            filter: event.filter,
            flags: event.flags,
            fflags: event.fflags,
            data: event.data as isize,
            udata: event.udata as usize as *mut c_void,
        }
    }
}

/// `struct kevent64_s` of macOS.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Kevent64 {
    ident: u64,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: i64,
    udata: u64,
    ext: [u64; 2],
}

impl Entry for Kevent64 {
    fn read(self) -> Kevent {
        let Kevent64 { ident, filter, flags, fflags, data, udata, ext } = self;
        // No descriptor has a number that a word does not hold.
        let ident = usize::try_from(ident).unwrap_or(usize::MAX);
        Kevent { ident, filter, flags, fflags, data, udata, ext }
    }

    fn write(event: &Kevent) -> Self {
        let &Kevent { ident, filter, flags, fflags, data, udata, ext } = event;
        Kevent64 { ident: ident as u64, filter, flags, fflags, data, udata, ext }
    }
}

/// `struct kevent` of FreeBSD 12 and later.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct KeventFreebsd {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: i64,
    udata: *mut c_void,
    ext: [u64; 4],
}

impl Entry for KeventFreebsd {
    fn read(self) -> Kevent {
        let timer = self.filter == filter::TIMER;
        Kevent {
            ident: self.ident,
            filter: self.filter,
            flags: self.flags,
            fflags: if timer { timer_flags(self.fflags) } else { self.fflags },
            data: self.data,
            udata: self.udata as usize as u64,
            ext: [self.ext[2], self.ext[3]],
        }
    }

    fn write(event: &Kevent) -> Self {
        KeventFreebsd {
            ident: event.ident,
            filter: event.filter,
            flags: event.flags,
            fflags: event.fflags,
            data: event.data,
            udata: event.udata as usize as *mut c_void,
            ext: [0, 0, event.ext[0], event.ext[1]],
        }
    }
}

/// FreeBSD's units of a timer as ours. What it does not know stays unknown.
fn timer_flags(fflags: u32) -> u32 {
    const NAMES: [(u32, u32); 5] =
        [(0x1, 0x1), (0x2, NOTE_MSECONDS), (0x4, 0x2), (0x8, 0x4), (0x10, NOTE_ABSTIME)];
    let known = NAMES.iter().filter(|(theirs, _)| fflags & theirs != 0).fold(0, |ours, (_, our)| ours | our);
    if fflags & !0x1f != 0 { known | 1 << 31 } else { known }
}
