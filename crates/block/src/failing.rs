//! A disk that fails by plan.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ext::as_u64;
use crate::job::Job;
use crate::{
    BlockDevice, BlockError, Buf, Bufs, Completion, Durability, Geometry, IoFuture, Op, Promise, total_len,
};

/// A disk that hands every request to another one, but for those that a [`Rule`] picks.
///
/// It owns no clock: a request that is held stays so until the test [releases](Self::release) it, in any order.
/// Requests are numbered from 0 in the order of the calls, so a plan means the same in every run of a
/// deterministic test.
pub struct FailingDevice<D> {
    inner: D,
    state: Mutex<State>,
}

/// Which requests fail, and how. Made with [`Rule::new`], narrowed by the other calls.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    op: Option<Op>,
    range: Option<Range<u64>>,
    skip: u64,
    times: u64,
    chance: Option<(u64, u32)>,
}

/// What happens to a request that a [`Rule`] picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// [`BlockError::Io`] of this kind, with nothing done.
    Error(io::ErrorKind),
    /// [`BlockError::Unreachable`], with nothing done.
    Unreachable,
    /// Of a write, the first so many bytes land, and then it fails with [`BlockError::Io`]. Any other request
    /// fails with nothing done.
    Torn(u64),
    /// It is done, all of it, and then reported as [`BlockError::Unreachable`]: the answer was lost.
    LostAnswer,
    /// It reaches the disk only when it is released, even where nobody waits for it any more: a request stuck on
    /// its way.
    HoldRequest,
    /// It is done now, and its answer comes when it is released.
    HoldAnswer,
    /// Reported as done with nothing done: a disk that lies. A read is not picked.
    Swallow,
    /// Nothing is done and no answer ever comes.
    Never,
}

/// A request that a rule picked, such as one that waits to be released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its number.
    pub number: u64,
    /// What it does.
    pub op: Op,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    seen: u64,
    first_picked: Option<Held>,
    held: BTreeMap<u64, (Held, Waiting)>,
    /// Requests that are never answered. Their promises stay here, unkept and unbroken.
    never: Vec<Job>,
}

enum Waiting {
    Request(Job),
    Answer(Promise<()>),
}

impl Rule {
    /// Picks every request.
    pub fn new(fault: Fault) -> Self {
        Self { fault, op: None, range: None, skip: 0, times: u64::MAX, chance: None }
    }

    /// Only this kind of request.
    #[must_use]
    pub fn on(mut self, op: Op) -> Self {
        self.op = Some(op);
        self
    }

    /// Only requests that touch this range of bytes. A flush touches none.
    #[must_use]
    pub fn within(mut self, range: Range<u64>) -> Self {
        self.range = Some(range);
        self
    }

    /// Lets the first `count` of those that match pass.
    #[must_use]
    pub fn after(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Picks at most `count` requests.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = count;
        self
    }

    /// Picks one in so many: `per_million` of a million of those that match, decided by `seed` and the number of
    /// the request alone.
    #[must_use]
    pub fn chance(mut self, seed: u64, per_million: u32) -> Self {
        self.chance = Some((seed, per_million));
        self
    }

    /// Whether it picks this request. Counts.
    fn picks(&mut self, what: &Held) -> bool {
        let range = what.offset..what.offset.saturating_add(what.len);
        let matches = self.op.is_none_or(|op| op == what.op)
            && self.range.as_ref().is_none_or(|r| r.start < range.end && range.start < r.end)
            && !(self.fault == Fault::Swallow && what.op == Op::Read);
        if !matches || self.times == 0 {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        let lucky = |(seed, per_million): (u64, u32)| {
            scramble(seed ^ scramble(what.number)) % 1_000_000 < u64::from(per_million)
        };
        if !self.chance.is_none_or(lucky) {
            return false;
        }
        self.times -= 1;
        true
    }
}

impl<D: BlockDevice> FailingDevice<D> {
    /// Puts a device in front of `inner`. Until there is a rule, nothing fails.
    pub fn new(inner: D) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Adds a rule. The first rule that picks a request decides about it.
    pub fn add(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    /// Removes all rules. What is held stays so.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// Requests seen so far: the number of the next one.
    pub fn seen(&self) -> u64 {
        self.lock().seen
    }

    /// The first request that a rule picked, of all so far.
    pub fn first_picked(&self) -> Option<Held> {
        self.lock().first_picked
    }

    /// What is held, in the order of the calls.
    pub fn held(&self) -> Vec<Held> {
        self.lock().held.values().map(|(held, _)| *held).collect()
    }

    /// Lets a held request go on. Returns when it is done; whether there was one of that number.
    pub async fn release(&self, number: u64) -> bool {
        let Some((_, waiting)) = self.lock().held.remove(&number) else { return false };
        match waiting {
            Waiting::Request(job) => job.forward(&self.inner).await.tell(),
            Waiting::Answer(promise) => promise.keep(()),
        }
        true
    }

    /// Releases everything that is held now, in the order of the calls.
    pub async fn release_all(&self) {
        for held in self.held() {
            self.release(held.number).await;
        }
    }

    /// The disk behind this one.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, and finds what is to happen to it.
    fn judge(&self, op: Op, offset: u64, len: u64) -> (Held, Option<Fault>) {
        let mut state = self.lock();
        let held = Held { number: state.seen, op, offset, len };
        state.seen += 1;
        let picked = state.rules.iter_mut().find_map(|rule| rule.picks(&held).then_some(rule.fault));
        if picked.is_some() {
            state.first_picked.get_or_insert(held);
        }
        (held, picked)
    }

    fn hold(&self, held: Held, waiting: Waiting) {
        self.lock().held.insert(held.number, (held, waiting));
    }

    fn error(&self, held: Held, fault: Fault) -> BlockError {
        let device = self.inner.name().to_owned();
        let io = |source: io::Error| BlockError::Io {
            device: device.clone(),
            op: held.op,
            offset: held.offset,
            len: held.len,
            source,
        };
        match fault {
            Fault::Error(kind) => io(kind.into()),
            Fault::Torn(bytes) => io(io::Error::other(format!("torn after {bytes} bytes by plan"))),
            _ => BlockError::Unreachable { device, why: "by plan".into() },
        }
    }

    /// Everything but transfers, which have buffers to give back.
    fn change<'a>(
        &'a self,
        held: Held,
        fault: Fault,
        job: impl FnOnce(Promise<Result<(), BlockError>>) -> Job,
        go: impl FnOnce() -> IoFuture<'a, Result<(), BlockError>>,
    ) -> IoFuture<'a, Result<(), BlockError>> {
        match fault {
            Fault::Error(_) | Fault::Unreachable | Fault::Torn(_) => {
                IoFuture::ready(Err(self.error(held, fault)))
            }
            Fault::Swallow => IoFuture::ready(Ok(())),
            Fault::LostAnswer => {
                let going = go();
                IoFuture::boxed(async move { going.await.and(Err(self.error(held, fault))) })
            }
            Fault::HoldAnswer => self.hold_answer(held, go()),
            Fault::HoldRequest | Fault::Never => {
                let (promise, future) = IoFuture::promised();
                self.park(held, fault, job(promise));
                future
            }
        }
    }

    fn hold_answer<'a, T: Send + Unpin + 'a>(
        &'a self,
        held: Held,
        going: IoFuture<'a, T>,
    ) -> IoFuture<'a, T> {
        let (promise, gate) = IoFuture::promised();
        self.hold(held, Waiting::Answer(promise));
        IoFuture::boxed(async move {
            let answer = going.await;
            gate.await;
            answer
        })
    }

    fn park(&self, held: Held, fault: Fault, job: Job) {
        if fault == Fault::Never {
            self.lock().never.push(job);
        } else {
            self.hold(held, Waiting::Request(job));
        }
    }

    /// Writes the first `bytes` of a request. A block that is cut in two keeps its old end.
    async fn tear(&self, offset: u64, bufs: &Bufs, bytes: u64) -> Result<(), BlockError> {
        let grain = u64::from(self.inner.geometry().logical_block);
        let mut data: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let bytes = bytes.min(as_u64(data.len()));
        let whole = bytes.next_multiple_of(grain).min(as_u64(data.len()));
        let keep = usize::try_from(bytes).expect("at most what is in memory");
        data.truncate(usize::try_from(whole).expect("at most what is in memory"));
        if bytes < whole {
            let last = data.len() - usize::try_from(grain).expect("a block fits in memory");
            let old = Buf::for_read(data.len() - last).into_bufs();
            let (old, result) = self.inner.read(offset + as_u64(last), old).await;
            result?;
            data[keep..].copy_from_slice(&old[0][keep - last..]);
        }
        self.inner.write(offset, Buf::copy_of(&data).into_bufs(), Durability::Cached).await.1
    }
}

impl<D: BlockDevice> BlockDevice for FailingDevice<D> {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn read(&self, offset: u64, bufs: Bufs) -> IoFuture<'_, Completion> {
        let (held, fault) = self.judge(Op::Read, offset, as_u64(total_len(&bufs)));
        let Some(fault) = fault else { return self.inner.read(offset, bufs) };
        match fault {
            Fault::HoldAnswer => self.hold_answer(held, self.inner.read(offset, bufs)),
            Fault::HoldRequest | Fault::Never => {
                let (promise, future) = IoFuture::promised();
                self.park(held, fault, Job::Read { offset, bufs, promise });
                future
            }
            // A read whose answer is lost has done nothing that counts.
            _ => IoFuture::ready((bufs, Err(self.error(held, fault)))),
        }
    }

    fn write(&self, offset: u64, bufs: Bufs, durability: Durability) -> IoFuture<'_, Completion> {
        let (held, fault) = self.judge(Op::Write, offset, as_u64(total_len(&bufs)));
        let Some(fault) = fault else { return self.inner.write(offset, bufs, durability) };
        if let Err(e) = self.geometry().check_write(self.name(), offset, &bufs) {
            return IoFuture::ready((bufs, Err(e)));
        }
        match fault {
            Fault::Error(_) | Fault::Unreachable => IoFuture::ready((bufs, Err(self.error(held, fault)))),
            Fault::Swallow => IoFuture::ready((bufs, Ok(()))),
            Fault::Torn(bytes) => IoFuture::boxed(async move {
                let result = self.tear(offset, &bufs, bytes).await;
                (bufs, result.and(Err(self.error(held, fault))))
            }),
            Fault::LostAnswer => {
                let going = self.inner.write(offset, bufs, durability);
                IoFuture::boxed(async move {
                    let (bufs, result) = going.await;
                    (bufs, result.and(Err(self.error(held, fault))))
                })
            }
            Fault::HoldAnswer => self.hold_answer(held, self.inner.write(offset, bufs, durability)),
            Fault::HoldRequest | Fault::Never => {
                let (promise, future) = IoFuture::promised();
                self.park(held, fault, Job::Write { offset, bufs, durability, promise });
                future
            }
        }
    }

    fn flush(&self) -> IoFuture<'_, Result<(), BlockError>> {
        match self.judge(Op::Flush, 0, 0) {
            (_, None) => self.inner.flush(),
            (held, Some(fault)) => {
                self.change(held, fault, |promise| Job::Flush { promise }, || self.inner.flush())
            }
        }
    }

    fn discard(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        match self.judge(Op::Discard, offset, len) {
            (_, None) => self.inner.discard(offset, len),
            (held, Some(fault)) => self.change(
                held,
                fault,
                |promise| Job::Discard { offset, len, promise },
                || self.inner.discard(offset, len),
            ),
        }
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        match self.judge(Op::WriteZeroes, offset, len) {
            (_, None) => self.inner.write_zeroes(offset, len),
            (held, Some(fault)) => self.change(
                held,
                fault,
                |promise| Job::WriteZeroes { offset, len, promise },
                || self.inner.write_zeroes(offset, len),
            ),
        }
    }
}

impl<D: BlockDevice> fmt::Debug for FailingDevice<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailingDevice").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// A number that looks nothing like the one before: the step of splitmix64.
pub(crate) fn scramble(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
