//! Coalescing: gathering tokens into frames, because API Gateway bills each frame.
//!
//! The first token leaves at once. Later ones gather while a post is in flight, and at least for the coalescing interval.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two token frames to one socket. 25 frames a second look as smooth as more.
pub(super) const COALESCING_INTERVAL: Duration = Duration::from_millis(40);

/// Decides when the next token frame of one socket may leave. A writer makes one post at a time, so it asks only while no
/// post is in flight.
#[derive(Debug)]
pub(super) struct Coalescing {
    interval: Duration,
    last_frame: Option<Instant>,
}

impl Coalescing {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, last_frame: None }
    }

    /// When the next frame may leave; `now` for the first one and after a post that took longer than the interval.
    pub(super) fn next_frame(&self, now: Instant) -> Instant {
        self.last_frame.map_or(now, |last| (last + self.interval).max(now))
    }

    /// Notes that the post of a frame starts, also of a post that will fail.
    pub(super) fn frame_leaves(&mut self, now: Instant) {
        self.last_frame = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn first_frame_leaves_at_once() {
        let now = Instant::now();
        assert_eq!(Coalescing::new(COALESCING_INTERVAL).next_frame(now), now);
    }

    #[test]
    fn second_frame_waits_for_the_rest_of_the_interval() {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(COALESCING_INTERVAL);
        coalescing.frame_leaves(start);
        for in_flight in [0, 5, 39] {
            assert_eq!(coalescing.next_frame(start + MILLI * in_flight), start + COALESCING_INTERVAL);
        }
    }

    #[test]
    fn frame_after_a_slow_post_leaves_at_once() {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(COALESCING_INTERVAL);
        coalescing.frame_leaves(start);
        let posted = start + MILLI * 700;
        assert_eq!(coalescing.next_frame(posted), posted);
    }

    #[test]
    fn at_most_25_frames_leave_in_a_second() {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(COALESCING_INTERVAL);
        let (mut now, mut frames) = (start, 0);
        while now < start + Duration::from_secs(1) {
            coalescing.frame_leaves(now);
            frames += 1;
            now = coalescing.next_frame(now + MILLI);
        }
        assert_eq!(frames, 25);
    }
}
