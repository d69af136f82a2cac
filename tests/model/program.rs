//! What every model has: operations, how bytes make them, and how they are run.

use core::fmt;

/// Where library and model differ.
#[derive(Debug)]
pub struct Difference {
    /// Index of the operation.
    pub step: usize,
    /// What was seen, and what was expected.
    pub text: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at step {}: {}", self.step, self.text)
    }
}

/// An operation: four bytes each, so that a fuzzer's mutation stays local.
pub trait Step: Copy + PartialEq + fmt::Display + 'static {
    /// Makes an operation of one kind from the three bytes behind the code.
    type Maker: Copy + 'static;
    /// How often each kind comes, of 128.
    const TABLE: &'static [(u8, Self::Maker)];
    /// Kinds that no program is without.
    const NEEDED: u64;
    /// Everything is closed and begins anew. No bytes make it: it joins programs that fail together only.
    const RESTART: Self;

    fn make(maker: Self::Maker, bytes: [u8; 3]) -> Self;

    /// Simpler operations to try in this one's place, the simplest first.
    fn simpler(self) -> Vec<Self>;

    /// The same with slots and queues renamed.
    fn renamed(self, slot: &dyn Fn(usize) -> usize, queue: &dyn Fn(usize) -> usize) -> Self;

    /// Runs a program. `progress` is told of each step before it is made.
    fn run(program: &[Self], progress: &mut dyn FnMut(usize)) -> Result<(), Difference>;

    /// Which kind a code makes, by index.
    fn kind_of(code: u8) -> usize {
        let mut left = code % 128;
        for (kind, &(weight, _)) in Self::TABLE.iter().enumerate() {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        unreachable!("the weights sum to 128")
    }

    /// Decodes a program: every string of bytes is one.
    fn decode(bytes: &[u8]) -> Vec<Self> {
        let one = |four: &[u8]| {
            let (_, maker) = Self::TABLE[Self::kind_of(four[0])];
            Self::make(maker, [four[1], four[2], four[3]])
        };
        bytes.chunks_exact(4).map(one).collect()
    }
}
