//! Fault profiles: what happens to the calls through a [fault proxy](crate::FaultProxy) for which no fault was injected.
//!
//! Random faults follow from a seed: the nth call meets the same fault each time. Which call is the nth depends on timing,
//! so a run repeats nearly, not exactly.
#![expect(clippy::print_stdout, reason = "a seed is printed, so that its run can be repeated")]

use crate::Fault;

/// The environment variable that selects one seed.
const SEED: &str = "FAULT_SEED";

/// The percentage of calls that fail.
const FAULT_PERCENT: u64 = 30;

/// The faults, each equally likely.
const FAULTS: [Fault; 6] =
    [Fault::Throttled, Fault::TooFast, Fault::ServerError, Fault::Stall, Fault::LostRequest, Fault::LostResponse];

/// What happens to the calls for which no fault was injected.
#[derive(Debug, Default)]
pub enum FaultProfile {
    /// No fault.
    #[default]
    Healthy,
    /// Some calls fail.
    Random(RandomFaults),
    /// The service cannot be reached: connections end.
    Unreachable,
    /// The service never responds.
    Silent,
}

/// Faults that follow from a seed.
#[derive(Clone, Debug)]
pub struct RandomFaults {
    random: Random,
}

/// Pseudo-random numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

/// The seeds of a test: `FAULT_SEED`, or else the given ones. Prints them.
#[must_use]
pub fn seeds(usual: &[u64]) -> Vec<u64> {
    let seeds = match std::env::var(SEED) {
        Ok(seed) => vec![seed.parse().unwrap_or_else(|_| panic!("{SEED} must be a number, not {seed:?}"))],
        Err(_) => usual.to_vec(),
    };
    println!("random faults with the seeds {seeds:?}; repeat one with {SEED}=…");
    seeds
}

impl RandomFaults {
    /// The faults of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed) }
    }

    /// The fault of the next call, if any.
    pub(crate) fn next(&mut self) -> Option<Fault> {
        let drawn = self.random.below(100 * FAULTS.len() as u64);
        (drawn % 100 < FAULT_PERCENT).then(|| FAULTS[(drawn / 100) as usize])
    }
}

impl Random {
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
    fn random_faults_follow_from_their_seed() {
        let faults = |seed: u64| {
            let mut random = RandomFaults::new(seed);
            (0..10_000).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
        for fault in FAULTS {
            let count = faults(3).iter().filter(|drawn| **drawn == Some(fault)).count();
            assert!((400..600).contains(&count), "{fault:?}: {count} times in 10,000");
        }
    }
}
