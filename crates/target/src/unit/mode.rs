//! Mode parameters: what MODE SENSE tells and MODE SELECT changes. Nothing is saved over a restart.

use scsi::{
    AdditionalSense, CachingPage, ControlPage, FieldPointer, ModeData, ModePage, ModeSelect, ModeSense,
    PageCode, PageControl, Sense,
};

use super::admit::invalid_field;
use super::{Reply, SessionId, Unit};

/// What can be changed; one set for all initiators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    /// WCE: writes are answered before they are stable.
    pub(super) write_cache: bool,
    /// SWP: writes are refused.
    pub(super) write_protect: bool,
    /// D_SENSE: sense data comes in descriptor format.
    pub(super) descriptor_sense: bool,
}

impl Default for Mode {
    fn default() -> Self {
        Self { write_cache: true, write_protect: false, descriptor_sense: false }
    }
}

impl Mode {
    /// The bits that MODE SELECT can change.
    const CHANGEABLE: Self = Self { write_cache: true, write_protect: true, descriptor_sense: true };

    fn pages(self, mask: bool) -> Vec<ModePage> {
        let caching = CachingPage { write_cache: self.write_cache, read_cache_disabled: false };
        let control = ControlPage {
            descriptor_sense: self.descriptor_sense,
            unrestricted_reordering: !mask,
            write_protect: self.write_protect,
            task_aborted_status: !mask,
        };
        vec![
            ModePage::new(PageCode::READ_WRITE_ERROR, vec![0; 10]),
            caching.encode(),
            control.encode(),
            ModePage::new(PageCode::EXCEPTIONS, vec![0; 10]),
        ]
    }
}

impl Unit {
    /// In which format sense data goes out.
    pub(crate) fn sense_format(&self) -> scsi::SenseFormat {
        if self.mode().descriptor_sense { scsi::SenseFormat::Descriptor } else { scsi::SenseFormat::Fixed }
    }

    pub(super) fn mode_sense(&self, sense: &ModeSense) -> Result<Vec<u8>, Reply> {
        let (mode, mask) = match sense.control {
            PageControl::Current => (*self.mode(), false),
            PageControl::Changeable => (Mode::CHANGEABLE, true),
            PageControl::Default => (Mode::default(), false),
            PageControl::Saved => return Err(Reply::illegal(AdditionalSense::SAVING_NOT_SUPPORTED)),
        };
        let mut pages = mode.pages(mask);
        if sense.page != ALL_PAGES {
            pages.retain(|page| page.code.page == sense.page);
        }
        if pages.is_empty() {
            return Err(invalid_field(2, 5));
        }
        // No page here has subpages: 00h is the page itself, FFh the page and all of its subpages.
        if !matches!(sense.subpage, 0 | 0xff) {
            return Err(invalid_field(3, 7));
        }
        let data = ModeData {
            write_protected: self.read_only || self.mode().write_protect,
            dpo_fua: true,
            descriptor: (!sense.no_descriptors).then_some((self.blocks, self.block)),
            pages,
        };
        Ok(data.encode(sense.ten, sense.long_lba))
    }

    pub(super) fn mode_select(&self, session: SessionId, select: &ModeSelect, data: &[u8]) -> Reply {
        if select.save {
            return invalid_field(1, 0);
        }
        if !select.page_format {
            return invalid_field(1, 4);
        }
        if data.is_empty() {
            return Reply::good();
        }
        let Ok(list) = ModeData::parse(data, select.ten) else {
            return Reply::illegal(AdditionalSense::PARAMETER_LIST_LENGTH_ERROR);
        };
        if let Some((blocks, block)) = list.descriptor
            && (block != self.block
                || !matches!(blocks, 0 | 0xff_ffff | 0xffff_ffff) && blocks != self.blocks)
        {
            return Reply::illegal(AdditionalSense::INVALID_FIELD_IN_PARAMETER_LIST);
        }
        let before = *self.mode();
        let mut mode = before;
        for page in &list.pages {
            if let Err(reply) = change(&mut mode, page) {
                return reply;
            }
        }
        let header = if select.ten { 8 } else { 4 };
        let pages: usize = list.pages.iter().map(|page| page.body.len() + 2).sum();
        let descriptor = if list.descriptor.is_some() { 8 } else { 0 };
        if header + descriptor + pages < data.len() {
            // A page that is not whole was left over.
            return Reply::illegal(AdditionalSense::PARAMETER_LIST_LENGTH_ERROR);
        }
        if mode != before {
            *self.mode() = mode;
            for (_, nexus) in self.nexuses().iter().filter(|(id, _)| **id != session) {
                nexus.mode_changed(before, mode);
            }
        }
        Reply::wrote(select.param_len.into())
    }
}

/// Page code that asks for all pages.
const ALL_PAGES: u8 = 0x3f;

/// Takes over what a page may change; anything else that differs from how it is refuses the page.
fn change(mode: &mut Mode, page: &ModePage) -> Result<(), Reply> {
    let mut new = *mode;
    match page.code {
        PageCode::CACHING => {
            new.write_cache = CachingPage::parse(page).map_err(|_| wrong_page())?.write_cache;
        }
        PageCode::CONTROL => {
            let control = ControlPage::parse(page).map_err(|_| wrong_page())?;
            new.write_protect = control.write_protect;
            new.descriptor_sense = control.descriptor_sense;
        }
        _ => {}
    }
    let as_told = new.pages(false).into_iter().find(|told| told.code == page.code);
    if as_told.is_none_or(|told| told.body != page.body) {
        return Err(wrong_page());
    }
    *mode = new;
    Ok(())
}

fn wrong_page() -> Reply {
    let field = FieldPointer { in_cdb: false, byte: 0, bit: None };
    Reply::check(Sense::illegal(AdditionalSense::INVALID_FIELD_IN_PARAMETER_LIST).with_field(field))
}
