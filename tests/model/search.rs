//! Many programs, and the shortest one that fails.
//!
//! Everything runs in children, so that a crash and a call that never returns are results like any other. The child
//! says where it is through a shared page; when it has been at one step for too long it is killed.

use crate::model::program::Step;
use crate::model::{PORTS, SLOTS};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const TEXT: usize = 4000;

/// What a child leaves behind.
#[repr(C)]
struct Page {
    /// Which program, of a series.
    program: AtomicU64,
    /// Steps made, of all programs.
    steps: AtomicU64,
    /// The step of the present program.
    step: AtomicUsize,
    length: AtomicUsize,
    text: [AtomicU64; TEXT / 8],
}

/// How a child ended that did not find everything right.
#[derive(Debug)]
pub struct Failure {
    /// Which program.
    pub program: u64,
    /// Which of its steps.
    pub step: usize,
    /// What was wrong.
    pub text: String,
}

/// Random numbers, the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The program of a number in the series of a seed: mostly short ones, each of which starts from nothing. Each has a
/// choice of the operations only, so that also what takes many of one kind (a full port) comes about.
pub fn program<Op: Step>(seed: u64, number: u64) -> Vec<Op> {
    let mut random = Random::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
    let length = if number % 16 == 15 { 4000 } else { 40 + random.next() % 400 };
    let choice = match number % 4 {
        0 => u64::MAX,
        1 => random.next() | random.next(),
        _ => random.next(),
    };
    let mut next = || {
        let [code, rest @ ..] = (random.next() as u32).to_le_bytes();
        ((choice | Op::NEEDED) >> Op::kind_of(code) & 1 == 1).then_some([code, rest[0], rest[1], rest[2]])
    };
    let bytes: Vec<u8> = (0..length).flat_map(|_| (0..64).find_map(|_| next()).unwrap_or_default()).collect();
    Op::decode(&bytes)
}

fn shared_page() -> &'static Page {
    // SAFETY: a new mapping, zeroed, of which all values are valid, and that stays.
    unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let page = libc::mmap(core::ptr::null_mut(), size_of::<Page>(), rights, flags, -1, 0);
        assert!(page != libc::MAP_FAILED, "mmap");
        &*page.cast()
    }
}

impl Page {
    fn write(&self, text: &str) {
        let mut bytes = text.as_bytes()[..text.len().min(TEXT)].to_vec();
        self.length.store(bytes.len(), SeqCst);
        bytes.resize(TEXT, 0);
        for (word, eight) in self.text.iter().zip(bytes.chunks_exact(8)) {
            word.store(u64::from_ne_bytes(eight.try_into().unwrap()), SeqCst);
        }
    }

    fn read(&self) -> String {
        let bytes: Vec<u8> = self.text.iter().flat_map(|word| word.load(SeqCst).to_ne_bytes()).collect();
        String::from_utf8_lossy(&bytes[..self.length.load(SeqCst)]).into_owned()
    }
}

/// Runs programs one after the other in a child, until one fails or `steps` are made.
fn in_child<Op: Step>(next: &dyn Fn(u64) -> Option<Vec<Op>>, patience: Duration) -> Result<u64, Failure> {
    let page = shared_page();
    // SAFETY: the child runs the programs and ends.
    let child = evshim::interpose::process::fork();
    assert!(child >= 0, "fork");
    if child == 0 {
        let ended = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| child_main(page, next)));
        let status = match ended {
            Ok(true) => 0,
            Ok(false) => 1,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                page.write(&format!("panic: {}", text.unwrap_or_default()));
                1
            }
        };
        // SAFETY: ends this process and nothing else.
        unsafe { libc::_exit(status) };
    }
    let ended = wait(child, page, patience);
    let result = ended.map(|()| page.steps.load(SeqCst)).map_err(|text| Failure {
        program: page.program.load(SeqCst),
        step: page.step.load(SeqCst),
        text,
    });
    // SAFETY: nobody else knows the page.
    unsafe { libc::munmap(core::ptr::from_ref(page).cast_mut().cast(), size_of::<Page>()) };
    result
}

fn child_main<Op: Step>(page: &Page, next: &dyn Fn(u64) -> Option<Vec<Op>>) -> bool {
    for number in 0.. {
        let Some(program) = next(number) else { break };
        page.program.store(number, SeqCst);
        let result = Op::run(&program, &mut |step| {
            page.step.store(step, SeqCst);
            page.steps.fetch_add(1, SeqCst);
        });
        if let Err(difference) = result {
            page.step.store(difference.step, SeqCst);
            page.write(&difference.text);
            return false;
        }
    }
    true
}

fn wait(child: i32, page: &Page, patience: Duration) -> Result<(), String> {
    let (mut last, mut since, mut pause) = (u64::MAX, Instant::now(), Duration::from_micros(50));
    loop {
        let mut status = 0;
        // SAFETY: our own child.
        if unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == child {
            return match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
                (true, 0) => Ok(()),
                (true, _) => Err(page.read()),
                (false, _) => Err(format!("killed by signal {}", libc::WTERMSIG(status))),
            };
        }
        let steps = page.steps.load(SeqCst);
        if steps != last {
            (last, since) = (steps, Instant::now());
        } else if since.elapsed() > patience {
            // SAFETY: our own child, not yet waited for.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &raw mut status, 0);
            }
            return Err("the call does not return".into());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Runs the series of a seed until `steps` steps are made.
pub fn search<Op: Step>(seed: u64, steps: u64) -> Result<u64, Failure> {
    let made = AtomicU64::new(0);
    let next = |number| {
        let program: Vec<Op> = program(seed, number);
        (made.fetch_add(program.len() as u64, SeqCst) < steps).then_some(program)
    };
    in_child(&next, Duration::from_secs(10))
}

/// Runs one program in a process of its own.
pub fn check<Op: Step>(ops: &[Op], patience: Duration) -> Result<(), Failure> {
    in_child(&|number| (number == 0).then(|| ops.to_vec()), patience).map(drop)
}

/// The failing program of a series, which fails when it is run alone, or after as few of the programs before it as
/// are needed. `None`: not even after all of them.
pub fn reproduce<Op: Step>(seed: u64, failure: &Failure) -> Option<Vec<Op>> {
    let mut before = 0;
    loop {
        let first = failure.program.saturating_sub(before);
        let mut programs: Vec<Vec<Op>> =
            (first..=failure.program).map(|number| program(seed, number)).collect();
        programs.last_mut().expect("the one that failed").truncate(failure.step + 1);
        let ops = programs.join(&Op::RESTART);
        if check(&ops, Duration::from_secs(5)).is_err() {
            return Some(ops);
        }
        if first == 0 {
            return None;
        }
        before = before * 4 + 1;
    }
}

/// What a failure says, without what it says it of: names in capitals and numbers.
fn class(text: &str) -> Vec<String> {
    let of_it = |word: &&str| {
        word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            && !["number", "queue", "port", "data", "udata", "fflags"].contains(word)
    };
    text.split([' ', ',', ':', ';', '[', ']'])
        .filter(|word| !word.is_empty())
        .filter(of_it)
        .map(str::to_string)
        .collect()
}

/// Makes a failing program as short and as simple as it will get within a minute or two. The failure may become
/// another one of the same words on the way.
pub fn shrink<Op: Step>(mut ops: Vec<Op>) -> (Vec<Op>, Failure) {
    let end = Instant::now() + Duration::from_secs(120);
    let words = check(&ops, Duration::from_secs(5)).map_err(|failure| class(&failure.text)).err();
    let fails = |ops: &[Op]| {
        let failure = |ops| check(ops, Duration::from_millis(400)).err();
        Instant::now() < end && failure(ops).is_some_and(|failure| Some(class(&failure.text)) == words)
    };
    loop {
        let before = ops.clone();
        remove_parts(&mut ops, &fails);
        rename(&mut ops, &fails);
        for index in 0..ops.len() {
            for simpler in ops[index].simpler() {
                let mut candidate = ops.clone();
                candidate[index] = simpler;
                if fails(&candidate) {
                    ops = candidate;
                    break;
                }
            }
        }
        if ops == before {
            break;
        }
    }
    let last = check(&ops, Duration::from_secs(2)).err();
    (ops, last.unwrap_or(Failure { program: 0, step: 0, text: "it fails now and then only".into() }))
}

/// Delta debugging: parts of half the length, then of a quarter, down to single operations.
fn remove_parts<Op: Step>(ops: &mut Vec<Op>, fails: &dyn Fn(&[Op]) -> bool) {
    let mut part = ops.len().div_ceil(2).max(1);
    loop {
        let (mut at, mut removed) = (0, false);
        while at < ops.len() {
            let mut candidate = ops.clone();
            candidate.drain(at..(at + part).min(ops.len()));
            if fails(&candidate) {
                *ops = candidate;
                removed = true;
            } else {
                at += part;
            }
        }
        if part > 1 {
            part = part.div_ceil(2);
        } else if !removed {
            return;
        }
    }
}

/// Low numbers, and one port, if that is enough.
fn rename<Op: Step>(ops: &mut Vec<Op>, fails: &dyn Fn(&[Op]) -> bool) {
    for to in 0..SLOTS {
        for from in to + 1..SLOTS {
            let name = |slot| {
                if slot == from {
                    to
                } else if slot == to {
                    from
                } else {
                    slot
                }
            };
            let candidate: Vec<Op> = ops.iter().map(|op| op.renamed(&name, &|p| p)).collect();
            let uses = |ops: &[Op], slot: usize| {
                ops.iter().any(|op| op.renamed(&|s| if s == slot { SLOTS } else { s }, &|p| p) != *op)
            };
            if uses(ops, from) && !uses(ops, to) && fails(&candidate) {
                *ops = candidate;
            }
        }
    }
    let one: Vec<Op> = ops.iter().map(|op| op.renamed(&|s| s, &|_| 0)).collect();
    let swapped: Vec<Op> = ops.iter().map(|op| op.renamed(&|s| s, &|p| PORTS - 1 - p)).collect();
    let uses_one = one == *ops;
    if !uses_one && fails(&one) {
        *ops = one;
    } else if !uses_one && swapped.iter().all(|op| op.renamed(&|s| s, &|_| 0) == *op) && fails(&swapped) {
        *ops = swapped;
    }
}
