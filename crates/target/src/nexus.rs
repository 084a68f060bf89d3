//! What a unit remembers of each initiator: unit attentions that wait to be told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use scsi::AdditionalSense;

use crate::unit::Mode;

/// Most attentions that wait for one initiator; then only that there was a reset matters.
const MOST: usize = 8;

/// One initiator port, one unit: an I_T_L nexus.
#[derive(Debug, Default)]
pub(crate) struct Nexus {
    /// Whether `attentions` holds any: the way of every command looks at this alone.
    any: AtomicBool,
    news: Mutex<News>,
}

#[derive(Debug, Default)]
struct News {
    attentions: VecDeque<AdditionalSense>,
    /// The mode parameters that the initiator knows of, while it waits to be told that they changed.
    known_mode: Option<Mode>,
}

impl Nexus {
    /// A new nexus, which must be told first what made it new.
    pub(crate) fn new(first: AdditionalSense) -> Arc<Self> {
        let nexus = Self::default();
        nexus.raise(first);
        Arc::new(nexus)
    }

    /// Something happened that the initiator must be told. The same news is told once.
    pub(crate) fn raise(&self, attention: AdditionalSense) {
        self.add(&mut self.lock(), attention);
    }

    /// Another initiator changed the mode parameters. When they are again as this one knows them before it was told,
    /// there is nothing to tell.
    pub(crate) fn mode_changed(&self, before: Mode, now: Mode) {
        let mut news = self.lock();
        if *news.known_mode.get_or_insert(before) == now {
            news.known_mode = None;
            news.attentions.retain(|attention| *attention != AdditionalSense::MODE_PARAMETERS_CHANGED);
            self.any.store(!news.attentions.is_empty(), Ordering::Release);
        } else {
            self.add(&mut news, AdditionalSense::MODE_PARAMETERS_CHANGED);
        }
    }

    fn add(&self, news: &mut News, attention: AdditionalSense) {
        if news.attentions.contains(&attention) {
            return;
        }
        if news.attentions.len() >= MOST {
            news.attentions.clear();
            news.attentions.push_back(AdditionalSense::POWER_ON_OR_RESET);
        }
        news.attentions.push_back(attention);
        self.any.store(true, Ordering::Release);
    }

    /// The oldest news, which counts as told.
    pub(crate) fn take(&self) -> Option<AdditionalSense> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut news = self.lock();
        let attention = news.attentions.pop_front();
        self.any.store(!news.attentions.is_empty(), Ordering::Release);
        if attention == Some(AdditionalSense::MODE_PARAMETERS_CHANGED) {
            news.known_mode = None;
        }
        attention
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        // Every holder leaves the queue whole.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Nexus};
    use scsi::AdditionalSense;

    #[test]
    fn news_is_told_once_and_in_order() {
        let nexus = Nexus::new(AdditionalSense::POWER_ON_OR_RESET);
        nexus.raise(AdditionalSense::MODE_PARAMETERS_CHANGED);
        nexus.raise(AdditionalSense::MODE_PARAMETERS_CHANGED);
        assert_eq!(nexus.take(), Some(AdditionalSense::POWER_ON_OR_RESET));
        assert_eq!(nexus.take(), Some(AdditionalSense::MODE_PARAMETERS_CHANGED));
        assert_eq!(nexus.take(), None);
    }

    #[test]
    fn the_queue_is_bounded() {
        let nexus = Nexus::default();
        for ascq in 0..200 {
            nexus.raise(AdditionalSense { asc: 0x2a, ascq });
        }
        let told = std::iter::from_fn(|| nexus.take()).count();
        assert!(told <= MOST, "{told}");
    }
}
