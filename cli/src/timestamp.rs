//! `pyflake timestamp`: the time of an ID as a number.

use clap::Args;
use pyflake::Snowflake;

use crate::args::{EpochArg, Unit};
use crate::failure::Failure;
use crate::print;

/// Print the Unix time of an ID
#[derive(Args)]
#[command(after_help = "\
Examples:
  pyflake timestamp 473032512445898752             # 1668081259486
  pyflake timestamp 473032512445898752 --unit s    # 1668081259.486")]
pub(crate) struct Timestamp {
    /// The ID, a decimal number
    #[arg(allow_negative_numbers = true)]
    id: Snowflake,
    #[command(flatten)]
    epoch: EpochArg,
    /// The unit of the time
    #[arg(long, value_enum, default_value_t = Unit::Ms)]
    unit: Unit,
}

impl Timestamp {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let millis = self.id.timestamp(self.epoch.get());
        match self.unit {
            Unit::Ms => print(millis),
            Unit::S => print(format_args!("{}.{:03}", millis / 1000, millis % 1000)),
        }
    }
}
