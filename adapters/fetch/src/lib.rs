//! The engine of `cxone-client` for JavaScript runtimes.
//!
//! This crate is the WebAssembly half of the npm package `cxone-client`; the other half, in
//! `pkg-js`, performs what the engine wants with the runtime's `fetch`. Between them cross numbers
//! and short texts, never requests, answers or bodies: those stay JavaScript objects.
//!
//! - [`Engine`]: commands and inputs in; outputs out, as records of numbers in a buffer that
//!   JavaScript reads in place (see [`record`]). No call into it ever calls back.
//! - [`Alarm`]: the one timer of a client.
//! - [`Credentials`]: the token request, the reading of its answer, and the tokens: secrets live in
//!   here, where no `console.log` reaches them.
//! - [`Pages`]: a run of pages.
//! - [`job_fields`], [`job_path`], [`job_next`]: what jobs are asked after by, where and when.
//! - [`poll_pause`]: when an agent's session is asked again.
//! - [`calculate_backoff`]: the tutorial's arithmetic, mended.
//!
//! Nothing here decides anything about waiting, ordering, retrying or tokens: that is
//! [`cxone_core`]'s, and so the same as in the native client, to the byte.

#![forbid(unsafe_code)]
#![cfg_attr(all(target_arch = "wasm32", feature = "standalone"), no_std)]

#[macro_use]
extern crate alloc;

mod agent;
mod alarm;
mod backoff;
mod engine;
mod header;
mod job;
mod pages;
pub mod record;
mod settings;
#[cfg(all(target_arch = "wasm32", feature = "standalone"))]
mod standalone;
mod token;

pub use agent::poll_pause;
pub use alarm::Alarm;
pub use backoff::calculate_backoff;
pub use engine::Engine;
pub use job::{job_fields, job_next, job_path};
pub use pages::Pages;
pub use token::Credentials;

/// Traps, as a bug in the engine would: for the tests of what that does to everybody else.
#[cfg(feature = "trap")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn trap() {
    panic!("a trap, as asked for");
}
