//! Body of the fuzz target: any bytes as what a read of `/dev/fuse` returned.

use block::Buf;

use crate::Config;
use crate::negotiate::negotiate;
use crate::request::{Message, Request};

/// Reads `bytes` as one request, and an INIT's offer as far as the answer. Never panics; time and memory are bounded
/// by the number of bytes.
///
/// Whether they are a request.
#[must_use]
pub fn request(bytes: &[u8]) -> bool {
    // Requests lie in buffers as aligned as these.
    let buf = Buf::copy_of(bytes);
    match Request::parse(&buf) {
        Ok(request) => {
            if let Message::Init(offer) = &request.message {
                for config in [true, false].map(|on| Config { posix_acl: on, unchanging: on }) {
                    std::hint::black_box(&negotiate(offer, &config));
                }
            }
            std::hint::black_box(&request);
            true
        }
        Err(bad) => {
            std::hint::black_box((bad.to_string(), bad.unique()));
            false
        }
    }
}
