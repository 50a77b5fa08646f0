//! The bit layout of an ID: how a tick, a node and a sequence share 64 bits.
//!
//! ```text
//!  63                                    22 21    17 16    12 11           0
//! +----------------------------------------+--------+--------+--------------+
//! |             tick (42 bits)             |seed (5)|pid (5) | sequence (12)|
//! +----------------------------------------+--------+--------+--------------+
//! ```
//!
//! A *slot* is the same number without the node: `tick << 12 | sequence`, 54 bits. The slots of one
//! node form one number line, with 4096 slots in each millisecond. All arithmetic on ticks and
//! slots is in this file.

pub(crate) mod node;

/// Width of the tick in bits: 42, enough for 139 years of milliseconds.
pub const TICK_BITS: u32 = 42;
/// Width of the seed in bits: 5, so 0 to 31.
pub const SEED_BITS: u32 = 5;
/// Width of the pid in bits: 5, so 0 to 31.
pub const PID_BITS: u32 = 5;
/// Width of the sequence in bits: 12, so 0 to 4095.
pub const SEQUENCE_BITS: u32 = 12;

/// The largest tick: `2^42 - 1`.
pub const MAX_TICK: u64 = (1 << TICK_BITS) - 1;
/// The largest seed: 31.
pub const MAX_SEED: u8 = (1 << SEED_BITS) - 1;
/// The largest pid: 31.
pub const MAX_PID: u8 = (1 << PID_BITS) - 1;
/// The largest sequence: 4095.
pub const MAX_SEQUENCE: u16 = (1 << SEQUENCE_BITS) - 1;
/// IDs that one node can issue in one millisecond: 4096.
pub const IDS_PER_TICK: u64 = 1 << SEQUENCE_BITS;

const PID_SHIFT: u32 = SEQUENCE_BITS;
const SEED_SHIFT: u32 = PID_SHIFT + PID_BITS;
const TICK_SHIFT: u32 = SEED_SHIFT + SEED_BITS;
const _: () = assert!(TICK_SHIFT + TICK_BITS == 64, "the four fields fill 64 bits exactly");

/// The number of ticks, and one past the last tick: `2^42`.
pub(crate) const TICKS: u64 = MAX_TICK + 1;

/// The first slot of a tick, for ticks up to `MAX_TICK + 1`. A larger tick would lose its top bits.
pub(crate) const fn first_slot(tick: u64) -> u64 {
    debug_assert!(tick <= MAX_TICK + 1);
    tick << SEQUENCE_BITS
}

/// The tick of a slot.
pub(crate) const fn tick_of_slot(slot: u64) -> u64 {
    slot >> SEQUENCE_BITS
}

/// The sequence of a slot: its place in its tick.
pub(crate) const fn sequence_of_slot(slot: u64) -> u64 {
    slot & MAX_SEQUENCE as u64
}

/// The end of the tick that contains slot `free - 1`: one past its last slot.
///
/// Returns `free` itself if `free` is the first slot of a tick.
pub(crate) const fn end_of_begun_tick(free: u64) -> u64 {
    free.next_multiple_of(IDS_PER_TICK)
}

/// Hashes a tick and a node to a number below `2^bits`.
///
/// The numbers are spread evenly, also for ticks a fixed step apart and for nodes in one tick.
pub(crate) const fn scatter(tick: u64, node_bits: u64, bits: u32) -> u64 {
    // The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
    // generators, 2014). The tick has 42 bits, and the node is shifted above them.
    let mut mixed = tick ^ node_bits << (TICK_BITS - SEQUENCE_BITS);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    mixed & ((1 << bits) - 1)
}

/// The bits of a node at their position in an ID.
pub(crate) const fn node_bits(pid: u8, seed: u8) -> u64 {
    (seed as u64) << SEED_SHIFT | (pid as u64) << PID_SHIFT
}

/// The ID of a slot and of the bits that [`node_bits`] returns for a node.
pub(crate) const fn id(slot: u64, node_bits: u64) -> u64 {
    tick_of_slot(slot) << TICK_SHIFT | node_bits | sequence_of_slot(slot)
}

/// The tick of an ID.
pub(crate) const fn tick(id: u64) -> u64 {
    id >> TICK_SHIFT
}

/// The seed of an ID.
#[expect(clippy::cast_possible_truncation, reason = "the mask is within the low bits")]
pub(crate) const fn seed(id: u64) -> u8 {
    (id >> SEED_SHIFT) as u8 & MAX_SEED
}

/// The pid of an ID.
#[expect(clippy::cast_possible_truncation, reason = "the mask is within the low bits")]
pub(crate) const fn pid(id: u64) -> u8 {
    (id >> PID_SHIFT) as u8 & MAX_PID
}

/// The sequence of an ID.
#[expect(clippy::cast_possible_truncation, reason = "the mask is within the low bits")]
pub(crate) const fn sequence(id: u64) -> u16 {
    id as u16 & MAX_SEQUENCE
}

/// The smallest ID of a tick, up to [`MAX_TICK`].
pub(crate) const fn first_id(tick: u64) -> u64 {
    id(first_slot(tick), 0)
}

/// The largest ID of a tick, up to [`MAX_TICK`].
pub(crate) const fn last_id(tick: u64) -> u64 {
    id(first_slot(tick) | MAX_SEQUENCE as u64, node_bits(MAX_PID, MAX_SEED))
}
