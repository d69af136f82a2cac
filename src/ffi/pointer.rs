//! Pointers from C callers.
//!
//! A kernel answers EFAULT for an address that it cannot use. In user space three kinds are recognised before
//! anything is done: null, the first page, and addresses beyond user space. Any other bad address faults, as in
//! every C function.

use crate::errno::{Errno, Result};
use crate::host::{Until, below};

/// Below this nothing is ever mapped (mmap_min_addr).
const FIRST_PAGE: usize = 4096;

/// User space ends here: 47 bits on x86-64, 48 on aarch64 (larger addresses are given out only on request).
const END: usize = if cfg!(target_arch = "x86_64") {
    1 << 47
} else if cfg!(target_arch = "aarch64") {
    1 << 48
} else {
    usize::MAX
};

/// EFAULT unless `count` elements at `pointer` can be the caller's.
#[inline]
pub fn check<T>(pointer: *const T, count: usize) -> Result<()> {
    let start = pointer as usize;
    let end = count.checked_mul(size_of::<T>()).and_then(|length| start.checked_add(length));
    match end {
        Some(end) if start >= FIRST_PAGE && end <= END => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

const BILLION: i64 = 1_000_000_000;

/// Seconds and nanoseconds of a time-out; `None`: there is none. EFAULT, EINVAL.
///
/// # Safety
/// `timeout` is null or points to a time.
#[inline]
unsafe fn read_time(timeout: *const libc::timespec) -> Result<Option<(i64, i64)>> {
    if timeout.is_null() {
        return Ok(None);
    }
    check(timeout, 1)?;
    // SAFETY: the caller's promise.
    let time = unsafe { timeout.read_unaligned() };
    let (seconds, nanoseconds) = (time.tv_sec as i64, time.tv_nsec as i64);
    if seconds < 0 || !(0..BILLION).contains(&nanoseconds) {
        return Err(Errno::EINVAL);
    }
    Ok(Some((seconds, nanoseconds)))
}

/// Reads a time-out: null waits for ever, zero does not wait (7.1 i of the ports, 3.2 of kqueue). EFAULT, EINVAL.
///
/// # Safety
/// `timeout` is null or points to a time.
pub unsafe fn read_timeout(timeout: *const libc::timespec) -> Result<Until> {
    // SAFETY: passed on.
    let (seconds, nanoseconds) = match unsafe { read_time(timeout)? } {
        None => return Ok(Until::Forever),
        Some((0, 0)) => return Ok(Until::Now),
        Some(time) => time,
    };
    // T-193: a time-out beyond the clock's end is for ever.
    let length = (seconds as u64).checked_mul(BILLION as u64).and_then(|s| s.checked_add(nanoseconds as u64));
    Ok(length.and_then(|ns| ns.checked_add(below::now())).map_or(Until::Forever, Until::At))
}

/// Is a time-out zero? EFAULT, EINVAL.
///
/// # Safety
/// As [`read_timeout`].
#[inline]
pub unsafe fn is_zero(timeout: *const libc::timespec) -> Result<bool> {
    // SAFETY: passed on.
    unsafe { read_time(timeout) }.map(|time| time == Some((0, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_the_callers() {
        let good = [0u64; 4];
        assert_eq!(check(good.as_ptr(), 4), Ok(()));
        for bad in [0usize, 8, 4095, usize::MAX - 7, usize::MAX - 4095] {
            assert_eq!(check(bad as *const u64, 1), Err(Errno::EFAULT), "{bad:#x}");
        }
        assert_eq!(
            check(good.as_ptr(), usize::MAX / 4),
            Err(Errno::EFAULT),
            "an array longer than the memory"
        );
    }
}
