//! The fuzzer drives the programs of kqueue against their model, as in `tests/model.rs`: four bytes an operation.
//!
//! A program that fails is printed. The fuzzer's own `-minimize_crash=1` makes it shorter.
#![no_main]
#![allow(unsafe_code, dead_code)]

#[path = "../../tests/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;
use model::{kq::op::Op, program::Step};

fuzz_target!(|bytes: &[u8]| {
    let program = Op::decode(bytes);
    if let Err(difference) = Op::run(&program, &mut |_| {}) {
        for (step, op) in program.iter().enumerate().take(difference.step + 1) {
            eprintln!("{step:5}  {op}");
        }
        panic!("{difference}");
    }
});
