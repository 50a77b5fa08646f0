//! A transaction pooler in front of a server.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::fleet::{eventually, unique};
use crate::server::{Server, as_user, free_port, url};
use crate::skip::needed;

/// A running `PgBouncer`, gone with its test.
pub(crate) struct Pooler {
    process: Child,
    ini: PathBuf,
    port: u16,
}

impl Pooler {
    /// Starts one with these lines in its configuration; `None` to skip the test.
    pub(crate) fn start(server: &Server, settings: &str) -> Option<Self> {
        const PROGRAM: &str = "/usr/sbin/pgbouncer";
        let found = Path::new(PROGRAM).exists().then_some(());
        needed(found, "PYFLAKE_REQUIRE_POSTGRES", "pgbouncer: install Debian's package pgbouncer")?;
        let (port, to, ini) = (free_port(), server.port(), std::env::temp_dir().join(unique("pgbouncer")));
        let users = ini.with_extension("users");
        std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\npostgres = host=127.0.0.1 port={to}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\n\
             {settings}",
            users.display()
        );
        std::fs::write(&ini, text).unwrap();
        let mut command = as_user(PROGRAM.as_ref());
        let process = command.arg("-q").arg(&ini).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Pooler { process, ini, port };
        eventually("the pooler listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(pooler)
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // Its child runs the pooler where it was started as another user; it passes the signal on.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        let _ = (std::fs::remove_file(&self.ini), std::fs::remove_file(self.ini.with_extension("users")));
    }
}
