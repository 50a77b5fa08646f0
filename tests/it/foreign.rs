//! IDs that Twitter and Discord issued, and documented.

use pyflake::{Epoch, Snowflake};

/// A tweet of @Wikipedia's of 28 June 2022, which the article "Snowflake ID" takes apart: 367,597,485,448 ms after the
/// epoch, machine `0b01_0111_1010`, sequence 0.
const TWEET: Snowflake = Snowflake::from_u64(1_541_815_603_606_036_480);
/// The sample of Discord's reference: worker 1, process 0, increment 7.
const DISCORD: Snowflake = Snowflake::from_u64(175_928_847_299_117_063);

#[test]
fn a_tweet_is_taken_apart() {
    assert_eq!(TWEET.timestamp(Epoch::TWITTER), 367_597_485_448 + 1_288_834_974_657);
    assert_eq!((TWEET.seed(), TWEET.pid(), TWEET.sequence()), (0b01011, 0b11010, 0));
}

#[test]
fn an_id_of_discords_is_taken_apart() {
    assert_eq!(DISCORD.timestamp(Epoch::DISCORD), 1_462_015_105_796);
    assert_eq!((DISCORD.seed(), DISCORD.pid(), DISCORD.sequence()), (1, 0, 7));
}
