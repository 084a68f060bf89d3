//! The future of one request: ready at once, promised, or boxed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What a [`BlockDevice`](crate::BlockDevice) call returns.
///
/// A device that has the answer at once (memory, a page cache) returns [`IoFuture::ready`] and allocates nothing;
/// one that gets it elsewhere makes a [`Promise`], one allocation; the others box one future a request. Dropping it
/// before it is done gives up the answer, not the I/O: the device keeps the buffers until the hardware is through
/// with them.
pub struct IoFuture<'a, T>(State<'a, T>);

/// The other end of [`IoFuture::promised`]: whoever holds it owes the answer.
///
/// Dropping it unkept is a bug of the device; the future then panics when it is polled, for the other choice is to
/// wait for ever.
pub struct Promise<T>(Option<Arc<Shared<T>>>);

enum State<'a, T> {
    Ready(Option<T>),
    Promised(Arc<Shared<T>>),
    Boxed(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
}

struct Shared<T>(Mutex<Answer<T>>);

enum Answer<T> {
    Awaited(Option<Waker>),
    Here(T),
    Taken,
    Broken,
}

impl<'a, T> IoFuture<'a, T> {
    /// An answer that is already there.
    pub fn ready(value: T) -> Self {
        Self(State::Ready(Some(value)))
    }

    /// An answer that another thread or task will give through the [`Promise`].
    pub fn promised() -> (Promise<T>, Self) {
        let shared = Arc::new(Shared(Mutex::new(Answer::Awaited(None))));
        (Promise(Some(Arc::clone(&shared))), Self(State::Promised(shared)))
    }

    /// An answer to be waited for.
    pub fn boxed(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(State::Boxed(Box::pin(future)))
    }
}

impl<T> Promise<T> {
    /// Gives the answer and wakes who waits for it. Where nobody does any more, the answer is dropped here.
    pub fn keep(self, value: T) {
        // Out of the lock: a waker may run anything.
        if let Some(waker) = self.keep_quietly(value) {
            waker.wake();
        }
    }

    /// Gives the answer and leaves the waking to the caller, who may have more of them to do.
    pub(crate) fn keep_quietly(mut self, value: T) -> Option<Waker> {
        self.0.take().and_then(|shared| shared.settle(Answer::Here(value)))
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Answer<T>> {
        // No holder leaves the answer half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the answer. Whom to wake for it.
    fn settle(&self, answer: Answer<T>) -> Option<Waker> {
        match std::mem::replace(&mut *self.lock(), answer) {
            Answer::Awaited(waker) => waker,
            _ => None,
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut answer = self.lock();
        match &mut *answer {
            Answer::Awaited(Some(waker)) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            Answer::Awaited(none) => {
                *none = Some(cx.waker().clone());
                Poll::Pending
            }
            Answer::Taken => Poll::Pending,
            Answer::Broken => panic!("a device dropped a request without answering it"),
            Answer::Here(_) => match std::mem::replace(&mut *answer, Answer::Taken) {
                Answer::Here(value) => Poll::Ready(value),
                _ => Poll::Pending,
            },
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take().and_then(|shared| shared.settle(Answer::Broken)) {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Promise")
    }
}

impl<T> fmt::Debug for IoFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Ready(_) => f.write_str("IoFuture::Ready"),
            State::Promised(_) => f.write_str("IoFuture::Promised"),
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
            State::Promised(shared) => shared.poll(cx),
            State::Boxed(future) => future.as_mut().poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<T: Unpin>(future: &mut IoFuture<'_, T>) -> Poll<T> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_kept_promise_is_an_answer_once() {
        let (promise, mut future) = IoFuture::promised();
        assert!(poll(&mut future).is_pending());
        promise.keep(7);
        assert_eq!(poll(&mut future), Poll::Ready(7));
        assert!(poll(&mut future).is_pending());
    }

    #[test]
    fn keeping_wakes_the_last_who_asked() {
        struct Count(std::sync::atomic::AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let counts = [0; 2].map(|n| Arc::new(Count(n.into())));
        let (promise, mut future) = IoFuture::promised();
        for count in &counts {
            let waker = Arc::clone(count).into();
            assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        promise.keep(());
        let woken = counts.each_ref().map(|count| count.0.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_dropped() {
        let (promise, future) = IoFuture::promised();
        let value = Arc::new(());
        drop(future);
        promise.keep(Arc::clone(&value));
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    #[should_panic(expected = "dropped a request without answering")]
    fn a_broken_promise_is_loud() {
        let (promise, mut future) = IoFuture::<()>::promised();
        drop(promise);
        let _ = poll(&mut future);
    }
}
