//! How header values are to be read: the settings that all readers share.

use alloc::string::String;
use alloc::vec::Vec;

/// How closely a value must keep to its grammar. A value that does not is treated as absent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Mode {
    /// What servers are seen to send: decimal seconds, duplicates joined by a comma, dates with
    /// `UTC` for `GMT`, any case or a one-digit day, names of limits as bare tokens.
    #[default]
    Lenient,
    /// What RFC 9110, RFC 9651 and the RateLimit drafts allow, and nothing else.
    Strict,
}

/// What the number of a Reset header counts (`RateLimit-Reset`, `X-RateLimit-Reset`,
/// `X-Rate-Limit-Reset` and the `reset` of draft-07).
///
/// The `t` of a draft-10 `RateLimit` is always in seconds from now, whatever is set here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ResetUnit {
    /// By size: from 1 704 067 200 000 (the first moment of 2024) on milliseconds since 1970,
    /// from 1 704 067 200 on seconds since 1970, and anything smaller seconds from now.
    #[default]
    Auto,
    /// Seconds from now.
    DeltaS,
    /// Milliseconds from now.
    DeltaMs,
    /// Seconds since 1970-01-01T00:00:00Z.
    EpochS,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    EpochMs,
}

/// How the headers of a response are read; the default suits a server of which nothing is known.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Reading {
    /// How closely a value must keep to its grammar.
    pub mode: Mode,
    /// What the number of a Reset header counts.
    pub reset_unit: ResetUnit,
    /// More headers (names in any case) that state a wait in milliseconds, most trusted first.
    /// They rank just above `Retry-After`. The host must hand them over too.
    pub ms_headers: Vec<String>,
}
