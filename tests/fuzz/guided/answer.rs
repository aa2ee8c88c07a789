//! The head of an answer, guided by coverage.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cxone_fuzz::answer(input));
