//! A fixed set of threads that share numbered pieces of work.

use super::environment::FlushDenormals;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Turns a waiting thread spins before it sleeps: about 50 µs, longer than the gap between two kernels
/// of one pass and far shorter than reading the next record.
const SPINS: usize = 20_000;

/// A job of the threads, borrowed from the stack of the caller of [`Threads::run`].
type Body<'a> = &'a (dyn Fn(usize, usize) + Sync);

#[derive(Clone, Copy)]
struct Job {
    body: Body<'static>,
    tasks: usize,
}

#[derive(Default)]
struct State {
    /// What there is to do; gone as soon as the caller finds no piece left, so that nobody begins with it any more.
    job: Option<Job>,
    /// Threads that sleep until there is a job.
    sleeping: usize,
    stop: bool,
    panic: Option<Box<dyn Any + Send>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// Told when the last thread has done with a job whose caller sleeps.
    done: Condvar,
    /// Number of the newest job; a worker that has seen it waits for the next.
    epoch: AtomicUsize,
    next_task: AtomicUsize,
    /// Threads that have begun with the job and not yet done with it.
    running: AtomicUsize,
    /// Whether the caller sleeps until there are none.
    waiting: AtomicBool,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads that live as long as the device. Pieces of work are claimed one by one, so uneven pieces do no harm, and
/// nobody waits for a thread that has not begun: where the machine is busy, the others take its pieces. Results never
/// depend on who claims what.
pub struct Threads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One job at a time.
    turn: Mutex<()>,
}

impl Threads {
    /// Starts `count - 1` threads; the caller of [`Threads::run`] is the remaining one.
    ///
    /// # Errors
    /// `InvalidInput` for zero threads, or the system's error when a thread does not start.
    pub fn new(count: usize) -> io::Result<Self> {
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "0 threads asked for, wanted at least 1",
            ));
        }
        let mut threads =
            Self { shared: Arc::new(Shared::default()), workers: Vec::new(), turn: Mutex::new(()) };
        for worker in 1..count {
            let shared = Arc::clone(&threads.shared);
            let name = format!("pliant-kernel-{worker}");
            let handle = std::thread::Builder::new().name(name).spawn(move || serve(&shared, worker))?;
            threads.workers.push(handle);
        }
        Ok(threads)
    }

    /// Number of threads that work on a job.
    #[must_use]
    pub fn count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body(task, worker)` once for every `task` in `0..tasks`; `worker` is below
    /// [`Threads::count`] and no two calls run at once with the same one. Returns when all are done.
    /// A body must not call `run` again.
    ///
    /// # Panics
    /// With the panic of a body, after all threads have stopped working on the job.
    pub fn run(&self, tasks: usize, body: Body<'_>) {
        let _flush = FlushDenormals::enter();
        if self.workers.is_empty() || tasks <= 1 {
            (0..tasks).for_each(|task| body(task, 0));
            return;
        }
        let _turn = lock(&self.turn);
        self.publish(body, tasks);
        let mine = catch_unwind(AssertUnwindSafe(|| claim(&self.shared, tasks, body, 0)));
        lock(&self.shared.state).job = None;
        self.wait_for_workers();
        let theirs = lock(&self.shared.state).panic.take();
        if let Some(panic) = mine.err().or(theirs) {
            resume_unwind(panic);
        }
    }

    fn publish(&self, body: Body<'_>, tasks: usize) {
        // SAFETY: only the lifetime changes. A worker begins with the job while it stands in `state` and counts itself
        // in `running` under the same lock; `run` takes it away and does not return before `running` is zero, also
        // when a body panics, so the borrow outlives all uses.
        let body = unsafe { std::mem::transmute::<Body<'_>, Body<'static>>(body) };
        let mut state = lock(&self.shared.state);
        state.job = Some(Job { body, tasks });
        self.shared.next_task.store(0, Ordering::Relaxed);
        self.shared.epoch.fetch_add(1, Ordering::Release);
        if state.sleeping > 0 {
            self.shared.wake.notify_all();
        }
    }

    /// Spins for a while, then sleeps: a worker that the system has set aside needs this core more than we do.
    fn wait_for_workers(&self) {
        for _ in 0..SPINS {
            if self.shared.running.load(Ordering::Acquire) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        // In one order for all threads: either the last worker sees this flag, or its end is seen here.
        self.shared.waiting.store(true, Ordering::SeqCst);
        let mut state = lock(&self.shared.state);
        while self.shared.running.load(Ordering::SeqCst) != 0 {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.shared.waiting.store(false, Ordering::SeqCst);
    }
}

fn claim(shared: &Shared, tasks: usize, body: Body<'_>, worker: usize) {
    loop {
        let task = shared.next_task.fetch_add(1, Ordering::Relaxed);
        if task >= tasks {
            return;
        }
        body(task, worker);
    }
}

fn serve(shared: &Shared, worker: usize) {
    let _flush = FlushDenormals::enter();
    let mut seen = 0;
    while let Some(job) = next_job(shared, &mut seen) {
        let outcome = catch_unwind(AssertUnwindSafe(|| claim(shared, job.tasks, job.body, worker)));
        if let Err(panic) = outcome {
            lock(&shared.state).panic.get_or_insert(panic);
        }
        if shared.running.fetch_sub(1, Ordering::SeqCst) == 1 && shared.waiting.load(Ordering::SeqCst) {
            let _state = lock(&shared.state);
            shared.done.notify_one();
        }
    }
}

fn next_job(shared: &Shared, seen: &mut usize) -> Option<Job> {
    for _ in 0..SPINS {
        if shared.epoch.load(Ordering::Acquire) != *seen || shared.stop.load(Ordering::Relaxed) {
            break;
        }
        std::hint::spin_loop();
    }
    let mut state = lock(&shared.state);
    loop {
        if state.stop {
            return None;
        }
        let newest = shared.epoch.load(Ordering::Acquire);
        // A job that is gone was done by others.
        if let Some(job) = state.job.filter(|_| newest != *seen) {
            *seen = newest;
            shared.running.fetch_add(1, Ordering::Relaxed);
            return Some(job);
        }
        *seen = newest;
        state.sleeping += 1;
        state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.sleeping -= 1;
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        lock(&self.shared.state).stop = true;
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker's panic has already been handed to the caller of `run`.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_task_runs_once() {
        for count in [1, 2, 4] {
            let threads = Threads::new(count).unwrap();
            for tasks in [0, 1, 2, 7, 1000] {
                let calls: Vec<AtomicU64> = (0..tasks).map(|_| AtomicU64::new(0)).collect();
                threads.run(tasks, &|task, worker| {
                    assert!(worker < count);
                    calls[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_threads_live_on() {
        let threads = Threads::new(3).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            threads.run(50, &|task, _| assert_ne!(task, 17, "piece seventeen"));
        }));
        assert!(outcome.is_err());
        let done = AtomicU64::new(0);
        threads.run(50, &|_, _| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 50);
    }

    #[test]
    fn jobs_from_two_callers_take_turns() {
        let threads = Threads::new(2).unwrap();
        let total = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        threads.run(10, &|task, _| {
                            total.fetch_add(task as u64, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 2 * 200 * 45);
    }

    #[test]
    fn the_last_thread_wakes_a_caller_that_sleeps() {
        let threads = Threads::new(2).unwrap();
        // The worker stays in its piece long after the caller has done with its own.
        let held = AtomicBool::new(false);
        let free = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                threads.run(2, &|_, worker| {
                    held.fetch_or(worker == 1, Ordering::SeqCst);
                    while !free.load(Ordering::SeqCst) && (worker == 1 || !held.load(Ordering::SeqCst)) {
                        std::thread::yield_now();
                    }
                });
            });
            while !held.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            // The caller sleeps by now or soon; the end of the worker must wake it.
            std::thread::sleep(std::time::Duration::from_millis(20));
            free.store(true, Ordering::SeqCst);
        });
        let done = AtomicU64::new(0);
        for _ in 0..20_000 {
            threads.run(2, &|_, _| {
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(done.load(Ordering::Relaxed), 40_000);
    }

    #[test]
    fn zero_threads_are_refused() {
        assert!(Threads::new(0).is_err());
    }
}
