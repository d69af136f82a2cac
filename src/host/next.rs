//! The next definition of a C library function that this library defines too.
//!
//! `dlsym(RTLD_NEXT)`: so another preloaded library behind us in the chain still works. Looked up once a name; a
//! constructor does it before `main`, because `dlsym` is not for signal handlers. In a static executable there is no
//! next definition, and the caller falls back to the system call.

// Symbols become functions here.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering::*};

/// The next definition of one function.
pub struct Next<F> {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
    signature: core::marker::PhantomData<F>,
}

// SAFETY: it holds a name and an address.
unsafe impl<F> Sync for Next<F> {}

/// `found` once the name was looked up in vain.
const ABSENT: *mut c_void = core::ptr::without_provenance_mut(1);

impl<F: Copy> Next<F> {
    /// Names a function.
    ///
    /// # Safety
    /// `F` is the type of a pointer to the C function of that name.
    pub const unsafe fn new(name: &'static CStr) -> Self {
        assert!(size_of::<F>() == size_of::<*mut c_void>());
        Next { name, found: AtomicPtr::new(core::ptr::null_mut()), signature: core::marker::PhantomData }
    }

    /// The function, if the process has one behind us.
    #[inline]
    pub fn get(&self) -> Option<F> {
        let mut at = self.found.load(Relaxed);
        if at.is_null() {
            at = self.look_up();
        }
        if at == ABSENT {
            return None;
        }
        // SAFETY: `F` has a pointer's size and is the symbol's type by the promise made to `new`.
        Some(unsafe { core::mem::transmute_copy(&at) })
    }

    /// The function, if it was looked up and found.
    #[inline]
    pub fn known(&self) -> Option<F> {
        let at = self.found.load(Relaxed);
        // SAFETY: as in `get`.
        (at.addr() > ABSENT.addr()).then(|| unsafe { core::mem::transmute_copy(&at) })
    }

    #[cold]
    #[inline(never)]
    fn look_up(&self) -> *mut c_void {
        // SAFETY: the name is a C string.
        let at = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        let at = if at.is_null() { ABSENT } else { at };
        self.found.store(at, Relaxed);
        at
    }
}

/// Does the process resolve a name to the definition in this library? In one that was loaded late or locally, or stands
/// behind the C library in the search order, nobody calls it. (The address of a definition does not tell: a library
/// that takes it gets that of the definition in force.)
pub fn is_ours(name: &'static CStr) -> bool {
    static HERE: AtomicUsize = AtomicUsize::new(0);
    let base = object_of(symbol(name));
    base.is_some() && base == object_of(core::ptr::from_ref(&HERE).cast())
}

/// A question about the process's symbols, asked once: `dlsym` allocates when it finds nothing, and a child may make its
/// registry in a handler.
pub struct Answer(AtomicU8);

impl Answer {
    /// Not asked yet.
    pub const fn new() -> Answer {
        Answer(AtomicU8::new(0))
    }

    /// The answer.
    pub fn get(&self, ask: impl FnOnce() -> bool) -> bool {
        match self.0.load(Relaxed) {
            0 => {
                let answer = ask();
                self.0.store(1 + u8::from(answer), Relaxed);
                answer
            }
            known => known == 2,
        }
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self::new()
    }
}

/// Does the process have a symbol of this name?
pub fn exists(name: &'static CStr) -> bool {
    !symbol(name).is_null()
}

/// What the process resolves a name to, or null.
fn symbol(name: &'static CStr) -> *mut c_void {
    // SAFETY: the name is a C string.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// The C library's word for "this process has one thread", or ours that says that we do not know.
static ALONE: AtomicPtr<u8> = AtomicPtr::new((&raw const UNKNOWN).cast_mut());
static UNKNOWN: u8 = 0;

/// Finds out where the C library says whether the process has one thread (glibc since 2.32). Asked once.
pub fn learn_who_is_alone() {
    static ASKED: Answer = Answer::new();
    ASKED.get(|| {
        let found = symbol(c"__libc_single_threaded");
        if !found.is_null() {
            ALONE.store(found.cast(), Relaxed);
        }
        !found.is_null()
    });
}

/// Does the process certainly have one thread? Then no other thread comes before the caller's section ends, and what that
/// guards needs no atomic read-modify-write.
#[inline(always)]
pub fn is_alone() -> bool {
    // SAFETY: ours, or a `char` of the C library's that only threads change that begin or end others.
    unsafe { AtomicU8::from_ptr(ALONE.load(Relaxed)).load(Relaxed) != 0 }
}

/// Where the library or program is loaded that an address lies in.
fn object_of(address: *const c_void) -> Option<usize> {
    let mut found = core::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `found` outlives the call; the address is only looked up.
    let ok = unsafe { libc::dladdr(address, found.as_mut_ptr()) } != 0;
    // SAFETY: zeroed, which is a valid Dl_info, or filled.
    ok.then(|| unsafe { found.assume_init() }.dli_fbase.addr())
}
