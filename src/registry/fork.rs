//! The fork word: how a child notices that it is one.
//!
//! The pointer to the registry lives in a page that the kernel replaces by zeroes in every forked child
//! (MADV_WIPEONFORK). So a child finds no registry, whatever made it (`fork`, `_Fork`, `clone`, `daemon`), and no
//! handler has to run: descriptors that it inherited are uninvolved, and its first `port_create` makes a registry of
//! its own. A thread that forked in a handler, while `port_get` slept below, notices on return that the registry
//! it entered with is not the current one.
//!
//! A child of vfork shares the page. It is told by its process number, which is asked only for a descriptor that is
//! involved ([`is_process`]).

use super::{Registry, memory};
use crate::errno::{Errno, Result};
use crate::host::{below, handlers, next};
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering::*};

/// The wiped page.
#[repr(C)]
pub struct ForkPage {
    registry: AtomicPtr<Registry>,
    process: AtomicI32,
}

const PAGE: usize = 4096;

static PLACE: AtomicPtr<ForkPage> = AtomicPtr::new(core::ptr::null_mut());

/// The kernel could not promise to wipe the page: the fork interposer and this flag do it.
static NOT_WIPED: AtomicI32 = AtomicI32::new(0);

/// The process's registry, if it made one.
#[inline]
pub fn current() -> Option<&'static Registry> {
    let page = memory::fork_page_at(PLACE.load(Acquire))?;
    memory::registry_at(page.registry.load(Acquire))
}

/// The process's registry, made now if need be. ENOMEM.
pub fn current_or_new() -> Result<&'static Registry> {
    if let Some(registry) = current() {
        return Ok(registry);
    }
    handlers::take_over();
    next::learn_who_is_alone();
    let page = page().ok_or(Errno::ENOMEM)?;
    let fresh = memory::keep(Registry::new()?).ok_or(Errno::ENOMEM)?;
    page.process.store(below::process(), Relaxed);
    let fresh = core::ptr::from_ref(fresh).cast_mut();
    // The loser of a race leaves an untouched reservation behind: a few pages, once.
    let _ = page.registry.compare_exchange(core::ptr::null_mut(), fresh, AcqRel, Acquire);
    current().ok_or(Errno::ENOMEM)
}

fn page() -> Option<&'static ForkPage> {
    if PLACE.load(Acquire).is_null() {
        let base = below::map(PAGE);
        if base.is_null() {
            return None;
        }
        if !below::wipe_on_fork(base, PAGE) {
            NOT_WIPED.store(1, Relaxed);
        }
        let _ = PLACE.compare_exchange(core::ptr::null_mut(), base.cast(), AcqRel, Acquire);
    }
    memory::fork_page_at(PLACE.load(Acquire))
}

/// Is the caller the process that the registry is of, and not a child of vfork that shares its memory?
pub fn is_process() -> bool {
    memory::fork_page_at(PLACE.load(Acquire)).is_some_and(|p| p.process.load(Relaxed) == below::process())
}

/// Called in the child by the fork interposer, for kernels that do not wipe.
pub fn in_child() {
    handlers::in_child();
    if NOT_WIPED.load(Relaxed) != 0
        && let Some(page) = memory::fork_page_at(PLACE.load(Acquire))
    {
        page.registry.store(core::ptr::null_mut(), Release);
    }
}
