//! What a unit remembers of each initiator: unit attentions that wait to be told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use scsi::AdditionalSense;

/// Most attentions that wait for one initiator; then only that there was a reset matters.
const MOST: usize = 8;

/// One initiator port, one unit: an I_T_L nexus.
#[derive(Debug, Default)]
pub(crate) struct Nexus {
    /// Whether `attentions` holds any: the way of every command looks at this alone.
    any: AtomicBool,
    attentions: Mutex<VecDeque<AdditionalSense>>,
}

impl Nexus {
    /// A new nexus, which must be told first what made it new.
    pub(crate) fn new(first: AdditionalSense) -> Arc<Self> {
        let nexus = Self::default();
        nexus.raise(first);
        Arc::new(nexus)
    }

    /// Something happened that the initiator must be told. The same news is told once.
    pub(crate) fn raise(&self, news: AdditionalSense) {
        let mut attentions = self.attentions.lock().unwrap_or_else(PoisonError::into_inner);
        if attentions.contains(&news) {
            return;
        }
        if attentions.len() >= MOST {
            attentions.clear();
            attentions.push_back(AdditionalSense::POWER_ON_OR_RESET);
        }
        attentions.push_back(news);
        self.any.store(true, Ordering::Release);
    }

    /// The oldest news, which counts as told.
    pub(crate) fn take(&self) -> Option<AdditionalSense> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut attentions = self.attentions.lock().unwrap_or_else(PoisonError::into_inner);
        let news = attentions.pop_front();
        self.any.store(!attentions.is_empty(), Ordering::Release);
        news
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
