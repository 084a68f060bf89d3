//! Body of the fuzz target: any bytes as what a read of `/dev/fuse` returned.

use block::Buf;

use crate::negotiate::negotiate;
use crate::receive::parts;
use crate::request::{Dialect, Message, Request};
use crate::{Changes, Config};

/// Reads `bytes` as one request, and an INIT's offer as far as the answer. Never panics; time and memory are bounded
/// by the number of bytes.
///
/// Whether they are a request.
#[must_use]
pub fn request(bytes: &[u8]) -> bool {
    // Requests lie in buffers as aligned as these.
    let (head, data) = parts(bytes);
    let buf = Buf::copy_of(head);
    let mut good = false;
    for setxattr_ext in [false, true] {
        match Request::parse(&buf, data.len(), Dialect { setxattr_ext }) {
            Ok(request) => {
                if let Message::Init(offer) = &request.message {
                    for changes in [Changes::None, Changes::Here, Changes::Anywhere] {
                        std::hint::black_box(&negotiate(offer, &Config { posix_acl: true, changes }));
                    }
                }
                std::hint::black_box(&request);
                good = true;
            }
            Err(bad) => {
                std::hint::black_box((bad.to_string(), bad.unique()));
            }
        }
    }
    good
}
