//! One error type for the whole crate: the number that the C caller will find in `errno`.
//!
//! A type of our own, because no host has every guest's numbers: FreeBSD lacks ETIME, every BSD lacks EBADFD.

/// An error number of the host (or one of ours, above 200, where the host has none).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("The host's `", stringify!($name), "`.")]
                pub const $name: Errno = Errno(libc::$name);
            )*
        }
    };
}

errnos! {
    EAGAIN EBADF EBUSY ECONNABORTED EEXIST EFAULT EINTR EINVAL EMFILE ENFILE ENOENT ENOMEM ENOSPC ENOSYS ENOTCONN ENOTSUP EPERM EPIPE
    ETIMEDOUT
}

#[cfg(target_os = "linux")]
errnos! { EBADFD ETIME }

/// What functions of this crate return when they can fail.
pub type Result<T> = core::result::Result<T, Errno>;
