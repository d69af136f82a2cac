//! Models of the lock-free parts: every interleaving of a few threads, by loom.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom` (`make check-loom`). The library's own sources are
//! compiled here against loom's atomics; the futex is a model that may wake for nothing, as the real one.
#![cfg(loom)]
#![allow(unsafe_code)] // references that loom itself watches

mod sync {
    pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    /// The library's lock is taken where no handler of the program's runs; here there are none.
    pub struct Masked;

    loom::lazy_static! {
        static ref SLEEPERS: (loom::sync::Mutex<()>, loom::sync::Condvar) =
            (loom::sync::Mutex::new(()), loom::sync::Condvar::new());
    }

    /// The models are about several threads.
    pub fn is_alone() -> bool {
        false
    }

    pub fn futex_wait(word: &AtomicU32, value: u32, _: Option<u64>) {
        let guard = SLEEPERS.0.lock().unwrap();
        if word.load(Ordering::SeqCst) == value {
            drop(SLEEPERS.1.wait(guard).unwrap());
        }
    }

    pub fn futex_wake(_: &AtomicU32, _: i32) {
        let _guard = SLEEPERS.0.lock().unwrap();
        SLEEPERS.1.notify_all();
    }
}

#[path = "../src/registry/free.rs"]
#[allow(missing_docs, dead_code)]
mod free;
#[path = "../src/registry/lock.rs"]
#[allow(missing_docs, dead_code)]
mod lock;
#[path = "../src/registry/pin.rs"]
#[allow(missing_docs, dead_code)]
mod pin;
#[path = "../src/registry/word.rs"]
#[allow(missing_docs, dead_code)]
mod word;

use loom::sync::Arc;
use loom::thread;
use sync::{AtomicU32, Masked, Ordering::Relaxed};

/// Two threads take, use and give back indices of a stack of two: nobody ever holds an index that another holds.
#[test]
fn an_index_has_one_owner() {
    struct Shared {
        list: free::FreeList,
        links: [AtomicU32; 3],
        owners: [AtomicU32; 3],
    }
    loom::model(|| {
        let shared = Arc::new(Shared {
            list: free::FreeList::default(),
            links: [(); 3].map(|()| AtomicU32::new(0)),
            owners: [(); 3].map(|()| AtomicU32::new(0)),
        });
        // loom checks lifetimes by itself: the links outlive the threads, which are joined.
        let link = |s: &Shared, i: u32| -> &'static AtomicU32 {
            unsafe { &*std::ptr::from_ref(&s.links[i as usize]) }
        };
        for index in [1, 2] {
            shared.list.push(index, |i| link(&shared, i));
        }
        let work = move |s: Arc<Shared>| {
            let taken = s.list.pop(|i| link(&s, i)).expect("two threads, two indices");
            assert_eq!(s.owners[taken as usize].fetch_add(1, Relaxed), 0, "somebody else owns it");
            s.owners[taken as usize].fetch_sub(1, Relaxed);
            s.list.push(taken, |i| link(&s, i));
        };
        let other = shared.clone();
        let second = thread::spawn(move || work(other));
        work(shared.clone());
        second.join().unwrap();
        let mut left = [shared.list.pop(|i| link(&shared, i)), shared.list.pop(|i| link(&shared, i))];
        left.sort();
        assert_eq!(left, [Some(1), Some(2)], "nothing is lost and nothing is there twice");
        assert_eq!(shared.list.pop(|i| link(&shared, i)), None);
    });
}

/// The lock excludes, and its last holder wakes who waits.
#[test]
fn the_lock_excludes() {
    loom::model(|| {
        let shared = Arc::new((lock::Lock::default(), loom::cell::UnsafeCell::new(0)));
        let work = |shared: &(lock::Lock, loom::cell::UnsafeCell<i32>)| {
            let _guard = shared.0.lock(&Masked);
            shared.1.with_mut(|n| unsafe { *n += 1 });
        };
        let other = shared.clone();
        let second = thread::spawn(move || work(&other));
        work(&shared);
        second.join().unwrap();
        let _guard = shared.0.lock(&Masked);
        shared.1.with(|n| assert_eq!(unsafe { *n }, 2));
    });
}

/// A waiter's return and one who waits for it: the return is never missed, also if the futex wakes for nothing.
#[test]
fn a_return_is_never_missed() {
    loom::model(|| {
        let word = Arc::new(word::Word::default());
        let stamp = word.renew(word::State::Going);
        let other = word.clone();
        let waiter = thread::spawn(move || other.come_back(stamp));
        while !word.await_return(stamp, None) {}
        assert_eq!(word.state(), word::State::Back);
        waiter.join().unwrap();
    });
}

/// The slot was given to somebody else meanwhile: a late return changes nothing.
#[test]
fn a_late_return_is_nobodys() {
    loom::model(|| {
        let word = Arc::new(word::Word::default());
        let stamp = word.renew(word::State::Going);
        let other = word.clone();
        let waiter = thread::spawn(move || other.come_back(stamp));
        word.renew(word::State::Free);
        let now = word.renew(word::State::Armed);
        waiter.join().unwrap();
        assert_eq!((word.state(), word.stamp()), (word::State::Armed, now));
    });
}

/// Who waits for pins is woken by the last one that goes, and not before.
#[test]
fn pins_are_waited_for() {
    loom::model(|| {
        let shared = Arc::new((pin::Pins::default(), AtomicU32::new(0)));
        shared.0.pin();
        shared.0.pin();
        let unpin = |shared: Arc<(pin::Pins, AtomicU32)>| {
            shared.1.fetch_add(1, Relaxed);
            shared.0.unpin();
        };
        let (one, other) = (shared.clone(), shared.clone());
        let one = thread::spawn(move || unpin(one));
        let other = thread::spawn(move || unpin(other));
        shared.0.await_none();
        assert_eq!(shared.1.load(Relaxed), 2, "somebody still has it pinned");
        assert!(!shared.0.any());
        one.join().unwrap();
        other.join().unwrap();
    });
}
