//! IDs that Twitter and Discord issued, and documented.

use pyflake::{DiscordRecord, Epoch, Node, Snowflake, TwitterRecord};

/// A tweet of @Wikipedia's of 28 June 2022, which the article "Snowflake ID" takes apart: 367,597,485,448 ms after the
/// epoch, machine `0b01_0111_1010`, sequence 0.
const TWEET: u64 = 1_541_815_603_606_036_480;
/// The sample of Discord's reference: worker 1, process 0, increment 7.
const DISCORD: u64 = 175_928_847_299_117_063;

#[test]
fn a_tweet_is_taken_apart() {
    let tweet = TwitterRecord::from(Snowflake::from(TWEET));
    assert_eq!(tweet.timestamp, 367_597_485_448 + 1_288_834_974_657);
    assert_eq!(u16::from(tweet.datacenter) << 5 | u16::from(tweet.worker), 0b01_0111_1010);
    assert_eq!((tweet.datacenter, tweet.worker, tweet.sequence), (0b01011, 0b11010, 0));
    assert_eq!(tweet.snowflake.as_u64(), TWEET);
}

#[test]
fn an_id_of_discords_is_taken_apart() {
    let record = DiscordRecord::from(Snowflake::from(DISCORD));
    assert_eq!(record.timestamp, 1_462_015_105_796);
    assert_eq!((record.worker, record.process, record.increment), (1, 0, 7));
    assert_eq!(record.snowflake.as_u64(), DISCORD);
}

#[test]
fn the_fields_are_those_of_this_layout() {
    let node = Node::new(11, 22).unwrap();
    let id = |epoch| Snowflake::from_parts(epoch, 1_600_000_000_000, node, 33).unwrap();
    let tweet = TwitterRecord::from(id(Epoch::TWITTER));
    assert_eq!((tweet.timestamp, tweet.worker, tweet.datacenter, tweet.sequence), (1_600_000_000_000, 11, 22, 33));
    let record = DiscordRecord::from(id(Epoch::DISCORD));
    assert_eq!((record.timestamp, record.process, record.worker, record.increment), (1_600_000_000_000, 11, 22, 33));
}
