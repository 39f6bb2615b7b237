//! Threads that walk through the steps together.

use crate::sequences::Direction;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Turns a waiting thread spins before it lets others run: longer than a step's uneven end, shorter than a time slice.
const SPINS: usize = 4_000;

/// How threads are shared out: one or two teams, which walk through directions, of members, which own units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crew {
    /// With two teams each has a direction, one team takes both in turn.
    pub(super) teams: usize,
    /// Threads of a team.
    pub(super) members: usize,
}

impl Crew {
    /// The sharing that keeps most of `threads` busy, with two teams where that is as good: directions never wait for each
    /// other.
    pub(super) fn of(threads: usize, panels: usize) -> Self {
        let (alone, beside) = (threads.min(panels), (threads / 2).min(panels));
        if 2 * beside >= alone.max(2) {
            Self { teams: 2, members: beside }
        } else {
            Self { teams: 1, members: alone.max(1) }
        }
    }

    /// Tasks, of which there are never more than threads: all of them run at once.
    pub(super) fn tasks(self) -> usize {
        self.teams * self.members
    }

    /// Team and member of a task.
    #[inline(always)]
    pub(super) fn place(self, task: usize) -> (usize, usize) {
        (task / self.members, task % self.members)
    }

    /// Directions of a team, as places in [`Direction::BOTH`].
    #[inline(always)]
    pub(super) fn directions(self, team: usize) -> impl Iterator<Item = (usize, Direction)> {
        let all = Direction::BOTH.into_iter().enumerate();
        all.filter(move |(place, _)| self.teams == 1 || *place == team)
    }

    /// Panels of a member.
    #[inline(always)]
    pub(super) fn panels(self, member: usize, panels: usize) -> std::ops::Range<usize> {
        member * panels / self.members..(member + 1) * panels / self.members
    }
}

/// Where the members of a team wait for each other.
#[derive(Default)]
pub(super) struct Meeting {
    members: usize,
    arrived: AtomicUsize,
    turn: AtomicUsize,
    broken: AtomicBool,
}

impl Meeting {
    pub(super) fn of(members: usize) -> Self {
        Self { members, ..Self::default() }
    }

    /// Returns when all members have come; what they wrote before is seen by all.
    ///
    /// # Panics
    /// When a member has panicked: it would never come.
    pub(super) fn wait(&self) {
        if self.members == 1 {
            return;
        }
        let turn = self.turn.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.members {
            self.arrived.store(0, Ordering::Relaxed);
            self.turn.store(turn + 1, Ordering::Release);
            return;
        }
        let mut spins = 0;
        while self.turn.load(Ordering::Acquire) == turn {
            assert!(!self.broken.load(Ordering::Relaxed), "another thread of the team has failed");
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Tells the others, when the member that holds it panics.
    pub(super) fn attend(&self) -> Attendance<'_> {
        Attendance(self)
    }
}

/// A member's presence.
pub(super) struct Attendance<'a>(&'a Meeting);

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Threads;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn threads_are_shared_out() {
        let crew = |teams, members| Crew { teams, members };
        for (threads, panels, wanted) in [
            (1, 32, crew(1, 1)),
            (2, 32, crew(2, 1)),
            (2, 1, crew(2, 1)),
            (3, 32, crew(1, 3)),
            (3, 1, crew(2, 1)),
            (8, 32, crew(2, 4)),
            (8, 3, crew(2, 3)),
            (9, 32, crew(1, 9)),
        ] {
            assert_eq!(Crew::of(threads, panels), wanted, "{threads} {panels}");
        }
        let shares: Vec<_> = (0..3).map(|member| crew(1, 3).panels(member, 7)).collect();
        assert_eq!(shares, [0..2, 2..4, 4..7]);
    }

    #[test]
    fn members_meet_at_every_step() {
        let (threads, meeting) = (Threads::new(3).unwrap(), Meeting::of(3));
        let done = AtomicUsize::new(0);
        threads.run(3, &|_, _| {
            for step in 0..1000 {
                done.fetch_add(1, Ordering::Relaxed);
                meeting.wait();
                assert_eq!(done.load(Ordering::Relaxed), 3 * (step + 1));
                meeting.wait();
            }
        });
    }

    #[test]
    fn nobody_waits_for_a_member_that_failed() {
        let (threads, meeting) = (Threads::new(2).unwrap(), Meeting::of(2));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            threads.run(2, &|task, _| {
                let _attendance = meeting.attend();
                assert_ne!(task, 1, "fails");
                meeting.wait();
            });
        }));
        assert!(outcome.is_err());
    }
}
