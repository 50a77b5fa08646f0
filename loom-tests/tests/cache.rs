//! Models of a client's cache: threads read it while others write to it.
//!
//! Each model checks that a reader never gets the ID of another index.
#![cfg(pyflake_loom)]

use std::sync::Arc;

use loom_tests::{EPOCH, TICK, bounded, every, join, start};
use pyflake::{CachePolicy, PyflakeClient, Snowflake};

/// The clock is a constant, so it adds no step to the model.
type Client = PyflakeClient<fn() -> u64>;

/// Makes a client that has generated and cached `N` IDs.
fn client<const N: usize>(cache: CachePolicy) -> (Arc<Client>, [Snowflake; N]) {
    let client = Arc::new(PyflakeClient::builder(EPOCH).clock((|| TICK) as fn() -> u64).cache(cache).build());
    client.create_generator(1, 2).expect("the first");
    let ids = generate(&client);
    (client, ids)
}

fn generate<const N: usize>(client: &Client) -> [Snowflake; N] {
    core::array::from_fn(|_| client.generate().expect("an ID"))
}

/// Reads some indices from the cache, one after the other.
fn read<const N: usize>(client: &Client, indices: [u64; N]) -> [(u64, Option<Snowflake>); N] {
    indices.map(|idx| {
        let record = client.cached(idx);
        assert!(record.is_none_or(|record| record.idx == idx));
        (idx, record.map(|record| record.snowflake))
    })
}

/// Checks the records that a reader got against the IDs of the indices from `first` on.
fn assert_seen(seen: &[(u64, Option<Snowflake>)], first: u64, ids: &[Snowflake]) {
    for (id, idx) in ids.iter().zip(first..) {
        for (_, seen) in seen.iter().filter(|(of, _)| *of == idx) {
            assert!(seen.is_none_or(|seen| seen == *id), "index {idx} is {id} and a reader got {seen:?}");
        }
    }
}

/// Sorts the IDs of two threads, one each, by their indices. The cache must still hold the last
/// index.
fn in_order(client: &Client, [one]: [Snowflake; 1], [other]: [Snowflake; 1]) -> [Snowflake; 2] {
    let last = client.cached(client.info().generated).expect("the last index stays in the cache").snowflake;
    assert!(last == one || last == other);
    if last == one { [other, one] } else { [one, other] }
}

#[test]
fn all_get_while_put() {
    every(|| {
        // The main thread makes the first segment.
        let (client, [first]) = client(CachePolicy::All);
        let writer = start(&client, generate::<1>);
        let seen = read(&client, [2, 1, 2]);
        let [second] = join(writer);
        assert_seen(&seen, 1, &[first, second]);
        assert_eq!(read(&client, [1, 2]), [(1, Some(first)), (2, Some(second))]);
    });
}

/// Two writers begin the same segment, which another index range used before. The first of them
/// puts it in its place.
#[test]
fn all_two_writers_in_a_recycled_segment() {
    bounded(3, || {
        let (client, [_, _]) = client(CachePolicy::All);
        client.clear_cache();
        let writer = start(&client, generate::<1>);
        let reader = start(&client, |client| read(client, [4, 3, 1, 2]));
        let mine = generate::<1>(&client);
        let (seen, others) = (join(reader), join(writer));
        let [third, fourth] = in_order(&client, mine, others);
        assert_seen(&seen, 3, &[third, fourth]);
        assert_eq!(&seen[2..], [(1, None), (2, None)], "cleared before");
        assert_eq!(read(&client, [3, 4]), [(3, Some(third)), (4, Some(fourth))]);
        assert_eq!(client.cache_len(), 2);
    });
}

/// A reader finds its segment. Before it reads the word, the cache is cleared and another index
/// uses the word.
#[test]
fn all_a_segment_is_recycled_under_a_reader() {
    every(|| {
        let (client, [first, second]) = client(CachePolicy::All);
        let writer = start(&client, |client| {
            client.clear_cache();
            generate::<2>(client)
        });
        let seen = read(&client, [1, 2, 1]);
        let [third, fourth] = join(writer);
        assert_seen(&seen, 1, &[first, second]);
        assert_eq!(read(&client, [1, 2, 3, 4]), [(1, None), (2, None), (3, Some(third)), (4, Some(fourth))]);
    });
}

/// The same with two recyclings: the segment has had three places before the reader reads.
#[test]
fn all_a_segment_is_recycled_twice_under_a_reader() {
    bounded(3, || {
        let (client, [first, second]) = client(CachePolicy::All);
        let writer = start(&client, |client| {
            client.clear_cache();
            let [third, fourth] = generate(client);
            client.clear_cache();
            let [fifth] = generate(client);
            [third, fourth, fifth]
        });
        let seen = read(&client, [1, 2]);
        assert_seen(&seen, 1, &[first, second]);
        let ids = join(writer);
        assert_eq!(read(&client, [2, 3, 4, 5]), [(2, None), (3, None), (4, None), (5, Some(ids[2]))]);
    });
}

/// A segment with an unwritten word is not recycled. Otherwise the late writer would write into
/// another index.
#[test]
fn all_a_late_writer_and_clear_cache() {
    bounded(3, || {
        let (client, [first]) = client(CachePolicy::All);
        let late = start(&client, generate::<1>);
        let clearer = start(&client, |client| {
            client.clear_cache();
            generate::<1>(client)
        });
        let seen = read(&client, [1, 2]);
        let (late, clearer) = (join(late), join(clearer));
        // The third index is past the watermark, whenever the cache was cleared, so it is always
        // kept.
        let [second, third] = in_order(&client, late, clearer);
        assert_seen(&seen, 1, &[first, second]);
        assert_seen(&read(&client, [2]), 2, &[second]);
        assert_eq!(read(&client, [1, 3, 4]), [(1, None), (3, Some(third)), (4, None)]);
    });
}

/// Each writer takes the one place from the writer before it.
#[test]
fn recent_one_get_while_put() {
    every(|| {
        let (client, [first]) = client(CachePolicy::Recent(1));
        let writer = start(&client, generate::<2>);
        let seen = read(&client, [1, 2, 3]);
        let [second, third] = join(writer);
        assert_seen(&seen, 1, &[first, second, third]);
        assert_eq!(read(&client, [1, 2, 3]), [(1, None), (2, None), (3, Some(third))]);
    });
}

/// Two writers share the one place, in any order, with a reader.
#[test]
fn recent_one_two_writers() {
    bounded(3, || {
        let (client, [first]) = client(CachePolicy::Recent(1));
        let writer = start(&client, generate::<1>);
        let reader = start(&client, |client| read(client, [3, 2, 1]));
        let mine = generate::<1>(&client);
        let (seen, others) = (join(reader), join(writer));
        let [second, third] = in_order(&client, mine, others);
        assert_seen(&seen, 1, &[first, second, third]);
        assert_eq!(read(&client, [2, 3]), [(2, None), (3, Some(third))]);
    });
}

/// Three writers share the one place: a writer may be overtaken twice during its write.
#[test]
fn recent_one_three_writers() {
    bounded(2, || {
        let (client, []) = client(CachePolicy::Recent(1));
        let others = [(); 2].map(|()| start(&client, generate::<1>));
        let mine = generate::<1>(&client);
        let mut seen = read(&client, [2]).to_vec();
        let ids = [&mine[..], &others.map(join).concat()].concat();
        seen.extend(read(&client, [3]));
        let last = seen[1].1.expect("the last index stays in the cache");
        assert!(seen.iter().filter_map(|(_, id)| *id).all(|id| ids.contains(&id)));
        // The order of the other two is unknown, but neither of them is the last.
        for (idx, id) in &seen {
            assert!(id.is_none_or(|id| (id == last) == (*idx == 3)), "index 3 is {last} and a reader got {seen:?}");
        }
    });
}

/// Indices 1 and 3 share a place; index 2 has the other place.
#[test]
fn recent_two_writers_of_one_place() {
    bounded(3, || {
        let (client, [first]) = client(CachePolicy::Recent(2));
        let writer = start(&client, generate::<1>);
        let reader = start(&client, |client| read(client, [1, 3, 2]));
        let mine = generate::<1>(&client);
        let (seen, others) = (join(reader), join(writer));
        let [second, third] = in_order(&client, mine, others);
        assert_seen(&seen, 1, &[first, second, third]);
        assert_eq!(read(&client, [1, 2, 3]), [(1, None), (2, Some(second)), (3, Some(third))]);
    });
}

#[test]
fn recent_get_while_put_and_cleared() {
    every(|| {
        let (client, [first, second]) = client(CachePolicy::Recent(2));
        let writer = start(&client, |client| {
            client.clear_cache();
            generate::<1>(client)
        });
        let seen = read(&client, [1, 3, 2]);
        let [third] = join(writer);
        assert_seen(&seen, 1, &[first, second, third]);
        assert_eq!(read(&client, [1, 2, 3]), [(1, None), (2, None), (3, Some(third))]);
        assert_eq!(client.cache_len(), 1);
    });
}
