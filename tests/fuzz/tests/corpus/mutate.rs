//! Inputs that are nearly right: pieces of the corpus, cut, joined and peppered with what the
//! grammars are made of.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// What the grammars turn on.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    ";",
    "=",
    ",",
    ", ",
    " ",
    "\t",
    "\n",
    ":",
    "?0",
    "@1",
    "%\"c3\"",
    "(",
    ")",
    "*",
    ".",
    "-",
    "0",
    "9",
    "60",
    "1767225602",
    "999999999999999",
    "1234567890123456",
    "99999999999999999999",
    "r=0",
    ";t=5",
    ";q=1",
    ";w=60",
    ";qu=\"content-bytes\"",
    "limit=1",
    "remaining=0",
    "reset=7",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "retry-after: ",
    "ratelimit: ",
    "ratelimit-policy: ",
    "x-ratelimit-reset: ",
    "date: ",
    "²",
    "{",
    "}",
    "[",
    "null",
    "true",
    "1e400",
    "\"expires_in\":",
    "\"access_token\":",
    "\\u0000",
];

pub(crate) struct Mutator {
    corpus: Vec<Vec<u8>>,
    rng: Xoshiro256PlusPlus,
}

impl Mutator {
    /// The same corpus gives the same inputs.
    pub(crate) fn new(corpus: Vec<Vec<u8>>) -> Mutator {
        Mutator { corpus, rng: Xoshiro256PlusPlus::seed_from_u64(7) }
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.any_of_the_corpus();
        for _ in 0..=self.below(6) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(8)).min(input.len());
            match self.below(6) {
                0 => drop(input.splice(at..end, [])),
                1 => drop(input.splice(at..end, self.piece())),
                2 => drop(input.splice(at..at, self.piece())),
                3 => {
                    let byte = self.rng.next_u64() as u8;
                    drop(input.splice(at..at, [byte]));
                }
                4 => {
                    let other = self.any_of_the_corpus();
                    let from = self.below(other.len() + 1);
                    drop(input.splice(at.., other[from..].iter().copied()));
                }
                _ => {
                    let again = input[at..end].repeat(1 + self.below(300));
                    drop(input.splice(at..at, again));
                }
            }
        }
        input
    }

    fn any_of_the_corpus(&mut self) -> Vec<u8> {
        let which = self.below(self.corpus.len());
        self.corpus[which].clone()
    }

    fn piece(&mut self) -> Vec<u8> {
        PIECES[self.below(PIECES.len())].into()
    }

    fn below(&mut self, end: usize) -> usize {
        (self.rng.next_u64() % end as u64) as usize
    }
}
