//! The initiator against tgtd, on a port of its own.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use block::BlockDevice as _;
use initiator::{ConnectError, LunError};

use crate::setup::{check, check_many, open, options, write, write_many};

const NAME: &str = "iqn.2026-11.org.oxsan.test:tgtd";

/// A tgtd with a control port and a data port of its own; killed when dropped.
struct Tgtd {
    child: Child,
    control: u16,
    port: u16,
}

impl Tgtd {
    /// None where there is no tgtd, or it does not start.
    fn start() -> Option<Self> {
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).ok()?;
        let port = free.port();
        let control = port % 20_000 + 1000;
        let child = Command::new("tgtd")
            .args(["-f", "-C", &control.to_string(), "--iscsi", &format!("portal=127.0.0.1:{port}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut tgtd = Self { child, control, port };
        for _ in 0..100 {
            if tgtd.admin(&["--op", "show", "--mode", "sys"]) {
                return Some(tgtd);
            }
            if tgtd.child.try_wait().ok()?.is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    fn admin(&self, args: &[&str]) -> bool {
        Command::new("tgtadm")
            .args(["-C", &self.control.to_string(), "--lld", "iscsi"])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    fn url(&self, lun: u16) -> String {
        format!("iscsi://127.0.0.1:{}/{NAME}/{lun}", self.port)
    }
}

impl Drop for Tgtd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn tgtd_serves_what_was_written_to_it() {
    let Some(tgtd) = Tgtd::start() else {
        let _ = writeln!(std::io::stderr(), "skipped: tgtd is not installed, or may not run here");
        return;
    };
    let file = tempfile::NamedTempFile::new().expect("file");
    file.as_file().set_len(64 << 20).expect("size");
    assert!(tgtd.admin(&["--op", "new", "--mode", "target", "--tid", "1", "-T", NAME]));
    let path = file.path().to_str().expect("path");
    assert!(tgtd.admin(&["--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", path]));
    assert!(tgtd.admin(&["--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL"]));

    let portal = format!("127.0.0.1:{}", tgtd.port).parse().expect("portal");
    let found = initiator::discover(portal, None, None, options()).await.expect("discover");
    assert!(found.iter().any(|found| found.target == NAME), "{found:?}");

    let device = open(&tgtd.url(1)).await.expect("open");
    assert_eq!(device.geometry().size, 64 << 20);
    write(&device, 0, (5 << 20) + 512, 1).await.expect("write");
    check(&device, 0, (5 << 20) + 512, 1).await;
    write_many(&device, 500, 4096, 2).await;
    check_many(&device, 500, 4096, 2).await;
    device.flush().await.expect("flush");
    device.discard(0, 1 << 20).await.expect("discard");
    device.write_zeroes(1 << 20, 3 << 20).await.expect("zeroes");
    device.close().await.expect("close");

    // LUN 0 of tgtd is a controller, and there is no LUN 7.
    assert!(matches!(
        open(&tgtd.url(0)).await,
        Err(ConnectError::Lun(LunError::NotADisk { kind: 0x0c, .. }))
    ));
    let error = open(&tgtd.url(7)).await.expect_err("no such lun");
    assert!(matches!(&error, ConnectError::Lun(LunError::Missing { .. })), "{error:?}");
}
