//! The memory that a client's cache takes.

use crate::common::{EPOCH, node};
use crate::counting::count_in;
use pyflake::{CachePolicy, Generator, PyflakeClient};

const MILLION: i64 = 1_000_000;

/// The bytes that a million more IDs keep.
fn bytes_of_a_million(client: &PyflakeClient) -> i64 {
    let (count, ()) = count_in(|| {
        for _ in 0..MILLION {
            client.generate().unwrap();
        }
    });
    count.live
}

fn client(policy: CachePolicy, seed: u64) -> PyflakeClient {
    let client = PyflakeClient::builder(EPOCH).cache(policy).build();
    client.create_generator(11, seed).unwrap();
    client
}

#[test]
fn all_ids_take_8_bytes_each_and_cleared_ones_make_room() {
    let (in_all, ()) = count_in(|| {
        let client = client(CachePolicy::All, 0);
        let bytes = bytes_of_a_million(&client);
        println!("the first million: {bytes} bytes");
        // 8 bytes, and the list of segments.
        assert!((8 * MILLION..8 * MILLION + MILLION / 4).contains(&bytes), "{bytes}");

        for _ in 0..3 {
            let (cleared, ()) = count_in(|| client.clear_cache());
            let more = cleared.live + bytes_of_a_million(&client);
            println!("a million after clear_cache: {more} bytes");
            // The IDs go where the cleared ones were; only the list of segments becomes longer.
            assert!(more < MILLION / 8, "{more}");
        }

        let more = bytes_of_a_million(&client);
        assert!(more > 7 * MILLION, "the control, without clear_cache: {more}");
    });
    // But for the timeline, which the process keeps.
    assert!(in_all.live < 4096, "dropped, it gives all back: {in_all:?}");
}

#[test]
fn a_recent_cache_takes_16_bytes_an_id_at_once() {
    // The process's timeline for the node is not the client's.
    Generator::new(EPOCH, node(11, 1)).unwrap();
    let (empty, _off) = count_in(|| client(CachePolicy::Off, 1));
    let (full, recent) = count_in(|| client(CachePolicy::Recent(100_000), 1));
    let bytes = full.live - empty.live;
    assert!((16 * 100_000..16 * 100_000 + 64).contains(&bytes), "{bytes}");
    assert_eq!(bytes_of_a_million(&recent), 0);
}

#[test]
fn a_cache_that_is_off_takes_nothing() {
    assert_eq!(bytes_of_a_million(&client(CachePolicy::Off, 2)), 0);
}
