//! Random programs of event port and of kqueue calls against plain models of the rules; `model/mod.rs` says how.
//!
//! `EVSHIM_MODEL_STEPS` (200,000 of each) and `EVSHIM_MODEL_SEED` (the time). A failure is repeated with the seed that
//! is printed, and shrunk to the shortest program that fails. `EVSHIM_MODEL_FILE` names a file to run instead: what the
//! fuzzer left. `EVSHIM_ORACLE` names the folder of the traces with which the model of kqueue is compared.
#![cfg(not(loom))]
#![allow(unsafe_code, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "model/mod.rs"]
mod model;
#[path = "model/search.rs"]
mod search;
#[path = "model/trace.rs"]
mod trace;
#[path = "model/traces.rs"]
mod traces;

use model::program::Step;
use model::{kq, op};
use std::io::Write;
use std::time::Duration;

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Also where the harness keeps the output of a test that passes to itself.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn listing<Op: Step>(ops: &[Op]) -> String {
    ops.iter().enumerate().map(|(step, op)| format!("{step:5}  {op}\n")).collect()
}

/// The library sees this process' closes, if the linker made it so: then descriptors are re-armed lazily.
#[test]
fn the_process_closes_through_the_library() {
    let (process, library) = (libc::close as *const (), evshim::interpose::close::close as *const ());
    assert_eq!(process, library, "libc::close of this executable is not the library's");
}

#[test]
fn random_programs_agree_with_the_model() {
    random_programs::<op::Op>("ports");
}

#[test]
fn random_kqueue_programs_agree_with_the_model() {
    random_programs::<kq::op::Op>("kqueue");
}

#[test]
fn random_programs_that_rearm_agree_with_the_model() {
    random_programs::<kq::rearm::Rearm>("kqueue, re-armed");
}

fn random_programs<Op: Step>(what: &str) {
    if let Some(file) = std::env::var_os("EVSHIM_MODEL_FILE") {
        let ops = Op::decode(&std::fs::read(file).expect("the file"));
        if let Err(failure) = search::check(&ops, Duration::from_secs(5)) {
            give_up(ops, &failure, &format!("{what}, of the file"));
        }
        return;
    }
    let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_millis() as u64);
    let seed = number_of("EVSHIM_MODEL_SEED").unwrap_or(since_1970);
    let steps = number_of("EVSHIM_MODEL_STEPS").unwrap_or(200_000);
    let origin = format!("{what}, EVSHIM_MODEL_SEED={seed}");
    say(&format!("model: {steps} steps, {origin}"));
    if let Err(failure) = search::search::<Op>(seed, steps) {
        match search::reproduce::<Op>(seed, &failure) {
            Some(ops) => give_up(ops, &failure, &origin),
            None => panic!("step {}: {}; it does not fail again ({origin})", failure.step, failure.text),
        }
    }
}

/// Shrinks and reports.
fn give_up<Op: Step>(ops: Vec<Op>, failure: &search::Failure, origin: &str) -> ! {
    say(&format!("model: program {}, step {}: {}", failure.program, failure.step, failure.text));
    let (ops, failure) = search::shrink(ops);
    say(&format!("model: the shortest program that fails:\n{}", listing(&ops)));
    panic!("step {}: {} ({origin})", failure.step, failure.text);
}

/// The oldest inputs that a fuzzer tries.
#[test]
fn every_string_is_a_program() {
    strings::<op::Op>();
    strings::<kq::op::Op>();
    strings::<kq::rearm::Rearm>();
}

fn strings<Op: Step>() {
    assert!(Op::decode(b"").is_empty() && Op::decode(b"abc").is_empty());
    for byte in 0..=255 {
        let ops = Op::decode(&[byte; 64]);
        assert_eq!(ops.len(), 16);
        let checked = search::check(&ops, Duration::from_secs(5)).map_err(|failure| failure.text);
        assert_eq!(checked, Ok(()), "byte {byte}");
    }
}

/// The model of kqueue is right: it says what a kernel said.
#[test]
fn the_model_of_kqueue_equals_a_kernel() {
    traces::compare(say);
}
