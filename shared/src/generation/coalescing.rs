//! Coalescing: gathering tokens into frames, because API Gateway bills each frame and limits the posts of an account.
//!
//! The first token leaves at once. Later ones gather while a post is in flight, and at least for an interval, which is
//! short for the start of an answer, where a reader waits, and longer from then on. It grows with the generations that
//! share the chat's sockets, so that a socket gets no more frames when several answers stream, and doubles for a while
//! after API Gateway has refused a post of this process.

use std::time::Duration;

use tokio::time::Instant;

/// The interval after each of an answer's [`FIRST_FRAMES`]: 25 frames a second look as smooth as more.
const FIRST_INTERVAL: Duration = Duration::from_millis(40);

/// How many frames of an answer follow one another quickly.
const FIRST_FRAMES: u32 = 10;

/// The interval after a later frame, unless the template has another: ten frames a second are faster than a person reads.
pub(super) const LATER_INTERVAL: Duration = Duration::from_millis(100);

/// How much the interval grows after API Gateway has refused a post.
const REFUSED_FACTOR: u32 = 2;

/// Decides when the next token frame of one socket may leave. A writer makes one post at a time, so it asks only while no
/// post is in flight.
#[derive(Debug)]
pub(super) struct Coalescing {
    later_interval: Duration,
    frames: u32,
    last_frame: Option<Instant>,
}

/// What an interval depends on beside the answer's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// How many generations run in the chat, this one included.
    pub(super) generations: u32,
    /// Whether API Gateway has refused a post of this process a moment ago.
    pub(super) posts_refused: bool,
}

impl Coalescing {
    /// With the interval after the first frames, which are never slower than later ones.
    pub(super) fn new(later_interval: Duration) -> Self {
        Self { later_interval, frames: 0, last_frame: None }
    }

    /// When the next frame may leave; `now` for the first one and after a post that took longer than the interval.
    pub(super) fn next_frame(&self, now: Instant, load: Load) -> Instant {
        self.last_frame.map_or(now, |last| (last + self.interval(load)).max(now))
    }

    /// Notes that the post of a frame starts, also of a post that will fail.
    pub(super) fn frame_leaves(&mut self, now: Instant) {
        self.frames += 1;
        self.last_frame = Some(now);
    }

    fn interval(&self, load: Load) -> Duration {
        let interval =
            if self.frames < FIRST_FRAMES { FIRST_INTERVAL.min(self.later_interval) } else { self.later_interval };
        let factor = if load.posts_refused { REFUSED_FACTOR } else { 1 };
        interval * load.generations.max(1) * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const ALONE: Load = Load { generations: 1, posts_refused: false };

    /// How many frames leave within a second after the first `skipped` ones, if posts take a millisecond.
    fn frames_in_a_second(skipped: u32, load: Load) -> u32 {
        let mut coalescing = Coalescing::new(LATER_INTERVAL);
        let mut now = Instant::now();
        for _ in 0..skipped {
            coalescing.frame_leaves(now);
            now = coalescing.next_frame(now + MILLI, load);
        }
        let end = now + Duration::from_secs(1);
        let mut frames = 0;
        while now < end {
            coalescing.frame_leaves(now);
            frames += 1;
            now = coalescing.next_frame(now + MILLI, load);
        }
        frames
    }

    #[test]
    fn first_frame_leaves_at_once() {
        let now = Instant::now();
        assert_eq!(Coalescing::new(LATER_INTERVAL).next_frame(now, ALONE), now);
    }

    #[test]
    fn second_frame_waits_for_the_rest_of_the_interval() {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(LATER_INTERVAL);
        coalescing.frame_leaves(start);
        for in_flight in [0, 5, 39] {
            assert_eq!(coalescing.next_frame(start + MILLI * in_flight, ALONE), start + FIRST_INTERVAL);
        }
    }

    #[test]
    fn frame_after_a_slow_post_leaves_at_once() {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(LATER_INTERVAL);
        coalescing.frame_leaves(start);
        let posted = start + MILLI * 700;
        assert_eq!(coalescing.next_frame(posted, ALONE), posted);
    }

    #[test]
    fn ten_frames_a_second_leave_after_the_first_ten() {
        // Nine intervals of 40 ms, then one each 100 ms from 360 ms on.
        assert_eq!(frames_in_a_second(0, ALONE), 16);
        assert_eq!(frames_in_a_second(FIRST_FRAMES, ALONE), 10);
    }

    #[test]
    fn generations_that_share_a_socket_share_its_frames() {
        let load = |generations| Load { generations, ..ALONE };
        // Each of them; the first frame of each comes at the start.
        let later = [1, 2, 4].map(|generations| frames_in_a_second(FIRST_FRAMES, load(generations)));
        assert_eq!(later, [10, 5, 3]);
        let first = [1, 2, 4].map(|generations| frames_in_a_second(0, load(generations)));
        assert_eq!(first, [16, 11, 7], "at most 28 together");
    }

    #[test]
    fn interval_doubles_after_a_refused_post() {
        assert_eq!(frames_in_a_second(FIRST_FRAMES, Load { posts_refused: true, ..ALONE }), 5);
    }

    #[test]
    fn first_frames_are_never_slower_than_later_ones() {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(MILLI * 20);
        coalescing.frame_leaves(start);
        assert_eq!(coalescing.next_frame(start, ALONE), start + MILLI * 20);
    }
}
