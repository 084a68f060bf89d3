//! Additional sense codes and qualifiers by name.

use std::fmt;

/// ASC and ASCQ. Source: SPC-4, annex "additional sense codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdditionalSense {
    /// Additional sense code.
    pub asc: u8,
    /// Its qualifier.
    pub ascq: u8,
}

macro_rules! codes {
    ($($name:ident = $asc:literal, $ascq:literal, $text:literal;)*) => {
        #[allow(missing_docs, reason = "each constant's text is what it means; see text()")]
        impl AdditionalSense {
            $(pub const $name: Self = Self { asc: $asc, ascq: $ascq };)*

            /// What the code means, in the standard's words, lower case; none for codes not in this table.
            pub const fn text(self) -> Option<&'static str> {
                match (self.asc, self.ascq) {
                    $(($asc, $ascq) => Some($text),)*
                    _ => None,
                }
            }
        }

        #[cfg(test)]
        pub(super) const NAMED: &[AdditionalSense] = &[$(AdditionalSense::$name),*];
    };
}

codes! {
    NO_ADDITIONAL_SENSE = 0x00, 0x00, "no additional sense information";
    PERIPHERAL_DEVICE_WRITE_FAULT = 0x03, 0x00, "peripheral device write fault";
    NOT_READY_CAUSE_NOT_REPORTABLE = 0x04, 0x00, "logical unit not ready, cause not reportable";
    BECOMING_READY = 0x04, 0x01, "logical unit is in process of becoming ready";
    INITIALIZING_COMMAND_REQUIRED = 0x04, 0x02, "logical unit not ready, initializing command required";
    MANUAL_INTERVENTION_REQUIRED = 0x04, 0x03, "logical unit not ready, manual intervention required";
    NOT_READY_STANDBY_PORT = 0x04, 0x0b, "logical unit not accessible, target port in standby state";
    NOT_READY_UNAVAILABLE_PORT = 0x04, 0x0c, "logical unit not accessible, target port in unavailable state";
    COMMUNICATION_FAILURE = 0x08, 0x00, "logical unit communication failure";
    COMMUNICATION_TIMEOUT = 0x08, 0x01, "logical unit communication time-out";
    WRITE_ERROR = 0x0c, 0x00, "write error";
    UNEXPECTED_UNSOLICITED_DATA = 0x0c, 0x0c, "write error - unexpected unsolicited data";
    NOT_ENOUGH_UNSOLICITED_DATA = 0x0c, 0x0d, "write error - not enough unsolicited data";
    INVALID_FIELD_IN_COMMAND_IU = 0x0e, 0x03, "invalid field in command information unit";
    GUARD_CHECK_FAILED = 0x10, 0x01, "logical block guard check failed";
    UNRECOVERED_READ_ERROR = 0x11, 0x00, "unrecovered read error";
    PARAMETER_LIST_LENGTH_ERROR = 0x1a, 0x00, "parameter list length error";
    MISCOMPARE_DURING_VERIFY = 0x1d, 0x00, "miscompare during verify operation";
    INVALID_OPERATION_CODE = 0x20, 0x00, "invalid command operation code";
    LBA_OUT_OF_RANGE = 0x21, 0x00, "logical block address out of range";
    INVALID_FIELD_IN_CDB = 0x24, 0x00, "invalid field in CDB";
    LOGICAL_UNIT_NOT_SUPPORTED = 0x25, 0x00, "logical unit not supported";
    INVALID_FIELD_IN_PARAMETER_LIST = 0x26, 0x00, "invalid field in parameter list";
    PARAMETER_NOT_SUPPORTED = 0x26, 0x01, "parameter not supported";
    PARAMETER_VALUE_INVALID = 0x26, 0x02, "parameter value invalid";
    INVALID_RELEASE_OF_RESERVATION = 0x26, 0x04, "invalid release of persistent reservation";
    WRITE_PROTECTED = 0x27, 0x00, "write protected";
    SPACE_ALLOCATION_FAILED = 0x27, 0x07, "space allocation failed write protect";
    MEDIUM_MAY_HAVE_CHANGED = 0x28, 0x00, "not ready to ready change, medium may have changed";
    POWER_ON_OR_RESET = 0x29, 0x00, "power on, reset, or bus device reset occurred";
    POWER_ON = 0x29, 0x01, "power on occurred";
    SCSI_BUS_RESET = 0x29, 0x02, "scsi bus reset occurred";
    BUS_DEVICE_RESET = 0x29, 0x03, "bus device reset function occurred";
    NEXUS_LOSS = 0x29, 0x07, "I_T nexus loss occurred";
    PARAMETERS_CHANGED = 0x2a, 0x00, "parameters changed";
    MODE_PARAMETERS_CHANGED = 0x2a, 0x01, "mode parameters changed";
    RESERVATIONS_PREEMPTED = 0x2a, 0x03, "reservations preempted";
    RESERVATIONS_RELEASED = 0x2a, 0x04, "reservations released";
    REGISTRATIONS_PREEMPTED = 0x2a, 0x05, "registrations preempted";
    ASYMMETRIC_ACCESS_STATE_CHANGED = 0x2a, 0x06, "asymmetric access state changed";
    CAPACITY_DATA_CHANGED = 0x2a, 0x09, "capacity data has changed";
    COMMAND_SEQUENCE_ERROR = 0x2c, 0x00, "command sequence error";
    COMMANDS_CLEARED = 0x2f, 0x00, "commands cleared by another initiator";
    INCOMPATIBLE_MEDIUM = 0x30, 0x00, "incompatible medium installed";
    THIN_PROVISIONING_SOFT_THRESHOLD = 0x38, 0x07, "thin provisioning soft threshold reached";
    SAVING_NOT_SUPPORTED = 0x39, 0x00, "saving parameters not supported";
    MEDIUM_NOT_PRESENT = 0x3a, 0x00, "medium not present";
    TARGET_CONDITIONS_CHANGED = 0x3f, 0x00, "target operating conditions have changed";
    INQUIRY_DATA_CHANGED = 0x3f, 0x03, "inquiry data has changed";
    REPORTED_LUNS_CHANGED = 0x3f, 0x0e, "reported luns data has changed";
    INTERNAL_TARGET_FAILURE = 0x44, 0x00, "internal target failure";
    PROTOCOL_SERVICE_CRC_ERROR = 0x47, 0x05, "protocol service CRC error";
    INITIATOR_DETECTED_ERROR = 0x48, 0x00, "initiator detected error message received";
    OVERLAPPED_COMMANDS = 0x4e, 0x00, "overlapped commands attempted";
    INSUFFICIENT_RESOURCES = 0x55, 0x03, "insufficient resources";
    INSUFFICIENT_REGISTRATION_RESOURCES = 0x55, 0x04, "insufficient registration resources";
}

impl fmt::Display for AdditionalSense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => f.write_str(text),
            None => write!(f, "additional sense {:02x}h/{:02x}h", self.asc, self.ascq),
        }
    }
}
