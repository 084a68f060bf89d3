//! How requests get from the device's users to the task that owns the connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use block::{BlockError, Promise};

use super::request::Request;

/// The way in: any thread pushes, the session's task takes all at once.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    requests: Vec<Request>,
    /// The session's task, when it waits.
    waker: Option<Waker>,
    /// Why no request is taken now; the target may come back.
    refusal: Option<String>,
    /// The device is closed, or nobody holds it any more.
    closing: bool,
    /// The session's task has ended.
    ended: bool,
    /// Who waits for the end.
    closers: Vec<Promise<Result<(), BlockError>>>,
}

/// What the session's task finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// No more requests will come.
    pub(crate) closing: bool,
}

impl Queue {
    /// Hands a request in; gives it back with the reason if it is refused.
    pub(crate) fn push(&self, request: Request) -> Option<(Request, String)> {
        let mut state = self.lock();
        if state.closing {
            return Some((request, "it was closed".into()));
        }
        if let Some(why) = &state.refusal {
            return Some((request, why.clone()));
        }
        state.requests.push(request);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }

    /// Moves all requests to the end of `into`, and has the task woken when more come.
    pub(crate) fn take(&self, cx: &mut Context<'_>, into: &mut Vec<Request>) -> Found {
        let mut state = self.lock();
        into.append(&mut state.requests);
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Found { closing: state.closing }
    }

    /// Refuses requests from now on, and gives those that wait.
    pub(crate) fn refuse(&self, why: String) -> Vec<Request> {
        let mut state = self.lock();
        state.refusal = Some(why);
        std::mem::take(&mut state.requests)
    }

    /// Takes requests again.
    pub(crate) fn accept(&self) {
        self.lock().refusal = None;
    }

    /// Ends the use of the device. The promise, if any, is kept when the session is over.
    pub(crate) fn close(&self, closer: Option<Promise<Result<(), BlockError>>>) {
        let mut state = self.lock();
        state.closing = true;
        if let Some(closer) = closer {
            if state.ended {
                drop(state);
                return closer.keep(Ok(()));
            }
            state.closers.push(closer);
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The session's task has ended: gives what was still handed in, and who waits for the end.
    pub(crate) fn end(&self) -> (Vec<Request>, Vec<Promise<Result<(), BlockError>>>) {
        let mut state = self.lock();
        state.closing = true;
        state.ended = true;
        (std::mem::take(&mut state.requests), std::mem::take(&mut state.closers))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
