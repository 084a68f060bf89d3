//! What the end of a command means: done, to be done again, or failed.

use std::time::Duration;

use iscsi::pdu::RejectReason;
use iscsi::{Outcome, Residual, Verdict};
use scsi::{AdditionalSense, Sense, SenseKey, Status};

use crate::ScsiFailure;

/// How long to wait before a unit that is busy is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// What to do about a command that ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is done.
    Done,
    /// It was not done, or not known to be, and is to be sent again.
    Again {
        /// After so long; at once when zero.
        pause: Duration,
        /// What was wrong, for when it does not end.
        failure: ScsiFailure,
    },
    /// It failed.
    Failed(ScsiFailure),
}

/// Judges an outcome. `exact`: all of the data must have moved; otherwise the length asked for is room that need
/// not be filled.
pub(crate) fn judge(outcome: &Outcome, exact: bool) -> Judgement {
    match outcome.verdict {
        Verdict::Completed => judge_status(outcome, exact),
        Verdict::TargetFailure(code) => {
            Judgement::Again { pause: BUSY_PAUSE, failure: ScsiFailure::Target(code) }
        }
        Verdict::Rejected(reason) => {
            let failure = ScsiFailure::Rejected(format!("{reason:?}"));
            match reason {
                RejectReason::TooManyImmediate
                | RejectReason::LongOperation
                | RejectReason::WaitingForLogout => Judgement::Again { pause: BUSY_PAUSE, failure },
                _ => Judgement::Failed(failure),
            }
        }
        Verdict::Aborted => again(ScsiFailure::Aborted),
    }
}

fn judge_status(outcome: &Outcome, exact: bool) -> Judgement {
    match Status::parse(outcome.status) {
        Status::Good | Status::ConditionMet => match outcome.residual {
            Residual::Underflow(missing) if exact && missing > 0 => {
                Judgement::Failed(ScsiFailure::Short { missing })
            }
            _ => Judgement::Done,
        },
        Status::CheckCondition => match Sense::parse(&outcome.sense) {
            Ok(sense) => judge_sense(sense, outcome, exact),
            Err(_) => Judgement::Failed(ScsiFailure::NoSense),
        },
        status @ (Status::Busy | Status::TaskSetFull) => {
            Judgement::Again { pause: BUSY_PAUSE, failure: ScsiFailure::Status(status) }
        }
        status @ Status::TaskAborted => again(ScsiFailure::Status(status)),
        status => Judgement::Failed(ScsiFailure::Status(status)),
    }
}

fn judge_sense(sense: Sense, outcome: &Outcome, exact: bool) -> Judgement {
    let failure = ScsiFailure::Check(sense);
    if sense.deferred {
        // An earlier command failed after it was answered: this one bears the news, for somebody must.
        return Judgement::Failed(failure);
    }
    match sense.key {
        SenseKey::NoSense | SenseKey::RecoveredError | SenseKey::Completed => match outcome.residual {
            Residual::Underflow(missing) if exact && missing > 0 => {
                Judgement::Failed(ScsiFailure::Short { missing })
            }
            _ => Judgement::Done,
        },
        SenseKey::UnitAttention => {
            note_attention(sense.code);
            again(failure)
        }
        SenseKey::AbortedCommand => again(failure),
        SenseKey::NotReady if is_passing(sense.code) => {
            Judgement::Again { pause: BUSY_PAUSE.saturating_mul(5), failure }
        }
        SenseKey::MediumError | SenseKey::HardwareError => match sense.information {
            Some(block) => Judgement::Failed(ScsiFailure::Block { sense, block }),
            None => Judgement::Failed(failure),
        },
        _ => Judgement::Failed(failure),
    }
}

fn again(failure: ScsiFailure) -> Judgement {
    Judgement::Again { pause: Duration::ZERO, failure }
}

/// NOT READY that ends by itself: becoming ready, formatting and such, or changing its access state.
fn is_passing(code: AdditionalSense) -> bool {
    code == AdditionalSense::BECOMING_READY || code == AdditionalSense { asc: 0x04, ascq: 0x0a }
}

/// Says what an operator may want to know; the command itself is just sent again.
fn note_attention(code: AdditionalSense) {
    match code {
        AdditionalSense::POWER_ON
        | AdditionalSense::POWER_ON_OR_RESET
        | AdditionalSense::BUS_DEVICE_RESET => {
            tracing::debug!("the unit was reset: {code}");
        }
        AdditionalSense::CAPACITY_DATA_CHANGED => {
            tracing::warn!("the unit's size has changed; open the volume again to see it");
        }
        AdditionalSense::RESERVATIONS_PREEMPTED | AdditionalSense::REGISTRATIONS_PREEMPTED => {
            tracing::warn!("another host preempted this one's reservation: {code}");
        }
        _ => tracing::debug!("unit attention: {code}"),
    }
}

/// Whether the unit does not know the command, or not in this form.
pub(crate) fn is_unsupported(failure: &ScsiFailure) -> bool {
    matches!(
        failure,
        ScsiFailure::Check(Sense {
            key: SenseKey::IllegalRequest,
            code: AdditionalSense::INVALID_OPERATION_CODE | AdditionalSense::INVALID_FIELD_IN_CDB,
            ..
        })
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use scsi::SenseFormat;

    fn outcome(status: Status, sense: Option<Sense>) -> Outcome {
        Outcome {
            verdict: Verdict::Completed,
            status: status.code(),
            sense: sense.map(|sense| sense.encode(SenseFormat::Fixed)).unwrap_or_default(),
            residual: Residual::None,
            read_residual: Residual::None,
            received: 0,
        }
    }

    fn check(sense: Sense) -> Judgement {
        judge(&outcome(Status::CheckCondition, Some(sense)), true)
    }

    fn is_again(judgement: &Judgement) -> bool {
        matches!(judgement, Judgement::Again { .. })
    }

    #[test]
    fn what_passes_is_done_again() {
        assert!(is_again(&check(Sense::attention(AdditionalSense::POWER_ON))));
        assert!(is_again(&check(Sense::new(SenseKey::NotReady, AdditionalSense::BECOMING_READY))));
        let aborted = AdditionalSense::PROTOCOL_SERVICE_CRC_ERROR;
        assert!(is_again(&check(Sense::new(SenseKey::AbortedCommand, aborted))));
        for status in [Status::Busy, Status::TaskSetFull, Status::TaskAborted] {
            assert!(is_again(&judge(&outcome(status, None), true)), "{status}");
        }
        let aborted = Outcome { verdict: Verdict::Aborted, ..outcome(Status::Good, None) };
        assert!(is_again(&judge(&aborted, true)));
    }

    #[test]
    fn a_bad_block_is_named() {
        let sense = Sense::new(SenseKey::MediumError, AdditionalSense::UNRECOVERED_READ_ERROR);
        let Judgement::Failed(failure) = check(sense.with_information(0x1234)) else { panic!("no failure") };
        assert_eq!(failure, ScsiFailure::Block { sense: sense.with_information(0x1234), block: 0x1234 });
        assert!(failure.to_string().contains("unrecovered read error"), "{failure}");
    }

    #[test]
    fn what_stays_is_a_failure() {
        for sense in [
            Sense::new(SenseKey::NotReady, AdditionalSense::MEDIUM_NOT_PRESENT),
            Sense::new(SenseKey::DataProtect, AdditionalSense::WRITE_PROTECTED),
            Sense::illegal(AdditionalSense::LBA_OUT_OF_RANGE),
            Sense { deferred: true, ..Sense::attention(AdditionalSense::POWER_ON) },
        ] {
            assert!(matches!(check(sense), Judgement::Failed(_)), "{sense}");
        }
        let conflict = judge(&outcome(Status::ReservationConflict, None), true);
        assert_eq!(conflict, Judgement::Failed(ScsiFailure::Status(Status::ReservationConflict)));
        assert_eq!(
            judge(&outcome(Status::CheckCondition, None), true),
            Judgement::Failed(ScsiFailure::NoSense)
        );
    }

    #[test]
    fn missing_bytes_fail_what_must_be_whole() {
        let short = Outcome { residual: Residual::Underflow(512), ..outcome(Status::Good, None) };
        assert_eq!(judge(&short, true), Judgement::Failed(ScsiFailure::Short { missing: 512 }));
        assert_eq!(judge(&short, false), Judgement::Done);
        let recovered = Sense::new(SenseKey::RecoveredError, AdditionalSense::NO_ADDITIONAL_SENSE);
        let short = Outcome {
            residual: Residual::Underflow(512),
            ..outcome(Status::CheckCondition, Some(recovered))
        };
        assert_eq!(judge(&short, true), Judgement::Failed(ScsiFailure::Short { missing: 512 }));
    }
}
