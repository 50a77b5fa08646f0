//! Tests of the discipline on a simulated machine, whose clocks drift, step, stop and jump.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use super::{Discipline, PERIOD, SLEW, Source};
use crate::clock::stats::ClockStats;
use crate::clock::traits::Clock;
use crate::id::{Epoch, Node};
use crate::issue::Generator;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const START: u64 = 1_700_000_000 * SECOND;

/// A value that the test sets while a clock reads it.
#[derive(Default)]
struct Dial<T>(Mutex<T>);

impl<T: Copy> Dial<T> {
    fn get(&self) -> T {
        *self.0.lock().unwrap()
    }

    fn set(&self, value: T) {
        *self.0.lock().unwrap() = value;
    }
}

/// A machine with a true time, and clocks that are wrong in different ways.
#[derive(Default)]
struct Sim {
    /// Nanoseconds since the machine started.
    time: Dial<u64>,
    /// The drift of the counter, in parts per million; positive is fast.
    drift: Dial<i64>,
    /// The value at which the counter stands still, if it does.
    frozen: Dial<Option<u64>>,
    /// The error of the counter in nanoseconds. Its sign changes with each reading.
    jump: Dial<i64>,
    /// The wall clock minus true time.
    wall: Dial<i64>,
    /// Whether the machine has no counter.
    no_counter: bool,
}

impl Sim {
    fn counter(&self) -> u64 {
        let time = i128::from(self.time.get());
        // Three counts a nanosecond, from a start that is not zero.
        let counts = 3 * (time + time * i128::from(self.drift.get()) / 1_000_000 + 10 * i128::from(SECOND));
        u64::try_from(counts).unwrap()
    }
}

impl Source for &Sim {
    fn raw(&self) -> u64 {
        self.time.set(self.time.get() + 8);
        self.jump.set(-self.jump.get());
        self.frozen.get().unwrap_or(self.counter()).wrapping_add_signed(3 * self.jump.get())
    }

    fn nanos_of_2_pow_36(&self) -> u64 {
        if self.no_counter { 0 } else { (1 << 36) / 3 }
    }

    fn monotonic(&self) -> u64 {
        self.time.set(self.time.get() + 20);
        self.time.get()
    }

    fn wall(&self) -> u64 {
        self.time.set(self.time.get() + 20);
        (START + self.time.get()).wrapping_add_signed(self.wall.get())
    }
}

/// Reads the clock about every 0.1 ms for `duration`. Returns the readings in milliseconds.
fn run(sim: &Sim, clock: &Discipline<&Sim>, duration: u64) -> Vec<u64> {
    let end = sim.time.get() + duration;
    let mut times = Vec::new();
    while sim.time.get() < end {
        sim.time.set(sim.time.get() + 100_123);
        times.push(clock.unix_millis());
    }
    times
}

/// The clock minus the wall, in nanoseconds.
fn lead(sim: &Sim, clock: &Discipline<&Sim>) -> i64 {
    let time = clock.unix_nanos();
    time.wrapping_sub(Source::wall(&sim)).cast_signed()
}

/// The largest distance from a reading down to an earlier one.
fn worst_step_back(times: &[u64]) -> u64 {
    let mut highest = 0;
    times.iter().fold(0, |worst, &time| {
        highest = highest.max(time);
        worst.max(highest - time)
    })
}

#[test]
fn drift_stays_within_a_period() {
    for ppm in [-500, -52, 0, 52, 500] {
        let sim = Sim::default();
        sim.drift.set(ppm);
        let clock = Discipline::new(&sim);
        let times = run(&sim, &clock, 60 * SECOND);
        assert!(worst_step_back(&times) <= 1, "{ppm} ppm");
        assert_ne!(clock.span.load(super::Ordering::Relaxed), 0, "{ppm} ppm: the counter is good enough");
        // 500 ppm of 103 ms are 52 µs.
        let by_counter = clock.unix_millis() * MS;
        let wall = Source::wall(&&sim);
        assert!(by_counter.abs_diff(wall) < MS + 60_000, "{ppm} ppm: {by_counter} {wall}");
        assert!(lead(&sim, &clock).abs() < 1000, "{ppm} ppm");
    }
}

#[test]
fn wall_set_back_is_slewed() {
    for step in [MS, SECOND, 3600 * SECOND] {
        let sim = Sim::default();
        let clock = Discipline::new(&sim);
        run(&sim, &clock, SECOND);
        sim.wall.set(-step.cast_signed());
        let times = run(&sim, &clock, 10 * SECOND);
        assert!(worst_step_back(&times) <= 1, "a step back is at most the slew of a period");
        let left = step.saturating_sub(10 * SECOND / PERIOD * SLEW);
        assert!(lead(&sim, &clock).abs_diff(left.cast_signed()) <= 2 * SLEW, "1 % of ten seconds was worked off");
        assert_eq!(clock.step_backs.load(super::Ordering::Relaxed), u64::from(step > 5 * MS));
        assert_ne!(clock.span.load(super::Ordering::Relaxed), 0, "the counter was right");
    }
}

#[test]
fn leap_second_is_worked_off() {
    let sim = Sim::default();
    let clock = Discipline::new(&sim);
    run(&sim, &clock, SECOND);
    sim.wall.set(-SECOND.cast_signed());
    assert!(worst_step_back(&run(&sim, &clock, 110 * SECOND)) <= 1);
    assert!(lead(&sim, &clock).abs() < 1000);
}

#[test]
fn wall_set_forward_is_followed() {
    let sim = Sim::default();
    let clock = Discipline::new(&sim);
    run(&sim, &clock, SECOND);
    sim.wall.set((24 * 3600 * SECOND).cast_signed());
    run(&sim, &clock, 2 * PERIOD);
    assert!(lead(&sim, &clock).abs() < 1000);
}

#[test]
fn suspend_is_followed() {
    // The wall clock and the counter continue, the monotonic clock does not.
    let sim = Sim::default();
    let clock = Discipline::new(&sim);
    run(&sim, &clock, SECOND);
    sim.wall.set((3600 * SECOND).cast_signed());
    sim.jump.set(0);
    sim.frozen.set(Some(sim.counter() + 3 * 3600 * SECOND));
    let times = run(&sim, &clock, 2 * PERIOD);
    assert_eq!(worst_step_back(&times), 0);
    assert!(lead(&sim, &clock).abs() < 1000);
}

#[test]
fn frozen_counter_is_dropped() {
    let sim = Sim::default();
    let clock = Discipline::new(&sim);
    run(&sim, &clock, SECOND);
    sim.frozen.set(Some(sim.counter()));
    // A caller that waits reads the exact time, and so performs the sync.
    sim.time.set(sim.time.get() + PERIOD);
    let before = clock.unix_nanos();
    assert_eq!(clock.span.load(super::Ordering::Relaxed), 0);
    let times = run(&sim, &clock, SECOND);
    assert!(times.first() >= Some(&(before / MS)));
    assert!(lead(&sim, &clock).abs() < 1000);
}

#[test]
fn jumping_counter_is_dropped() {
    let sim = Sim::default();
    let clock = Discipline::new(&sim);
    run(&sim, &clock, SECOND);
    sim.jump.set((16 * SECOND / 10).cast_signed());
    run(&sim, &clock, SECOND);
    assert_eq!(clock.span.load(super::Ordering::Relaxed), 0);
    assert_eq!(worst_step_back(&run(&sim, &clock, SECOND)), 0);
    assert!(lead(&sim, &clock).abs() < 1000);
}

#[test]
fn a_counter_outside_its_window_is_never_used() {
    // The negative control of the window: without it, the same jump is an error of 1.6 s.
    let sim = Sim::default();
    let clock = Discipline::new(&sim);
    sim.jump.set((16 * SECOND / 10).cast_signed());
    for _ in 0..4 {
        let time = clock.unix_millis();
        assert!(time.abs_diff((START + sim.time.get()) / MS) <= 1, "{time}");
    }
    let naive = |raw: u64| clock.millis(raw.wrapping_add(clock.counter_offset.load(super::Ordering::Relaxed)));
    assert!(naive(Source::raw(&&sim)).abs_diff((START + sim.time.get()) / MS) >= 1599);
}

#[test]
fn the_clock_works_without_a_counter() {
    let sim = Sim { no_counter: true, ..Sim::default() };
    let clock = Discipline::new(&sim);
    assert_eq!(worst_step_back(&run(&sim, &clock, SECOND)), 0);
    assert!(lead(&sim, &clock).abs() < 1000);
}

#[test]
fn idle_for_an_hour() {
    let sim = Sim::default();
    sim.drift.set(52);
    let clock = Discipline::new(&sim);
    run(&sim, &clock, SECOND);
    sim.time.set(sim.time.get() + 3600 * SECOND);
    run(&sim, &clock, SECOND);
    assert_ne!(clock.span.load(super::Ordering::Relaxed), 0);
    assert!(lead(&sim, &clock).abs() < 1000);
}

/// The events that `work` emits, one line each.
#[cfg(feature = "tracing")]
fn events(work: impl FnOnce()) -> Vec<String> {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(Mutex::new(writer)).finish();
    tracing::subscriber::with_default(subscriber, work);
    let mut lines = String::new();
    std::io::Read::read_to_string(&mut reader, &mut lines).unwrap();
    lines.lines().map(|line| line.trim_start().to_owned()).collect()
}

#[cfg(feature = "tracing")]
#[test]
fn a_step_back_and_the_loss_of_the_counter_emit_one_event_each() {
    let sim = Sim::default();
    let clock = Discipline::new(&sim);
    let quiet = events(|| {
        sim.drift.set(52);
        run(&sim, &clock, SECOND);
        sim.wall.set(SECOND.cast_signed());
        run(&sim, &clock, SECOND);
    });
    assert_eq!(quiet, Vec::<String>::new(), "a step forward and a drift emit no event");
    let back = events(|| {
        sim.wall.set(-SECOND.cast_signed());
        run(&sim, &clock, SECOND);
    });
    let [line] = &back[..] else { panic!("{back:?}") };
    assert_eq!(line, "WARN pyflake: the wall clock was set back behind_ms=2000");
    let left = events(|| {
        sim.frozen.set(Some(sim.counter()));
        sim.time.set(sim.time.get() + PERIOD);
        clock.unix_nanos();
        run(&sim, &clock, SECOND);
    });
    let [line] = &left[..] else { panic!("{left:?}") };
    assert!(
        line.starts_with("WARN pyflake: the processor's counter is wrong: the clock stopped using it off_us="),
        "{line}"
    );
}

/// A subscriber that reads the clock during an event reads the corrected clock.
#[cfg(feature = "tracing")]
#[test]
fn an_event_is_emitted_after_the_correction() {
    use tracing_subscriber::fmt::MakeWriter;

    struct Reads(Arc<SimClock>, Arc<Mutex<Vec<ClockStats>>>);

    impl<'a> MakeWriter<'a> for Reads {
        type Writer = std::io::Sink;

        fn make_writer(&'a self) -> Self::Writer {
            self.0.unix_time();
            self.1.lock().unwrap().push(self.0.stats());
            std::io::sink()
        }
    }

    let generator = generator(0);
    let sim = Arc::clone(&generator.clock().sim);
    let clock = Arc::new(SimClock { sim: Arc::clone(&sim), clock: Discipline::new(Arc::clone(&sim)) });
    let seen = Arc::default();
    let subscriber = tracing_subscriber::fmt().with_writer(Reads(Arc::clone(&clock), Arc::clone(&seen))).finish();
    tracing::subscriber::with_default(subscriber, || {
        sim.wall.set(-SECOND.cast_signed());
        sim.frozen.set(Some(sim.counter()));
        sim.time.set(sim.time.get() + PERIOD);
        clock.unix_time();
    });
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|stats| stats.step_backs == 1 && !stats.counter), "{seen:?}");
}

/// The disciplined clock of a simulated machine, for a generator.
struct SimClock {
    sim: Arc<Sim>,
    clock: Discipline<Arc<Sim>>,
}

impl Source for Arc<Sim> {
    fn raw(&self) -> u64 {
        (&**self).raw()
    }

    fn nanos_of_2_pow_36(&self) -> u64 {
        (&**self).nanos_of_2_pow_36()
    }

    fn monotonic(&self) -> u64 {
        (&**self).monotonic()
    }

    fn wall(&self) -> u64 {
        (&**self).wall()
    }
}

impl Clock for SimClock {
    fn unix_millis(&self) -> u64 {
        self.clock.unix_millis()
    }

    fn unix_time(&self) -> Duration {
        // Time passes while a caller waits.
        self.sim.time.set(self.sim.time.get() + 10_000);
        Duration::from_nanos(self.clock.unix_nanos())
    }

    fn stats(&self) -> ClockStats {
        self.clock.stats()
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

/// Issues IDs for `duration`: about 10 every 0.1 ms, and sometimes a burst.
///
/// Checks that every call succeeds, that IDs increase, and that none is further than `bound`
/// milliseconds from the wall clock.
#[track_caller]
fn issue(generator: &Generator<SimClock>, last: &mut u64, duration: u64, bound: u64) {
    let sim = &generator.clock().sim;
    let end = sim.time.get() + duration;
    let mut turn = 0;
    while sim.time.get() < end {
        sim.time.set(sim.time.get() + 100_123);
        turn += 1;
        for _ in 0..if turn % 500 == 0 { 5000 } else { 10 } {
            let id = generator.next_id().unwrap();
            assert!(id.as_u64() > *last);
            *last = id.as_u64();
            let wall = (START + sim.time.get()).wrapping_add_signed(sim.wall.get()) / MS;
            assert!(id.timestamp(Epoch::UNIX).abs_diff(wall) <= bound, "{id:?}: {} ms", wall.abs_diff(id.tick()));
        }
    }
}

fn generator(drift: i64) -> Generator<SimClock> {
    let sim = Arc::new(Sim::default());
    sim.drift.set(drift);
    let clock = SimClock { sim: Arc::clone(&sim), clock: Discipline::new(sim) };
    Generator::builder(Epoch::UNIX, Node::new(1, 1).unwrap()).wait(crate::Wait::Spin).clock(clock).build().unwrap()
}

#[test]
fn ids_continue_over_steps_of_the_wall() {
    let second = SECOND.cast_signed();
    // Back by 1 ms, by 1 s (as by a leap second) and by 1 h, and forward by a day. Each step comes
    // with its bound in ms.
    for (step, bound) in
        [(-second / 1000, 3), (-second, 1002), (-3600 * second, 3_600_002), (24 * 3600 * second, 24 * 3_600_000 + 2)]
    {
        let generator = generator(0);
        let sim = Arc::clone(&generator.clock().sim);
        let mut last = 0;
        issue(&generator, &mut last, SECOND, 2);
        sim.wall.set(step);
        issue(&generator, &mut last, 2 * PERIOD, bound);
        // The clock follows a step forward at once, and works off a step back at 1 %.
        let left = if step > 0 { 2 } else { bound };
        issue(&generator, &mut last, 2 * SECOND, left);
        let stats = generator.stats().clock;
        assert_eq!(stats.step_backs, u64::from(step < -5 * MS.cast_signed()), "{step}");
        assert!(stats.syncs >= 20, "{stats:?}");
        let lead = u64::try_from(-step / 1_000_000).unwrap_or(0).saturating_sub(20);
        assert!(stats.lead.as_millis().abs_diff(lead.into()) <= 4, "{stats:?}");
    }
}

#[test]
fn ids_continue_over_faults_of_the_counter() {
    for drift in [-500, -52, 52, 500] {
        let (generator, mut last) = (generator(drift), 0);
        issue(&generator, &mut last, 2 * SECOND, 2);
        assert!(generator.stats().clock.counter);
    }
    let (jumping, mut last) = (generator(0), 0);
    issue(&jumping, &mut last, SECOND, 2);
    jumping.clock().sim.jump.set(1_600_000_000);
    issue(&jumping, &mut last, 2 * SECOND, 2);
    assert!(!jumping.stats().clock.counter);

    let (frozen, mut last) = (generator(0), 0);
    issue(&frozen, &mut last, SECOND, 2);
    let sim = &frozen.clock().sim;
    sim.frozen.set(Some(sim.counter()));
    // While the counter is trusted, the time stands still for as long as the IDs of a millisecond
    // last: 41 ms here.
    issue(&frozen, &mut last, SECOND, 160);
    assert!(!frozen.stats().clock.counter);
    issue(&frozen, &mut last, SECOND, 2);
}

#[test]
fn negative_control_ids_by_the_plain_wall_clock_stop() {
    let sim = Arc::new(Sim::default());
    let wall = {
        let sim = Arc::clone(&sim);
        move || {
            sim.time.set(sim.time.get() + 1000);
            (START + sim.time.get()).wrapping_add_signed(sim.wall.get()) / MS
        }
    };
    let builder = Generator::builder(Epoch::UNIX, Node::new(1, 1).unwrap());
    let generator = builder.wait(crate::Wait::Spin).clock(wall).build().unwrap();
    generator.next_id().unwrap();
    sim.wall.set(-(3600 * SECOND).cast_signed());
    let refused = (0..5000).find_map(|_| generator.next_id().err());
    assert!(matches!(refused, Some(crate::Error::WaitTooLong { .. })), "{refused:?}");
}
