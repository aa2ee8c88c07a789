//! When requests passed and when they were refused, drawn in plain characters.

use std::{fmt, time::Duration};

use super::text::spoken;

/// Rows of the plot.
const ROWS: u64 = 8;

/// A column each slice of time, requests upwards.
pub(super) struct Plot<'a> {
    pub(super) accepted: &'a [Duration],
    pub(super) refused: &'a [Duration],
    /// The end of the time axis.
    pub(super) until: Duration,
    /// Characters in a line.
    pub(super) width: usize,
    /// Refusals in red.
    pub(super) colours: bool,
}

/// How many passed and how many were refused in a slice.
#[derive(Clone, Copy, Default)]
struct Slice {
    passed: u64,
    refused: u64,
}

impl fmt::Display for Plot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Before the columns: a number of up to eight digits, a space and the axis.
        let columns = self.width.saturating_sub(10).max(1);
        let slice = slice(self.until, columns);
        let slices = self.slices(slice);
        let most = slices.iter().map(|slice| slice.passed + slice.refused).max().unwrap_or(0);
        let per_row = most.div_ceil(ROWS).max(1);
        let rows = most.div_ceil(per_row).max(1);
        writeln!(f, "  Requests each {}: # passed, {} refused", spoken(slice), self.cross())?;
        for row in (1..=rows).rev() {
            let line: Vec<char> = slices.iter().map(|slice| slice.at(row, per_row)).collect();
            let line: String = line.iter().collect();
            let line = line.trim_end().replace('x', self.cross());
            writeln!(f, "{:>8} |{line}", row * per_row)?;
        }
        writeln!(f, "{:>8} +{}", 0, "-".repeat(slices.len()))?;
        let end = spoken(slice * u32::try_from(slices.len()).unwrap_or(u32::MAX));
        let room = slices.len().saturating_sub(1);
        write!(f, "{:>8}  0{end:>room$}", "")
    }
}

impl Plot<'_> {
    fn slices(&self, slice: Duration) -> Vec<Slice> {
        let of = |at: Duration| (at.as_nanos() / slice.as_nanos().max(1)) as usize;
        let last = self.accepted.iter().chain(self.refused).max().copied().unwrap_or_default();
        let many = of(last).max(of(self.until.saturating_sub(Duration::from_nanos(1)))) + 1;
        let mut slices = vec![Slice::default(); many];
        self.accepted.iter().for_each(|at| slices[of(*at)].passed += 1);
        self.refused.iter().for_each(|at| slices[of(*at)].refused += 1);
        slices
    }

    fn cross(&self) -> &'static str {
        // One literal, since what is between them is one character.
        if self.colours { "\x1b[31mx\x1b[0m" } else { "x" }
    }
}

impl Slice {
    /// What stands in that row, counted from 1: refusals on top of what passed, and of each at
    /// least one character if there is any.
    fn at(self, row: u64, per_row: u64) -> char {
        let total = (self.passed + self.refused).div_ceil(per_row);
        let refused = match self.refused {
            0 => 0,
            refused => (refused / per_row).max(1),
        };
        let passed = match self.passed {
            0 => 0,
            _ => total.saturating_sub(refused).max(1),
        };
        match row {
            row if row <= passed => '#',
            row if row <= passed + refused => 'x',
            _ => ' ',
        }
    }
}

/// The shortest slice of a usual length with which a run of that length has no more of them.
fn slice(until: Duration, columns: usize) -> Duration {
    const MILLIS: [u64; 26] = [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000,
        60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000,
        43_200_000,
    ];
    const DAY: Duration = Duration::from_secs(86_400);
    let columns = u32::try_from(columns).unwrap_or(u32::MAX);
    let usual = MILLIS.map(Duration::from_millis).into_iter();
    let mut usual = usual.filter(|slice| *slice * columns >= until);
    usual.next().unwrap_or_else(|| {
        let days = until.as_nanos().div_ceil(DAY.as_nanos() * u128::from(columns));
        DAY * u32::try_from(days).unwrap_or(u32::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: &[u64]) -> Vec<Duration> {
        ms.iter().copied().map(Duration::from_millis).collect()
    }

    fn plot(accepted: &[u64], refused: &[u64], until: u64, width: usize, colours: bool) -> String {
        let (accepted, refused) = (&at(accepted), &at(refused));
        let until = Duration::from_millis(until);
        Plot { accepted, refused, until, width, colours }.to_string()
    }

    #[test]
    fn each_slice_has_a_column_with_refusals_on_top() {
        let text = plot(&[50, 150, 160, 1050], &[180, 590, 595], 1100, 21, false);
        let expected = "  Requests each 100 ms: # passed, x refused
       3 | x
       2 | #   x
       1 |##   x    #
       0 +-----------
          0     1.1 s";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_single_refusal_among_many_shows_and_no_line_is_too_long() {
        let accepted: Vec<u64> = (0..900).map(|i| i * 10).collect();
        for width in [48, 80, 120] {
            let text = plot(&accepted, &[4444], 9000, width, false);
            assert_eq!(text.lines().skip(1).filter(|line| line.contains('x')).count(), 1, "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }

    #[test]
    fn colours_are_only_around_refusals() {
        let text = plot(&[1], &[1], 2, 40, true);
        assert!(text.contains("\x1b[31mx\x1b[0m"), "{text:?}");
        assert!(!plot(&[1], &[1], 2, 40, false).contains('\x1b'));
    }

    #[test]
    fn a_run_of_any_length_has_its_slices() {
        let len = |secs| slice(Duration::from_secs(secs), 70);
        assert_eq!(len(902), Duration::from_secs(15));
        assert_eq!(len(0), Duration::from_millis(1));
        assert_eq!(len(70 * 86_400), Duration::from_secs(86_400));
        assert_eq!(len(71 * 86_400), Duration::from_secs(2 * 86_400));
        assert!(len(u64::MAX / 4) > Duration::ZERO);
    }
}
