//! A contest: several do the same work in turns, round by round, so that whatever disturbs the
//! machine disturbs all of them alike. What counts is the ratio to the first within each round.

use std::time::Duration;

/// Those who take part, and how long each took in each round.
pub struct Contest<'a> {
    title: String,
    /// Pieces of work in a round.
    work: u32,
    entrants: Vec<Entrant<'a>>,
}

struct Entrant<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> Duration + 'a>,
    rounds: Vec<f64>,
}

impl<'a> Contest<'a> {
    /// A contest of which each round is so many pieces of work.
    pub fn new(title: impl Into<String>, work: u32) -> Self {
        Contest { title: title.into(), work, entrants: Vec::new() }
    }

    /// Adds one that does a round's work and says how long it took. The first to be added is what
    /// the others are measured by.
    pub fn add(&mut self, name: &'static str, run: impl FnMut() -> Duration + 'a) {
        self.entrants.push(Entrant { name, run: Box::new(run), rounds: Vec::new() });
    }

    /// Holds the rounds, after one to warm up, and prints the results. Of the command's arguments,
    /// one that is no option is the only entrant's name: for a profiler.
    pub fn run(mut self, rounds: usize) {
        if let Some(only) = std::env::args().skip(1).find(|arg| !arg.starts_with('-')) {
            self.entrants.retain(|entrant| entrant.name == only);
        }
        for round in 0..=rounds {
            // Each goes first as often as any other.
            let first = round % self.entrants.len();
            self.entrants.rotate_left(first);
            for entrant in &mut self.entrants {
                let each = (entrant.run)().as_secs_f64() / f64::from(self.work);
                if round > 0 {
                    entrant.rounds.push(each);
                }
            }
            self.entrants.rotate_right(first);
        }
        self.print(rounds);
    }

    fn print(&self, rounds: usize) {
        println!("\n{} ({} a round, {rounds} rounds)", self.title, self.work);
        println!(
            "  {:<36} {:>10} {:>10} {:>12} {:>7}",
            "", "best us", "median us", "a second", "speed"
        );
        let base = &self.entrants[0].rounds;
        for Entrant { name, rounds, .. } in &self.entrants {
            let best = rounds.iter().copied().fold(f64::INFINITY, f64::min);
            let middle = median(rounds.clone());
            let speed = median(base.iter().zip(rounds).map(|(base, own)| base / own).collect());
            let (best, us) = (best * 1e6, middle * 1e6);
            println!("  {name:<36} {best:>10.3} {us:>10.3} {:>12.0} {speed:>7.3}", 1.0 / middle);
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
