use super::{
    ByteCheck, Command, DataLength, ModeSelect, ModeSense, PageControl, PersistentIn, PersistentOut,
    ReportOpcodes, ReportingOptions, Rw, RwSize, StartStop, WriteSame,
};
use crate::{CdbError, Lun, SelectReport};
use proptest::prelude::*;
use proptest::{collection::vec, option, sample::select};

/// A CDB as open-iscsi, libiscsi or sg3-utils sent it, and what it means.
fn is(hex: &str, command: Command) {
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    assert_eq!(Command::parse(&bytes), Ok(command), "{hex}");
    assert_eq!(command.encode().unwrap().padded(), bytes[..16], "{hex}");
}

#[test]
fn captured() {
    is("00000000000000000000000000000000", Command::TestUnitReady);
    is("12000000240000000000000000000000", Command::Inquiry { page: None, alloc_len: 36 });
    is("12018300910000000000000000000000", Command::Inquiry { page: Some(0x83), alloc_len: 145 });
    is("9e100000000000000000000000600000", Command::ReadCapacity16 { alloc_len: 96 });
    is(
        "a0000000000000000010000000000000",
        Command::ReportLuns { select: SelectReport::Addressed, alloc_len: 16 },
    );
    is(
        "a30c800000000000ffff000000000000",
        Command::ReportOpcodes(ReportOpcodes {
            timeouts: true,
            options: ReportingOptions::All,
            alloc_len: 65535,
        }),
    );
    is(
        "1a003f00ff0000000000000000000000",
        Command::ModeSense(ModeSense {
            ten: false,
            long_lba: false,
            no_descriptors: false,
            control: PageControl::Current,
            page: 0x3f,
            subpage: 0,
            alloc_len: 255,
        }),
    );
    is(
        "5e000000000000400000000000000000",
        Command::PersistentIn(PersistentIn { action: 0, alloc_len: 16384 }),
    );
}

#[test]
fn refused() {
    assert_eq!(Command::parse(&[]), Err(CdbError::Short { opcode: 0, need: 6, have: 0 }));
    assert_eq!(Command::parse(&[0x28; 9]), Err(CdbError::Short { opcode: 0x28, need: 10, have: 9 }));
    assert_eq!(Command::parse(&[0xc1; 16]), Err(CdbError::UnknownOpcode { opcode: 0xc1 }));
    assert_eq!(Command::parse(&[0x7f; 16]), Err(CdbError::UnknownOpcode { opcode: 0x7f }));
    let mut naca = [0; 16];
    naca[5] = 0x04;
    assert!(matches!(Command::parse(&naca), Err(CdbError::Field { field: "NACA", byte: 5, .. })));
    let verify = [0x2f, 0x04, 0, 0, 0, 0, 0, 0, 1, 0];
    assert!(matches!(Command::parse(&verify), Err(CdbError::Field { field: "BYTCHK", .. })));
    // A page code without EVPD.
    assert!(matches!(Command::parse(&[0x12, 0, 0x80, 0, 36, 0]), Err(CdbError::Field { byte: 2, .. })));
}

#[test]
fn what_does_not_fit_is_not_encoded() {
    let none = |command: Command| assert_eq!(command.encode(), None, "{command:?}");
    none(Command::Read(Rw::new(RwSize::Six, 1 << 21, 1)));
    none(Command::Read(Rw::new(RwSize::Six, 0, 0)));
    none(Command::Read(Rw::new(RwSize::Ten, 1 << 32, 1)));
    none(Command::Read(Rw::new(RwSize::Ten, 0, 1 << 16)));
    none(Command::Read(Rw { protect: 8, ..Rw::new(RwSize::Ten, 0, 1) }));
    none(Command::OrWrite(Rw::new(RwSize::Ten, 0, 1)));
    none(Command::CompareAndWrite(Rw::new(RwSize::Sixteen, 0, 256)));
    none(Command::WriteSame(WriteSame {
        range: Rw::new(RwSize::Ten, 0, 1),
        anchor: false,
        unmap: false,
        no_data: true,
    }));
}

#[test]
fn lengths_of_data() {
    let rw = Rw::new(RwSize::Sixteen, 0, u32::MAX);
    assert_eq!(Command::Read(rw).data_length(4096), DataLength::In(u64::from(u32::MAX) * 4096));
    let two = Rw::new(RwSize::Sixteen, 7, 1);
    assert_eq!(Command::CompareAndWrite(two).data_length(512), DataLength::Out(1024));
    assert_eq!(Command::Verify(rw, ByteCheck::OneBlock).data_length(512), DataLength::Out(512));
    assert_eq!(Command::Verify(rw, ByteCheck::Medium).data_length(512), DataLength::None);
    assert_eq!(Lun::ZERO.number(), 0);
}

prop_compose! {
    fn rw(sizes: &'static [RwSize])(
        size in select(sizes), lba: u64, blocks: u32, protect in 0u8..8, dpo: bool, fua: bool, group in 0u8..32,
    ) -> Rw {
        match size {
            RwSize::Six => Rw::new(size, lba & 0x1f_ffff, blocks % 256 + 1),
            RwSize::Ten => {
                Rw { size, lba: lba & 0xffff_ffff, blocks: blocks & 0xffff, protect, dpo, fua, group }
            }
            RwSize::Twelve => Rw { size, lba: lba & 0xffff_ffff, blocks, protect, dpo, fua, group },
            RwSize::Sixteen => Rw { size, lba, blocks, protect, dpo, fua, group },
        }
    }
}

const ANY: &[RwSize] = &[RwSize::Six, RwSize::Ten, RwSize::Twelve, RwSize::Sixteen];
const TEN_UP: &[RwSize] = &[RwSize::Ten, RwSize::Twelve, RwSize::Sixteen];
const TEN_SIXTEEN: &[RwSize] = &[RwSize::Ten, RwSize::Sixteen];
const SIXTEEN: &[RwSize] = &[RwSize::Sixteen];

fn plain(rw: Rw) -> Rw {
    Rw { dpo: false, fua: false, protect: 0, ..rw }
}

fn block_command() -> impl Strategy<Value = Command> {
    let check = || select(&[ByteCheck::Medium, ByteCheck::Data, ByteCheck::OneBlock][..]);
    prop_oneof![
        rw(ANY).prop_map(Command::Read),
        rw(ANY).prop_map(Command::Write),
        rw(SIXTEEN).prop_map(Command::OrWrite),
        rw(SIXTEEN).prop_map(|rw| Command::CompareAndWrite(Rw { blocks: rw.blocks & 0xff, ..rw })),
        (rw(TEN_UP), check()).prop_map(|(rw, check)| Command::Verify(Rw { fua: false, ..rw }, check)),
        (rw(TEN_UP), any::<bool>()).prop_map(|(rw, compare)| {
            let check = if compare { ByteCheck::Data } else { ByteCheck::Medium };
            Command::WriteAndVerify(Rw { fua: false, ..rw }, check)
        }),
        (rw(TEN_SIXTEEN), any::<bool>())
            .prop_map(|(rw, immediate)| Command::SynchronizeCache { range: plain(rw), immediate }),
        (rw(TEN_SIXTEEN), any::<bool>())
            .prop_map(|(rw, immediate)| Command::PreFetch { range: plain(rw), immediate }),
        (rw(TEN_SIXTEEN), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(rw, anchor, unmap, no_data)| {
                let no_data = no_data && rw.size == RwSize::Sixteen;
                let range = Rw { dpo: false, fua: false, ..rw };
                Command::WriteSame(WriteSame { range, anchor, unmap, no_data })
            }
        ),
    ]
}

fn other_command() -> impl Strategy<Value = Command> {
    let control = select(
        &[PageControl::Current, PageControl::Changeable, PageControl::Default, PageControl::Saved][..],
    );
    let reports = select(&[SelectReport::Addressed, SelectReport::WellKnown, SelectReport::All][..]);
    let options = prop_oneof![
        Just(ReportingOptions::All),
        any::<u8>().prop_map(ReportingOptions::Opcode),
        any::<(u8, u16)>().prop_map(|(opcode, action)| ReportingOptions::Action(opcode, action)),
        any::<(u8, u16)>().prop_map(|(opcode, action)| ReportingOptions::Either(opcode, action)),
    ];
    prop_oneof![
        any::<(bool, u8)>()
            .prop_map(|(descriptor, alloc_len)| Command::RequestSense { descriptor, alloc_len }),
        (option::of(any::<u8>()), any::<u16>())
            .prop_map(|(page, alloc_len)| Command::Inquiry { page, alloc_len }),
        (any::<(bool, bool, bool, u8, u16)>(), control, 0u8..64).prop_map(
            |((ten, long, no_descriptors, subpage, len), control, page)| {
                let alloc_len = if ten { len } else { len & 0xff };
                let long_lba = ten && long;
                Command::ModeSense(ModeSense {
                    ten,
                    long_lba,
                    no_descriptors,
                    control,
                    page,
                    subpage,
                    alloc_len,
                })
            }
        ),
        any::<(bool, bool, bool, u16)>().prop_map(|(ten, page_format, save, len)| {
            let param_len = if ten { len } else { len & 0xff };
            Command::ModeSelect(ModeSelect { ten, page_format, save, param_len })
        }),
        (any::<(bool, bool, bool, bool)>(), 0u8..16).prop_map(
            |((immediate, no_flush, load_eject, start), power_condition)| {
                Command::StartStop(StartStop { immediate, power_condition, no_flush, load_eject, start })
            }
        ),
        (0u8..4).prop_map(|prevent| Command::PreventAllow { prevent }),
        any::<u32>().prop_map(|alloc_len| Command::ReadCapacity16 { alloc_len }),
        any::<(u64, u32)>().prop_map(|(lba, alloc_len)| Command::GetLbaStatus { lba, alloc_len }),
        (any::<(bool, u16)>(), 0u8..32).prop_map(|((anchor, param_len), group)| Command::Unmap {
            anchor,
            group,
            param_len
        }),
        (reports, any::<u32>()).prop_map(|(select, alloc_len)| Command::ReportLuns { select, alloc_len }),
        (any::<(bool, u32)>(), options).prop_map(|((timeouts, alloc_len), options)| {
            Command::ReportOpcodes(ReportOpcodes { timeouts, options, alloc_len })
        }),
        (0u8..32, any::<u16>())
            .prop_map(|(action, alloc_len)| Command::PersistentIn(PersistentIn { action, alloc_len })),
        (0u8..32, 0u8..16, 0u8..16, any::<u32>()).prop_map(|(action, scope, kind, param_len)| {
            Command::PersistentOut(PersistentOut { action, scope, kind, param_len })
        }),
        Just(Command::TestUnitReady),
        Just(Command::ReadCapacity10),
    ]
}

proptest! {
    #[test]
    fn comes_back(command in prop_oneof![block_command(), other_command()]) {
        let cdb = command.encode().expect("every generated command fits");
        prop_assert_eq!(Command::parse(cdb.as_bytes()), Ok(command));
        prop_assert_eq!(Command::parse(&cdb.padded()), Ok(command));
    }

    /// What parses encodes again to a CDB that means the same.
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..20)) {
        if let Ok(command) = Command::parse(&bytes) {
            let cdb = command.encode().expect("what was parsed fits");
            prop_assert_eq!(Command::parse(cdb.as_bytes()), Ok(command));
            let _ = command.data_length(4096);
        }
    }
}
