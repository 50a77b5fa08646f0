//! Four threads that share a client: two generate, one renews the generator from node to node, one destroys and creates.
#![cfg(pyflake_shuttle)]

use std::sync::Arc;

use pyflake::{CachePolicy, Error, PyflakeClient, Snowflake};
use shuttle_tests::{EPOCH, TICK, below, explore, fork, join};

type Client = PyflakeClient<fn() -> u64>;

fn generate(client: &Client) -> Vec<Snowflake> {
    let mut ids = Vec::new();
    for _ in 0..5 {
        match client.generate() {
            Ok(id) => ids.push(id),
            Err(error) => assert_eq!(error, Error::NoGenerator),
        }
    }
    ids
}

#[test]
fn renewals_destructions_and_creations() {
    explore(|| {
        let cache = CachePolicy::Recent(64);
        let client = Arc::new(PyflakeClient::builder(EPOCH).clock((|| TICK) as fn() -> u64).cache(cache).build());
        client.create_generator(1, 1).expect("the first");
        let threads = [(); 2].map(|()| fork(&client, generate));
        let renewer = fork(&client, |client| {
            for _ in 0..4 {
                client.renew_generator(1 + below(2), 1).expect("either node is free");
            }
        });
        let destroyer = fork(&client, |client| {
            for _ in 0..3 {
                let destroyed = client.destroy_generator();
                match client.create_generator(1 + below(3), 1) {
                    Ok(()) | Err(Error::GeneratorExists { .. }) => {}
                    error => panic!("{error:?} after {destroyed}"),
                }
            }
        });
        let mut ids = join(threads).concat();
        join([renewer, destroyer]);
        assert!(client.info().generator, "the last of both leaves one");
        ids.extend(generate(&client));

        // Each ID once, and each under one index.
        let generated = client.info().generated;
        let mut numbered: Vec<_> = (1..=generated).filter_map(|idx| client.cached(idx)).map(|r| r.snowflake).collect();
        numbered.sort();
        ids.sort();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "an ID was issued twice: {ids:?}");
        assert_eq!(numbered, ids);
    });
}
