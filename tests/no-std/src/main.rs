//! Issues IDs in a program that has no std: it brings its own clock, allocator and panic handler, which could not be
//! linked beside std's.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::ToString;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{c_int, c_long, c_void};
use core::time::Duration;

use pyflake::{Clock, Epoch, Error, Generator, ManualClock, Node, Snowflake};

#[repr(C)]
struct Timespec {
    seconds: c_long,
    nanos: c_long,
}

#[link(name = "c")]
unsafe extern "C" {
    fn abort() -> !;
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
    fn free(block: *mut c_void);
    fn puts(line: *const u8) -> c_int;
}

struct Heap;

// SAFETY: the C library's allocator, whose blocks are as large and as aligned as is asked for.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is a multiple of the alignment, which is a power of two.
        unsafe { aligned_alloc(layout.align(), layout.pad_to_align().size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block is from `alloc`.
        unsafe { free(block.cast()) }
    }
}

#[global_allocator]
static HEAP: Heap = Heap;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut text = info.to_string();
    text.push('\0');
    // SAFETY: the text ends in a zero.
    unsafe {
        puts(text.as_ptr());
        abort()
    }
}

/// The `alloc` that comes with the compiler names it, in a build that cannot unwind too.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// A clock such as a board's support library has.
#[derive(Clone, Copy)]
struct BoardClock;

impl Clock for BoardClock {
    fn unix_millis(&self) -> u64 {
        u64::try_from(self.unix_time().as_millis()).unwrap_or(u64::MAX)
    }

    fn unix_time(&self) -> Duration {
        let mut time = Timespec { seconds: 0, nanos: 0 };
        // SAFETY: a valid place for the answer; 0 is CLOCK_REALTIME.
        unsafe { clock_gettime(0, &raw mut time) };
        Duration::new(time.seconds.unsigned_abs(), u32::try_from(time.nanos).unwrap_or(0))
    }
}

/// A clock that has stopped 50 us before the end of a millisecond.
struct Stopped;

impl Clock for Stopped {
    fn unix_millis(&self) -> u64 {
        1_700_000_000_000
    }

    fn unix_time(&self) -> Duration {
        Duration::from_micros(1_700_000_000_000_950)
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const u8) -> c_int {
    let node = Node::new(6, 17).expect("a node");
    let build = || Generator::builder(Epoch::TWITTER, node).clock(BoardClock).build().expect("a generator");

    // More than a millisecond has, from two generators of one node: it waits, and shares the timeline.
    let (one, two) = (build(), build());
    let mut ids: Vec<Snowflake> = Vec::new();
    for _ in 0..20_000 {
        ids.push(one.next_id().expect("an ID"));
        ids.push(two.next_id().expect("an ID"));
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "all different and increasing");
    assert!(ids.iter().all(|id| id.node() == node));
    ids.extend(one.reserve(10_000).expect("a block"));
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert!(one.stats().waits > 0, "40,000 IDs do not fit the time they took without waits");

    // A clock that stands still ends the wait, with an error.
    let clock = ManualClock::new(1_700_000_000_000);
    let still = Generator::builder(Epoch::TWITTER, node).clock(clock.clone()).build().expect("a generator");
    still.reserve(4096).expect("a millisecond's IDs");
    assert!(matches!(still.try_next_id(), Err(Error::Exhausted { .. })));
    assert_eq!(still.next_id(), Err(Error::ClockStalled { waited: Duration::ZERO }));
    clock.advance(2);
    still.next_id().expect("an ID of a later millisecond");

    // Also one that stops shortly before the boundary, where another wait would spin longer with each look.
    let stopped = Generator::builder(Epoch::TWITTER, node).clock(Stopped).build().expect("a generator");
    stopped.reserve(4096).expect("a millisecond's IDs");
    assert!(matches!(stopped.next_id(), Err(Error::ClockStalled { .. })));

    // Text, both ways.
    let id = ids[0];
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!("7/16".parse::<Node>().ok(), Node::new(7, 16).ok());
    assert!(Node::from_index(1024).unwrap_err().to_string().contains("1024"));

    // SAFETY: the text ends in a zero.
    unsafe { puts(c"no_std: 50,000 IDs, all different and increasing".to_bytes_with_nul().as_ptr()) };
    0
}
