//! The model of kqueue beside what a kernel answered.
//!
//! The traces are no part of this repository: `EVSHIM_ORACLE`, or `../shared/oracle` beside it.

use crate::trace::{End, play};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [&str; 2] = ["kqueue-freebsd13.txt.gz", "k-freebsd13.txt"];

/// `None`: there are none.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("EVSHIM_ORACLE").map(PathBuf::from);
    let folder =
        named.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle"));
    let there = folder.join(FILES[0]).exists();
    assert!(there || named.is_none(), "no traces in {}", folder.display());
    there.then_some(folder)
}

/// What is in a file, packed or not.
fn text_of(file: &Path) -> Option<String> {
    if file.extension().is_some_and(|extension| extension == "gz") {
        let output = Command::new("gzip").arg("-dc").arg(file).output().ok()?;
        return output.status.success().then(|| String::from_utf8(output.stdout).ok())?;
    }
    std::fs::read_to_string(file).ok()
}

#[derive(Default)]
struct Family {
    equal: usize,
    not_modelled: usize,
    different: Vec<String>,
}

/// Plays all traces that are there: nothing may differ.
pub fn compare(say: impl Fn(&str)) {
    let Some(folder) = folder() else {
        say("model of kqueue against a kernel: not run: no traces (EVSHIM_ORACLE names their folder)");
        return;
    };
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for file in FILES {
        let text = text_of(&folder.join(file)).unwrap_or_else(|| panic!("{file} cannot be read"));
        for sequence in text.split("\nS ").skip(1) {
            let (name, rest) = sequence.split_once('\n').unwrap_or((sequence, ""));
            let lines: Vec<&str> =
                rest.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
            let pairs =
                lines.chunks_exact(2).map(|pair| (pair[0], pair[1].strip_prefix("= ").unwrap_or("?")));
            let family = name.rsplit_once('-').map_or(name, |(family, _)| family);
            let family = if name.starts_with("K-") { "hand-written" } else { family };
            let family = families.entry(family.into()).or_default();
            match play(pairs) {
                End::Equal => family.equal += 1,
                End::NotModelled => family.not_modelled += 1,
                End::Differs(text) => family.different.push(format!("{name}: {text}\n")),
            }
        }
    }
    report(&families, say);
}

fn report(families: &BTreeMap<String, Family>, say: impl Fn(&str)) {
    let count = |of: fn(&Family) -> usize| families.values().map(of).sum::<usize>();
    let (equal, left) = (count(|family| family.equal), count(|family| family.not_modelled));
    say(&format!("model of kqueue: equal to the kernel in {equal} sequences, {left} are not modelled:"));
    let partly = families.iter().filter(|(_, family)| family.not_modelled > 0);
    let partly = partly.map(|(name, Family { equal, not_modelled, .. })| {
        format!("{name} {not_modelled} of {}", equal + not_modelled)
    });
    say(&format!("    {}", partly.collect::<Vec<_>>().join(", ")));
    let different: Vec<&String> = families.values().flat_map(|family| &family.different).collect();
    let first: String = different.iter().take(20).copied().cloned().collect();
    assert!(different.is_empty(), "{} sequences differ:\n{first}", different.len());
    assert!(equal > 1000, "the traces are not what they were");
}
