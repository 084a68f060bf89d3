//! How much must arrive before the socket wakes its reader: SO_RCVLOWAT (socket(7), tcp(7)).
//!
//! A target sends a long data segment in pieces of at most 64 KiB, and a reader that is faster than the wire would
//! sleep and be woken for each of them, which costs both ends more than the bytes do. In the middle of such a segment
//! it is known how much is still to come, so the socket may wait for a good part of it.

use std::os::fd::{AsFd, AsRawFd as _};

/// Segments of which less is still to come are not worth two system calls.
const WORTH_IT: usize = 128 << 10;

/// The most that is waited for: no more, so that the first half of 1 MiB is copied while the second is on its way.
const MOST: usize = 512 << 10;

/// A socket's low-water mark, as it was last set.
#[derive(Debug)]
pub(super) struct LowWater(usize);

impl LowWater {
    /// That of a new socket: any byte wakes the reader.
    pub(super) fn new() -> Self {
        Self(1)
    }

    /// Waits for as much as makes sense where `left` bytes are certain to come.
    pub(super) fn expect(&mut self, socket: &impl AsFd, left: usize) {
        self.set(socket, if left < WORTH_IT { 1 } else { left.min(MOST) });
    }

    /// Lets any byte wake the reader. Where bytes are there already, the kernel wakes it now.
    pub(super) fn reset(&mut self, socket: &impl AsFd) {
        self.set(socket, 1);
    }

    fn set(&mut self, socket: &impl AsFd, bytes: usize) {
        if self.0 != bytes && set(socket, bytes) {
            self.0 = bytes;
        }
    }
}

/// Sets the option; whether the kernel took it.
#[allow(unsafe_code, reason = "no library has a typed wrapper of this option")]
fn set(socket: &impl AsFd, bytes: usize) -> bool {
    let Ok(value) = libc::c_int::try_from(bytes) else { return false };
    let Ok(len) = libc::socklen_t::try_from(size_of_val(&value)) else { return false };
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `value` outlives the call and is `len` bytes long, the kernel only reads it, and `fd` is open while
    // `socket` is borrowed.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, (&raw const value).cast(), len) == 0 }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::time::Timespec;

    use super::*;

    fn readable(socket: &TcpStream, wait: Duration) -> bool {
        let mut fds = [PollFd::new(socket, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::try_from(wait).expect("short"))).expect("poll") == 1
    }

    #[test]
    fn a_socket_waits_for_what_is_expected_and_no_longer_when_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let mut far = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (mut near, _) = listener.accept().expect("accept");
        let mut low_water = LowWater::new();
        low_water.expect(&near, WORTH_IT);
        far.write_all(&vec![7; WORTH_IT - 1]).expect("write");
        assert!(!readable(&near, Duration::from_millis(100)));
        low_water.reset(&near);
        assert!(readable(&near, Duration::from_secs(10)));
        near.read_exact(&mut vec![0; WORTH_IT - 1]).expect("read");

        low_water.expect(&near, WORTH_IT - 1);
        far.write_all(&[7]).expect("write");
        assert!(readable(&near, Duration::from_secs(10)), "little is not waited for");

        low_water.expect(&near, 1 << 20);
        drop(far);
        assert!(readable(&near, Duration::from_secs(10)), "the end wakes in any case");
    }
}
