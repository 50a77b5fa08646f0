//! The client, in the steps of the Python package's manual:
//! `cargo run --package pyflake-examples --example client`.

use pyflake::{Epoch, Error, PyflakeClient, TimeUnit, generate_seed};

fn main() -> Result<(), Error> {
    // Mon, 15 Apr 2019 04:12:00 UTC
    let client = PyflakeClient::new(Epoch::from_unix_millis(1_555_301_520_000));

    let (pid, seed) = (generate_seed(5)?, generate_seed(5)?);
    client.create_generator(pid, seed)?;

    let id = client.generate()?;
    println!("an ID:         {id}");
    println!("its record:    {:?}", client.cached(1));
    println!("its time:      {} ms", client.to_timestamp(id, TimeUnit::Millis));
    println!("               {} s", client.to_timestamp(id, TimeUnit::Seconds));

    client.renew_generator(generate_seed(5)?, generate_seed(5)?)?;
    client.generate()?;
    println!("after renewal: {:?}", client.info());

    client.destroy_generator();
    println!("destroyed:     {}", client.generate().unwrap_err());
    Ok(())
}
