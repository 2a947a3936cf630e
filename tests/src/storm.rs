//! Storms: of the calls that pass a proxy some meet a fault. Which ones follows from a seed: the nth call of a storm meets
//! the same fault each time. Which call is the nth is a matter of who is faster, so a storm comes back as nearly as
//! callers that run side by side allow.
#![expect(clippy::print_stdout, reason = "a seed is printed, so that its storm can be called up again")]

use crate::Fault;

/// The environment variable that calls up one storm again.
const SEED: &str = "STORM_SEED";

/// So many of a hundred calls meet a fault.
const SHARE: u64 = 30;

/// What they meet, each as often as the others.
const FAULTS: [Fault; 6] =
    [Fault::Throttled, Fault::TooFast, Fault::ServerError, Fault::Stall, Fault::LostRequest, Fault::LostAnswer];

/// A storm.
#[derive(Clone, Debug)]
pub struct Storm {
    luck: Luck,
}

/// Numbers that look like chance and follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Luck(u64);

/// The seeds of a test: those that it names, or the one that the environment does. Printed, since a test that fails shows
/// what it printed.
#[must_use]
pub fn seeds(usual: &[u64]) -> Vec<u64> {
    let seeds = match std::env::var(SEED) {
        Ok(seed) => vec![seed.parse().unwrap_or_else(|_| panic!("{SEED} is a number, not {seed:?}"))],
        Err(_) => usual.to_vec(),
    };
    println!("storms by the seeds {seeds:?}; one of them again with {SEED}=…");
    seeds
}

impl Storm {
    /// The storm of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { luck: Luck::new(seed) }
    }

    /// What the next call meets, if anything.
    pub(crate) fn next(&mut self) -> Option<Fault> {
        let lot = self.luck.below(100 * FAULTS.len() as u64);
        (lot % 100 < SHARE).then(|| FAULTS[(lot / 100) as usize])
    }
}

impl Luck {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_follows_from_its_seed() {
        let faults = |seed: u64| {
            let mut storm = Storm::new(seed);
            (0..10_000).map(|_| storm.next()).collect::<Vec<_>>()
        };
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
        for fault in FAULTS {
            let met = faults(3).iter().filter(|met| **met == Some(fault)).count();
            assert!((400..600).contains(&met), "{fault:?} {met} times in 10,000");
        }
    }
}
