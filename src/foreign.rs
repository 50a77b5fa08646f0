use crate::epoch::Epoch;
use crate::snowflake::Snowflake;

/// An ID of Twitter, now X, with its parts spelled out and named as there.
///
/// The [layout](https://github.com/twitter-archive/snowflake) is the one of this crate, with the datacenter where the
/// seed is and the worker where the pid is, and the epoch is [`Epoch::TWITTER`]. Tweets from before that epoch were
/// counted from 1, up to some 30 billion: taken apart, such a number claims to be of the first eight seconds after it.
///
/// ```
/// use pyflake::{Snowflake, TwitterRecord};
///
/// // A tweet of 28 June 2022, 16:07:40.105 UTC.
/// let id: Snowflake = "1541815603606036480".parse()?;
/// let tweet = TwitterRecord::from(id);
/// assert_eq!(tweet.timestamp, 1_656_432_460_105);
/// assert_eq!((tweet.datacenter, tweet.worker, tweet.sequence), (11, 26, 0));
/// # Ok::<(), pyflake::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TwitterRecord {
    /// The Unix time of the ID in milliseconds.
    pub timestamp: u64,
    /// The datacenter, 0 to 31.
    pub datacenter: u8,
    /// The worker within the datacenter, 0 to 31.
    pub worker: u8,
    /// The number of the ID within its worker's millisecond, 0 to 4095.
    pub sequence: u16,
    /// The ID itself.
    pub snowflake: Snowflake,
}

/// An ID of Discord with its parts spelled out and named as there.
///
/// The [layout](https://discord.com/developers/docs/reference#snowflakes) is the one of this crate, with the internal
/// worker where the seed is and the internal process where the pid is, and the epoch is [`Epoch::DISCORD`].
///
/// ```
/// use pyflake::{DiscordRecord, Snowflake};
///
/// // The sample of Discord's reference, of 30 April 2016, 11:18:25.796 UTC.
/// let id: Snowflake = "175928847299117063".parse()?;
/// let record = DiscordRecord::from(id);
/// assert_eq!(record.timestamp, 1_462_015_105_796);
/// assert_eq!((record.worker, record.process, record.increment), (1, 0, 7));
/// # Ok::<(), pyflake::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DiscordRecord {
    /// The Unix time of the ID in milliseconds.
    pub timestamp: u64,
    /// The internal worker, 0 to 31.
    pub worker: u8,
    /// The internal process, 0 to 31.
    pub process: u8,
    /// The number of the ID on its process, modulo 4096.
    pub increment: u16,
    /// The ID itself.
    pub snowflake: Snowflake,
}

impl From<Snowflake> for TwitterRecord {
    fn from(id: Snowflake) -> Self {
        TwitterRecord {
            timestamp: id.timestamp(Epoch::TWITTER),
            datacenter: id.seed(),
            worker: id.pid(),
            sequence: id.sequence(),
            snowflake: id,
        }
    }
}

impl From<Snowflake> for DiscordRecord {
    fn from(id: Snowflake) -> Self {
        DiscordRecord {
            timestamp: id.timestamp(Epoch::DISCORD),
            worker: id.seed(),
            process: id.pid(),
            increment: id.sequence(),
            snowflake: id,
        }
    }
}
