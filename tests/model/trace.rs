//! Plays what a kernel answered to the model: the model must say the same, order included.
//!
//! The traces are sequences of operations, each followed by its result. What the model does not know (TCP, UDP, timers
//! that run, full buffers, shutdown for reading) leaves a sequence out.

use crate::model::kq::machine::{FIRST, Like, Machine, What};
use crate::model::kq::rules::*;
use crate::model::kq::scan::Answer;

/// How a sequence ended.
#[derive(PartialEq, Eq, Debug)]
pub enum End {
    Equal,
    NotModelled,
    Differs(String),
}

const ERRORS: [(&str, i32); 7] = [
    ("EBADF", libc::EBADF),
    ("ENOENT", libc::ENOENT),
    ("EINVAL", libc::EINVAL),
    ("EPIPE", libc::EPIPE),
    ("EAGAIN", libc::EAGAIN),
    ("ENOTCONN", libc::ENOTCONN),
    ("ECONNRESET", libc::ECONNRESET),
];

fn errno(name: &str) -> i32 {
    ERRORS.iter().find(|(known, _)| *known == name).map_or(-1, |(_, number)| *number)
}

/// `dN` or a number.
fn ident(word: &str) -> usize {
    match word.strip_prefix('d') {
        Some(index) => index.parse::<usize>().expect("an index") + FIRST as usize,
        None => word.parse().expect("a number"),
    }
}

fn name(word: &str) -> usize {
    ident(word).wrapping_sub(FIRST as usize)
}

/// `None`: of a filter, or with something, that is not modelled.
fn entry(words: &str) -> Option<Kevent> {
    let words: Vec<&str> = words.split(',').collect();
    let [id, filter, flags, fflags, data, user] = words[..] else { return None };
    let filter = match filter {
        "READ" => READ,
        "WRITE" => WRITE,
        "USER" => USER,
        "TIMER" if flags == "DELETE" || flags == "ERROR" => TIMER, // of one that is not there
        "F0" => 0,
        "F100" => -100,
        "F1" => 1,
        _ => return None,
    };
    let bit = |flag: &str| match flag {
        "ADD" => ADD,
        "DELETE" => DELETE,
        "ENABLE" => ENABLE,
        "DISABLE" => DISABLE,
        "ONESHOT" => ONESHOT,
        "CLEAR" => CLEAR,
        "RECEIPT" => RECEIPT,
        "DISPATCH" => DISPATCH,
        "FORCEONESHOT" => FORCEONESHOT,
        "ERROR" => ERROR,
        "EOF" => EOF,
        _ => 0,
    };
    let note = |flag: &str| match flag {
        "LOWAT" => Some(LOWAT),
        "FFAND" => Some(AND),
        "FFOR" => Some(OR),
        "FFCOPY" => Some(CONTROL),
        "TRIGGER" => Some(TRIGGER),
        "-" | "0" => Some(0),
        hex => u32::from_str_radix(hex.strip_prefix("0x")?, 16).ok(),
    };
    Some(Kevent {
        ident: ident(id),
        filter,
        flags: flags.split('|').map(bit).fold(0, |all, bit| all | bit),
        fflags: fflags.split('|').map(note).try_fold(0, |all, bit| Some(all | bit?))?,
        data: if data == "+" { 1 } else { data.parse().unwrap_or_else(|_| errno(data).into()) },
        user: user.parse().ok()?,
    })
}

fn answer(words: &[&str]) -> Option<Answer> {
    match words[0].strip_prefix('-') {
        Some(error) => Some(Err(errno(error))),
        None => words[1..].iter().map(|words| entry(words)).collect::<Option<Vec<_>>>().map(Ok),
    }
}

/// One operation and what the kernel said. `None`: not modelled.
fn step(machine: &mut Machine, line: &str, said: &str, names: &mut usize) -> Option<Result<(), String>> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut next = || {
        *names += 1;
        *names - 1
    };
    let result = match words[..] {
        ["kq"] => {
            machine.open_queue(next());
            return Some(Ok(()));
        }
        [kind @ ("pipe" | "sp" | "sd")] => {
            let (one, other) = (next(), next());
            match kind {
                "pipe" => machine.open_pipe(one, other),
                _ => machine.open_pair(one, other, kind == "sd"),
            }
            return Some(Ok(()));
        }
        ["dup", from] if machine.what(name(from)).is_some() => {
            machine.dup2(name(from), next()).map(|_| said.into())
        }
        ["dup2", from, to] => machine.dup2(name(from), name(to)).map(|_| to.to_string()),
        ["close", d] => machine.close(name(d)).map(|_| "0".to_string()),
        ["shut", d, "WR"] => machine.shut(name(d)).map(|_| "0".to_string()),
        ["w", d, count] => machine.write(name(d), count.parse().ok()?).map(|n| n.to_string()),
        ["r", d, count] => machine.read(name(d), count.parse().ok()?).map(|n| n.to_string()),
        ["drain", d] => match machine.drain(name(d)) {
            Ok(_) => Ok("eof".to_string()),
            Err(libc::EAGAIN) => Ok("empty".to_string()),
            Err(error) => Err(error),
        },
        ["poll", d] => {
            let Some(What::Queue(queue)) = machine.what(name(d)) else { return None };
            Ok(u8::from(machine.waiting(queue).0 > 0).to_string())
        }
        ["ev", d, room, ref changes @ ..] => {
            let changes: Vec<Kevent> = changes.iter().map(|words| entry(words)).collect::<Option<_>>()?;
            let said = answer(&said.split(' ').collect::<Vec<_>>())?;
            let judged = machine.kevent(name(d), &changes, room.parse().ok()?, &said);
            return Some(judged);
        }
        _ => return None,
    };
    let found = result.unwrap_or_else(|error| {
        let known = ERRORS.iter().find(|(_, number)| *number == error);
        format!("-{}", known.map_or("?", |(name, _)| name))
    });
    Some(if found == said { Ok(()) } else { Err(format!("{found}; expected {said}")) })
}

/// Plays one sequence: lines of operations and results.
pub fn play<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> End {
    let mut machine = Machine::new(Like::Kernel, 0);
    let mut names = 0;
    for (line, said) in lines {
        let judged = step(&mut machine, line, said, &mut names);
        machine.settle();
        match judged {
            Some(_) if machine.beyond => return End::NotModelled,
            Some(Ok(())) => {}
            Some(Err(text)) => return End::Differs(format!("{line}: {text}")),
            None => return End::NotModelled,
        }
    }
    End::Equal
}
