//! Carrying out what the engine asks for.

use std::future::Future;
use std::sync::Arc;

use block::{BlockDevice, Buf, Bufs, Durability};
use futures_util::future::{Either, FutureExt, OptionFuture, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use jbd2::{IoId, Output, Place};
use ocfs2_format::BlockNum;

use super::Journal;
use crate::Error;

impl Journal {
    /// Does the journal's I/O until the volume is closed and all is done, and `beside` until it is closed.
    pub(in crate::rw) async fn drive(&self, beside: impl Future<Output = ()>) {
        let mut news = self.news.subscribe();
        let both = async {
            // The sender lives as long as `self`.
            let ended = news.wait_for(|news| news.ended).map(drop);
            let (ended, beside) = (std::pin::pin!(ended), std::pin::pin!(beside));
            if let Either::Right(((), ended)) = select(ended, beside).await {
                ended.await;
            }
        };
        self.drive_while(both).await;
    }

    /// Does the journal's I/O while `work` is on its way, and then until all that is begun is done.
    pub(in crate::rw) async fn drive_while<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut done = None;
        let mut going = FuturesUnordered::new();
        loop {
            for output in self.drain() {
                going.extend(self.carry_out(output));
            }
            if let Some(done) = done.take_if(|_| going.is_empty()) {
                return done;
            }
            let deadline = self.state().engine.next_deadline();
            let wait = deadline.map(|deadline| deadline.saturating_sub(self.clock.monotonic()));
            let timer = OptionFuture::from(wait.map(|wait| self.clock.sleep(wait)));
            tokio::select! {
                biased;
                Some((id, result)) = going.next() => self.answer(id, result),
                out = &mut work, if done.is_none() => done = Some(out),
                () = self.work.notified() => {}
                Some(()) = timer => {
                    let (now, wall) = self.time();
                    self.state().engine.tick(now, wall);
                }
            }
        }
    }

    /// Everything that the engine wants or tells now.
    fn drain(&self) -> Vec<Output> {
        let mut state = self.state();
        std::iter::from_fn(|| state.engine.poll_output()).collect()
    }

    /// Begins what is to be done, and passes on what is told.
    fn carry_out(&self, output: Output) -> Option<impl Future<Output = (IoId, Result<(), Error>)> + '_> {
        match output {
            Output::Write { id, place, blocks, durable } => {
                Some(Either::Left(async move { (id, self.write(place, blocks, durable).await) }))
            }
            Output::Flush { id } => {
                Some(Either::Right(async move { (id, self.volume.flush_device().await) }))
            }
            Output::Committed(tid) => {
                self.news.send_modify(|news| news.durable = tid);
                None
            }
            Output::Home(images) => {
                let pending = self.volume.meta().disk().pending();
                for (block, image) in images {
                    pending.home(block, &image);
                }
                None
            }
            Output::Tail { passed, .. } => {
                self.state().changed.retain(|_, last| *last > passed);
                self.news.send_modify(|news| news.passed = passed);
                None
            }
            Output::Space => {
                self.news.send_modify(|news| news.room += 1);
                None
            }
            // Told with its cause by `answer`.
            Output::Aborted => None,
        }
    }

    /// Takes what has become of a write or flush.
    fn answer(&self, id: IoId, result: Result<(), Error>) {
        match result {
            Ok(()) => self.state().engine.done(id, true),
            Err(error) => self.give_up(error, |engine| engine.done(id, false)),
        }
    }

    /// The device could not be flushed for somebody else: what was written before may be gone, of the journal as well,
    /// and no later flush brings it back.
    pub(in crate::rw) fn flush_failed(&self, error: Error) {
        self.give_up(error, jbd2::Journal::flush_failed);
        self.work.notify_one();
    }

    /// Nothing is changed any more, because of `error`, which the engine is told.
    fn give_up(&self, error: Error, tell: impl FnOnce(&mut jbd2::Journal)) {
        tracing::error!(device = self.volume.device().name(), %error, "the journal is aborted, and the volume read-only");
        let why = Arc::new(error);
        let mut state = self.state();
        state.refusal.get_or_insert_with(|| Arc::clone(&why));
        tell(&mut state.engine);
        drop(state);
        self.news.send_modify(|news| {
            news.aborted.get_or_insert(why);
        });
    }

    /// Writes blocks that lie side by side in the journal's file, or on the volume.
    async fn write(&self, place: Place, blocks: Vec<Arc<[u8]>>, durable: bool) -> Result<(), Error> {
        let durability = if durable { Durability::Stable } else { Durability::Cached };
        let (what, first) = match place {
            Place::Log(_) => ("the journal", None),
            Place::Home(block) => ("metadata", Some(block)),
        };
        let mut at = 0;
        while at < blocks.len() {
            let start = self.block_at(place, at)?;
            // The file's blocks need not lie side by side on the volume.
            let mut len = blocks.len() - at;
            if first.is_none() {
                len = (1..len)
                    .find(|n| self.block_at(place, at + n).ok() != Some(BlockNum(start.0 + *n as u64)))
                    .unwrap_or(len);
            }
            let bufs: Bufs = blocks[at..at + len].iter().map(|block| Buf::copy_of(block)).collect();
            let (_, written) = self.volume.device().write(self.volume.byte_of(start), bufs, durability).await;
            written.map_err(|source| Error::Write { what, block: start, source: Arc::new(source) })?;
            at += len;
        }
        Ok(())
    }

    /// Where the `n`th block from `place` on lies.
    fn block_at(&self, place: Place, n: usize) -> Result<BlockNum, Error> {
        match place {
            Place::Log(first) => self.map.place(first.saturating_add(u32::try_from(n).unwrap_or(u32::MAX))),
            Place::Home(first) => Ok(BlockNum(first.saturating_add(n as u64))),
        }
    }
}
