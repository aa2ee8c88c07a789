//! A response head as `curl -i` prints it.

use std::{
    fmt,
    io::{self, BufRead, Read},
    mem,
};

use cxone_core::{Wall, status_text};
use reqwest::header::HeaderName;

/// How long a head may be, in bytes: much more than any HTTP stack takes (curl ends at 300 kB).
const MAX_HEAD: u64 = 4 << 20;

/// How much of a line an error shows.
const SHOWN: usize = 60;

/// The status and the header lines of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// In their order; white space around a value is still there.
    pub(super) fields: Vec<(String, String)>,
    /// When the last of it was read.
    pub(super) received: Wall,
}

impl Head {
    /// Reads a head: a status line and header lines, ended by an empty line or the end of the
    /// input. Lines end in CRLF or LF.
    ///
    /// Of several heads in a row the last one counts: with `-L`, through a proxy or after a
    /// `100 Continue` the others were only on the way to it. Another one begins with a whole status
    /// line; anything else is a body, which is left unread.
    pub(super) fn read(input: impl BufRead) -> Result<Head, Unreadable> {
        let mut lines = Lines { input, begun: Vec::new(), number: 0, left: MAX_HEAD };
        let mut first = lines.next()?.ok_or(Unreadable::Empty)?;
        while first.is_empty() {
            first = lines.next()?.ok_or(Unreadable::Empty)?;
        }
        loop {
            let head = lines.head(&first)?;
            lines.left = MAX_HEAD;
            if lines.another_head_follows()? {
                first = lines.next()?.unwrap_or_default();
            } else if matches!(head.status, 100..=199) && head.status != 101 {
                return Err(Unreadable::Interim(head.status));
            } else {
                return Ok(head);
            }
        }
    }

    /// The first of the lines with this name (in lower case).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All lines with this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.fields.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.trim())
    }
}

/// Why there is no head in the input.
#[derive(Debug)]
pub(super) enum Unreadable {
    Empty,
    /// Nothing but an interim answer.
    Interim(u16),
    TooLong,
    Line {
        number: u64,
        what: &'static str,
        text: String,
    },
    Io(io::Error),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Empty => f.write_str("the input is empty"),
            Unreadable::Interim(status) => {
                let phrase = status_text(*status);
                write!(f, "{status} {phrase} is an interim answer, and none follows it")
            }
            Unreadable::TooLong => write!(f, "it is longer than {} MiB", MAX_HEAD >> 20),
            Unreadable::Line { number, what, text } => {
                let shown: String = text.chars().take(SHOWN).collect();
                let more = if shown.len() < text.len() { " …" } else { "" };
                write!(f, "line {number} {what}: {shown:?}{more}")
            }
            Unreadable::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        Unreadable::Io(error)
    }
}

struct Lines<R> {
    input: R,
    /// What was read of the next line.
    begun: Vec<u8>,
    number: u64,
    /// How many more bytes the head may have.
    left: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end; `None` at the end of the input.
    fn next(&mut self) -> Result<Option<String>, Unreadable> {
        let mut line = mem::take(&mut self.begun);
        if !line.ends_with(b"\n") {
            let read = self.input.by_ref().take(self.left).read_until(b'\n', &mut line)?;
            self.left -= read as u64;
        }
        if self.left == 0 {
            return Err(Unreadable::TooLong);
        }
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // What is not UTF-8 is no value that anything here could read.
        let line = String::from_utf8_lossy(line).into_owned();
        // RFC 9110 §5.5: invalid and dangerous, unlike other control characters.
        if line.contains(['\r', '\0']) {
            return Err(self.wrong("has a control character in it", &line));
        }
        Ok(Some(line))
    }

    /// The head that begins with this line.
    fn head(&mut self, first: &str) -> Result<Head, Unreadable> {
        let Some(status) = status(first) else {
            return Err(self.wrong("is no status line like \"HTTP/1.1 429\"", first));
        };
        let mut fields: Vec<(String, String)> = Vec::new();
        while let Some(line) = self.next()?.filter(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                // RFC 9112 §5.2: a folded line goes on with the value before it.
                let Some((_, value)) = fields.last_mut() else {
                    return Err(self.wrong("continues a header line that is not there", &line));
                };
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            match line.split_once(':') {
                Some((name, value)) if HeaderName::try_from(name).is_ok() => {
                    fields.push((name.to_owned(), value.to_owned()));
                }
                _ => return Err(self.wrong("is no header line like \"Retry-After: 120\"", &line)),
            }
        }
        Ok(Head { status, fields, received: super::now() })
    }

    /// Whether another head comes next, and not a body. No more of a body is waited for than what
    /// could begin a status line.
    fn another_head_follows(&mut self) -> io::Result<bool> {
        const LONGEST: usize = "HTTP/1.1 429 ".len();
        while self.begun.len() < LONGEST && !self.begun.ends_with(b"\n") {
            if self.input.by_ref().take(1).read_to_end(&mut self.begun)? == 0 {
                break;
            }
            let read = &self.begun[..self.begun.len().min(5)];
            if !b"HTTP/".starts_with(read) {
                return Ok(false);
            }
        }
        let line = String::from_utf8_lossy(&self.begun);
        Ok(status(line.trim_end_matches(['\r', '\n'])).is_some())
    }

    fn wrong(&self, what: &'static str, text: &str) -> Unreadable {
        Unreadable::Line { number: self.number, what, text: text.to_owned() }
    }
}

/// The status in a line like `HTTP/1.1 429 Too Many Requests` or `HTTP/2 429`.
fn status(line: &str) -> Option<u16> {
    let (version, rest) = line.strip_prefix("HTTP/")?.split_once(' ')?;
    if !matches!(version, "1.0" | "1.1" | "2" | "2.0" | "3" | "3.0") {
        return None;
    }
    // Three digits, and a space or nothing more behind them.
    let (status, _reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    status.parse().ok().filter(|status| digits && *status >= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Head {
        Head::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    fn error(text: &str) -> String {
        Head::read(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn status_lines_of_all_versions_are_read() {
        for line in [
            "HTTP/1.1 429 Too Many Requests",
            "HTTP/1.0 429",
            "HTTP/2 429 ",
            "HTTP/2 429",
            "HTTP/3 429 Slow down: please",
        ] {
            let head = read(line);
            assert_eq!((head.status, head.fields.len()), (429, 0), "{line}");
        }
        for line in
            ["429", "HTTP/1.1", "HTTP/1.1 42", "HTTP/1.1 4290", "HTTP/1.1 +42", "HTTP/2 099"]
        {
            assert!(error(line).starts_with("line 1 is no status line"), "{line}");
        }
    }

    #[test]
    fn lines_end_in_either_way_and_the_body_is_left_alone() {
        let head = "HTTP/1.1 503 Busy\nRetry-After: 5\nX: a:b\n\n";
        for body in [
            "",
            "Retry-After: 9\n",
            "HTTP",
            "HTTP/x\n",
            "HTTP/1.1 clients are limited to 5 requests.\n",
            "HTTP/1.1 4290 requests are too many\n",
            "HTTP/1.1 42",
            "HTTP/2\n",
            "\n\nHTTP/1.1 200 OK\n",
            "\0\r",
        ] {
            for head in [head.to_owned(), head.replace('\n', "\r\n")] {
                let head = read(&(head + body));
                assert_eq!(head.status, 503, "{body:?}");
                assert_eq!(
                    (head.fields.len(), head.get("retry-after")),
                    (2, Some("5")),
                    "{body:?}"
                );
                assert_eq!(head.get("x"), Some("a:b"));
            }
        }
    }

    #[test]
    fn of_several_heads_the_last_one_counts() {
        let tunnel = "HTTP/1.1 200 Connection established\r\nA: 1\r\n\r\n";
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        let redirect = "HTTP/2 301 \r\nLocation: /there\r\n\r\n";
        let last = "HTTP/2 429 \r\nRetry-After: 7\r\n\r\nslow down";
        let head = read(&format!("{tunnel}{interim}{redirect}{last}"));
        assert_eq!(head.status, 429);
        assert_eq!(head.fields, [("Retry-After".to_owned(), " 7".to_owned())]);
        assert_eq!(error(interim), "100 Continue is an interim answer, and none follows it");
        assert_eq!(read(&format!("{tunnel}HTTP/2 429")).status, 429);
        assert_eq!(read(&format!("{tunnel}HTTP/2 42")).status, 200);
    }

    #[test]
    fn a_folded_line_goes_on_with_the_value() {
        let head = read("HTTP/1.1 429\nRateLimit: \"a\";r=0;\n\t t=5\n\n");
        assert_eq!(head.get("ratelimit"), Some("\"a\";r=0; t=5"));
        assert!(error("HTTP/1.1 429\n t=5").starts_with("line 2 continues"));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        assert_eq!(error("\n\r\n"), "the input is empty");
        assert_eq!(
            error("\n{\"error\": 1}"),
            "line 2 is no status line like \"HTTP/1.1 429\": \"{\\\"error\\\": 1}\""
        );
        for line in ["no colon", ": 5", "Retry-After : 5", "Ret ry: 5"] {
            let wrong = error(&format!("HTTP/1.1 429\nA: 1\n{line}\n"));
            assert!(wrong.starts_with("line 3 is no header line"), "{wrong}");
        }
        assert!(error("HTTP/1.1 429\nA: \0\n").starts_with("line 2 has a control character"));
        assert!(error("HTTP/1.1 429\nA: 1\rB: 2\n").starts_with("line 2 has a control character"));
    }

    #[test]
    fn an_endless_head_ends_as_an_error_and_a_line_is_not_shown_whole() {
        let endless = io::repeat(b'a').take(u64::MAX);
        let error = Head::read(io::BufReader::new(endless)).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 4 MiB");
        let fields = "A: 1\n".repeat(1_000_000);
        let error = Head::read(format!("HTTP/1.1 200\n{fields}").as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 4 MiB");
        assert!(self::error(&"é".repeat(90)).ends_with(&format!("{:?} …", "é".repeat(60))));
    }

    #[test]
    fn a_head_may_be_as_long_as_one_that_curl_prints_and_longer() {
        let long = "9".repeat(1 << 20);
        let head = read(&format!("HTTP/1.1 429\nRetry-After: {long}\nA: 1\n\n"));
        assert_eq!((head.get("retry-after"), head.get("a")), (Some(&*long), Some("1")));
    }

    #[test]
    fn a_head_that_is_cut_off_or_spoiled_anywhere_is_read_or_refused() {
        let whole = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/2 429 \r\nA: 7\r\n\tb\r\n\r\n{}";
        for at in 0..whole.len() {
            let spoiled = [0, b'\n', b'\r', b' ', b':', b'9', 0xff].map(|byte| {
                let mut bytes = whole.to_vec();
                bytes[at] = byte;
                bytes
            });
            for bytes in spoiled.iter().map(Vec::as_slice).chain([&whole[..at]]) {
                if let Ok(head) = Head::read(bytes) {
                    assert!((200..1000).contains(&head.status) || head.status == 101, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn other_bytes_than_utf_8_spoil_their_value_only() {
        let head = Head::read(&b"HTTP/1.1 429\nRetry-After: \xb2\nA: 1\n\n"[..]).unwrap();
        assert_eq!((head.get("retry-after"), head.get("a")), (Some("\u{fffd}"), Some("1")));
    }
}
