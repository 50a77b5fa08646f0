//! placeholder
use crate::sections::Results;

pub(crate) fn svg(_results: &Results) -> String {
    String::new()
}
