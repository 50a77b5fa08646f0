//! Text forms are written without an allocation.

use std::io::{Cursor, Write};

use crate::counting::count_in;
use pyflake::Snowflake;

#[test]
fn nothing_is_allocated() {
    let mut buffer = Cursor::new([0; 64]);
    let (counts, ()) = count_in(|| {
        let id = Snowflake::from(473_032_512_445_898_752);
        write!(buffer, "{} {} {id:x} {id:X}", id.base32(), id.base62()).unwrap();
        assert_eq!(Snowflake::from_base32("0D44CJ1BRRR00"), Ok(id));
        assert_eq!(Snowflake::from_base62("YwUceHMVZg"), Ok(id));
        assert_eq!(Snowflake::from_hex("6908c90578c6000"), Ok(id));
    });
    assert_eq!(counts.allocations, 0);
    assert!(buffer.get_ref().starts_with(b"0D44CJ1BRRR00 YwUceHMVZg 6908c90578c6000 6908C90578C6000"));
}
