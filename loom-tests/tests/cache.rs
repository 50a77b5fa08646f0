//! Threads that read a client's cache while others write to it. The question is the same each time: does a reader get
//! the ID of another index?
#![cfg(pyflake_loom)]

use std::sync::Arc;

use loom_tests::{EPOCH, TICK, bounded, every, fork, join};
use pyflake::{CachePolicy, PyflakeClient, Snowflake};

/// The clock is a constant: it costs the model no step.
type Client = PyflakeClient<fn() -> u64>;

/// A client that has a generator, and has generated and cached `N` IDs.
fn client<const N: usize>(cache: CachePolicy) -> (Arc<Client>, [Snowflake; N]) {
    let client = Arc::new(PyflakeClient::builder(EPOCH).clock((|| TICK) as fn() -> u64).cache(cache).build());
    client.create_generator(1, 2).expect("the first");
    let ids = generate(&client);
    (client, ids)
}

fn generate<const N: usize>(client: &Client) -> [Snowflake; N] {
    core::array::from_fn(|_| client.generate().expect("an ID"))
}

/// What the cache says of some indices, one after the other.
fn look<const N: usize>(client: &Client, indices: [u64; N]) -> [(u64, Option<Snowflake>); N] {
    indices.map(|idx| {
        let record = client.cached(idx);
        assert!(record.is_none_or(|record| record.idx == idx));
        (idx, record.map(|record| record.snowflake))
    })
}

/// Checks what a reader saw against the IDs by their index, the first of which is `first`.
fn assert_seen(seen: &[(u64, Option<Snowflake>)], first: u64, ids: &[Snowflake]) {
    for (id, idx) in ids.iter().zip(first..) {
        for (_, seen) in seen.iter().filter(|(of, _)| *of == idx) {
            assert!(seen.is_none_or(|seen| seen == *id), "index {idx} is {id} and a reader got {seen:?}");
        }
    }
}

/// The IDs of two threads in the order of their indices, of which the last is in the cache and known: with one ID each,
/// the other one is the one before.
fn in_order(client: &Client, [one]: [Snowflake; 1], [other]: [Snowflake; 1]) -> [Snowflake; 2] {
    let last = client.cached(client.info().generated).expect("the last one stays").snowflake;
    assert!(last == one || last == other);
    if last == one { [other, one] } else { [one, other] }
}

#[test]
fn all_get_while_put() {
    every(|| {
        // The first segment is the main thread's.
        let (client, [first]) = client(CachePolicy::All);
        let writer = fork(&client, generate::<1>);
        let seen = look(&client, [2, 1, 2]);
        let [second] = join(writer);
        assert_seen(&seen, 1, &[first, second]);
        assert_eq!(look(&client, [1, 2]), [(1, Some(first)), (2, Some(second))]);
    });
}

/// Two writers begin a segment, which was another one's before: the first of them puts it in its place.
#[test]
fn all_two_writers_in_a_recycled_segment() {
    bounded(3, || {
        let (client, [_, _]) = client(CachePolicy::All);
        client.clear_cache();
        let writer = fork(&client, generate::<1>);
        let reader = fork(&client, |client| look(client, [4, 3, 1, 2]));
        let mine = generate::<1>(&client);
        let (seen, others) = (join(reader), join(writer));
        let [third, fourth] = in_order(&client, mine, others);
        assert_seen(&seen, 3, &[third, fourth]);
        assert_eq!(&seen[2..], [(1, None), (2, None)], "cleared before");
        assert_eq!(look(&client, [3, 4]), [(3, Some(third)), (4, Some(fourth))]);
        assert_eq!(client.cache_len(), 2);
    });
}

/// A reader has found its segment; before it reads the word, the cache is cleared and the word is another index's.
#[test]
fn all_a_segment_is_recycled_under_a_reader() {
    every(|| {
        let (client, [first, second]) = client(CachePolicy::All);
        let writer = fork(&client, |client| {
            client.clear_cache();
            generate::<2>(client)
        });
        let seen = look(&client, [1, 2, 1]);
        let [third, fourth] = join(writer);
        assert_seen(&seen, 1, &[first, second]);
        assert_eq!(look(&client, [1, 2, 3, 4]), [(1, None), (2, None), (3, Some(third)), (4, Some(fourth))]);
    });
}

/// The same twice over: the segment has had three places when the reader gets to read.
#[test]
fn all_a_segment_is_recycled_twice_under_a_reader() {
    bounded(3, || {
        let (client, [first, second]) = client(CachePolicy::All);
        let writer = fork(&client, |client| {
            client.clear_cache();
            let [third, fourth] = generate(client);
            client.clear_cache();
            let [fifth] = generate(client);
            [third, fourth, fifth]
        });
        let seen = look(&client, [1, 2]);
        assert_seen(&seen, 1, &[first, second]);
        let ids = join(writer);
        assert_eq!(look(&client, [2, 3, 4, 5]), [(2, None), (3, None), (4, None), (5, Some(ids[2]))]);
    });
}

/// A segment with a word still to be written is not recycled: the late writer must not write into another index.
#[test]
fn all_a_late_writer_and_clear_cache() {
    bounded(3, || {
        let (client, [first]) = client(CachePolicy::All);
        let late = fork(&client, generate::<1>);
        let clearer = fork(&client, |client| {
            client.clear_cache();
            generate::<1>(client)
        });
        let seen = look(&client, [1, 2]);
        let (late, clearer) = (join(late), join(clearer));
        // The third index is past the watermark, wherever the clearing came: it is always kept.
        let [second, third] = in_order(&client, late, clearer);
        assert_seen(&seen, 1, &[first, second]);
        assert_seen(&look(&client, [2]), 2, &[second]);
        assert_eq!(look(&client, [1, 3, 4]), [(1, None), (3, Some(third)), (4, None)]);
    });
}

/// Every writer takes the one place from the one before.
#[test]
fn recent_one_get_while_put() {
    every(|| {
        let (client, [first]) = client(CachePolicy::Recent(1));
        let writer = fork(&client, generate::<2>);
        let seen = look(&client, [1, 2, 3]);
        let [second, third] = join(writer);
        assert_seen(&seen, 1, &[first, second, third]);
        assert_eq!(look(&client, [1, 2, 3]), [(1, None), (2, None), (3, Some(third))]);
    });
}

/// Two writers on the one place, in any order, and a reader.
#[test]
fn recent_one_two_writers() {
    bounded(3, || {
        let (client, [first]) = client(CachePolicy::Recent(1));
        let writer = fork(&client, generate::<1>);
        let reader = fork(&client, |client| look(client, [3, 2, 1]));
        let mine = generate::<1>(&client);
        let (seen, others) = (join(reader), join(writer));
        let [second, third] = in_order(&client, mine, others);
        assert_seen(&seen, 1, &[first, second, third]);
        assert_eq!(look(&client, [2, 3]), [(2, None), (3, Some(third))]);
    });
}

/// Three writers on the one place: a writer may be lapped twice in the middle of its write.
#[test]
fn recent_one_three_writers() {
    bounded(2, || {
        let (client, []) = client(CachePolicy::Recent(1));
        let others = [(); 2].map(|()| fork(&client, generate::<1>));
        let mine = generate::<1>(&client);
        let mut seen = look(&client, [2]).to_vec();
        let ids = [&mine[..], &others.map(join).concat()].concat();
        seen.extend(look(&client, [3]));
        let last = seen[1].1.expect("the last one stays");
        assert!(seen.iter().filter_map(|(_, id)| *id).all(|id| ids.contains(&id)));
        // Which of the others is the first and which the second cannot be told, but neither is the last.
        for (idx, id) in &seen {
            assert!(id.is_none_or(|id| (id == last) == (*idx == 3)), "index 3 is {last} and a reader got {seen:?}");
        }
    });
}

/// The writers of 1 and 3 share a place, the one of 2 has the other.
#[test]
fn recent_two_writers_of_one_place() {
    bounded(3, || {
        let (client, [first]) = client(CachePolicy::Recent(2));
        let writer = fork(&client, generate::<1>);
        let reader = fork(&client, |client| look(client, [1, 3, 2]));
        let mine = generate::<1>(&client);
        let (seen, others) = (join(reader), join(writer));
        let [second, third] = in_order(&client, mine, others);
        assert_seen(&seen, 1, &[first, second, third]);
        assert_eq!(look(&client, [1, 2, 3]), [(1, None), (2, Some(second)), (3, Some(third))]);
    });
}

#[test]
fn recent_get_while_put_and_cleared() {
    every(|| {
        let (client, [first, second]) = client(CachePolicy::Recent(2));
        let writer = fork(&client, |client| {
            client.clear_cache();
            generate::<1>(client)
        });
        let seen = look(&client, [1, 3, 2]);
        let [third] = join(writer);
        assert_seen(&seen, 1, &[first, second, third]);
        assert_eq!(look(&client, [1, 2, 3]), [(1, None), (2, None), (3, Some(third))]);
        assert_eq!(client.cache_len(), 1);
    });
}
