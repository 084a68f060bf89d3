//! The future of one request: ready at once, or boxed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a [`BlockDevice`](crate::BlockDevice) call returns.
///
/// A device that has the answer at once (memory, a page cache) returns [`IoFuture::ready`] and allocates nothing;
/// the others box one future a request. Dropping it before it is done gives up the answer, not the I/O: the device
/// keeps the buffers until the hardware is through with them.
pub struct IoFuture<'a, T>(State<'a, T>);

enum State<'a, T> {
    Ready(Option<T>),
    Boxed(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
}

impl<'a, T> IoFuture<'a, T> {
    /// An answer that is already there.
    pub fn ready(value: T) -> Self {
        Self(State::Ready(Some(value)))
    }

    /// An answer to be waited for.
    pub fn boxed(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(State::Boxed(Box::pin(future)))
    }
}

impl<T> fmt::Debug for IoFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Ready(_) => f.write_str("IoFuture::Ready"),
            State::Boxed(_) => f.write_str("IoFuture::Boxed"),
        }
    }
}

impl<T: Unpin> Future for IoFuture<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            // A future polled after its end stays pending, as the contract of Future allows.
            State::Ready(value) => value.take().map_or(Poll::Pending, Poll::Ready),
            State::Boxed(future) => future.as_mut().poll(cx),
        }
    }
}
