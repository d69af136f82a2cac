//! The fuzzer drives the same programs against the same model as `tests/model.rs`: four bytes an operation.
//!
//! A program that fails is printed. The fuzzer's own `-minimize_crash=1` makes it shorter.
#![no_main]
#![allow(unsafe_code, dead_code)]

#[path = "../../tests/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;
use model::{op::Op, program::Step};

fuzz_target!(|bytes: &[u8]| {
    let program = Op::decode(bytes);
    if let Err(difference) = Op::run(&program, &mut |_| {}) {
        for (step, op) in program.iter().enumerate().take(difference.step + 1) {
            eprintln!("{step:5}  {op}");
        }
        panic!("{difference}");
    }
});
