//! Four threads on a client's cache: they generate, read what others generate, and clear it.
#![cfg(pyflake_shuttle)]

use std::collections::HashMap;
use std::sync::Arc;

use pyflake::{CachePolicy, PyflakeClient, Snowflake};
use shuttle_tests::{EPOCH, TICK, assert_unique, below, explore, fork, join};

/// The clock is a constant: it costs the model no step.
type Client = PyflakeClient<fn() -> u64>;

/// The IDs that a thread generated, and those that it read, with their indices.
type Seen = (Vec<Snowflake>, Vec<(u64, Snowflake)>);

fn steps(client: &Client) -> Seen {
    let (mut ids, mut read) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        match below(8) {
            0..3 => ids.push(client.generate().expect("an ID")),
            3 => client.clear_cache(),
            _ => {
                let idx = 1 + below(12);
                if let Some(record) = client.cached(idx) {
                    assert_eq!(record.idx, idx);
                    read.push((idx, record.snowflake));
                }
            }
        }
    }
    (ids, read)
}

/// An index has one ID, which was generated once, however often it is read, and by whomever.
fn readers_and_writers(cache: CachePolicy) {
    explore(move || {
        let client = PyflakeClient::builder(EPOCH).clock((|| TICK) as fn() -> u64).cache(cache).build();
        client.create_generator(1, 2).expect("the first");
        let client = Arc::new(client);
        let (ids, mut read): (Vec<_>, Vec<_>) = join([(); 4].map(|()| fork(&client, steps))).into_iter().unzip();
        assert_unique(&ids);
        let ids = ids.concat();
        let generated = client.info().generated;
        assert_eq!(generated, u64::try_from(ids.len()).expect("few"));

        // Read the rest of the cache once more, up to the last index.
        read.push((1..=generated).filter_map(|idx| client.cached(idx).map(|record| (idx, record.snowflake))).collect());
        let (mut by_idx, mut by_id) = (HashMap::new(), HashMap::new());
        for (idx, id) in read.concat() {
            assert!(idx <= generated && ids.contains(&id), "index {idx} has {id}, which nobody generated");
            assert_eq!(*by_idx.entry(idx).or_insert(id), id, "index {idx} has two IDs");
            assert_eq!(*by_id.entry(id).or_insert(idx), idx, "{id} has two indices");
        }
        client.clear_cache();
        assert!((1..=generated).all(|idx| client.cached(idx).is_none()), "it was cleared");
    });
}

#[test]
fn all() {
    readers_and_writers(CachePolicy::All);
}

#[test]
fn recent_one() {
    readers_and_writers(CachePolicy::Recent(1));
}

#[test]
fn recent_three() {
    readers_and_writers(CachePolicy::Recent(3));
}
