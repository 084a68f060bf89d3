//! Where metadata blocks say they were allocated from.

use super::Code;
use super::chains::Allocators;
use super::finding::{Finding, Findings};
use super::groups::Kind;

/// Checks slot, bit and group of the metadata block `block` of inode `ino` against the extent allocators.
pub(super) fn check(
    out: &mut Findings,
    allocators: &Allocators,
    (ino, block): (u64, u64),
    (slot, bit, loc): (u16, u16, u64),
) {
    let home = if loc == 0 { block.wrapping_sub(u64::from(bit)) } else { loc };
    let group = allocators.group_at(home);
    let right = group.is_some_and(|group| {
        let from = allocators.of(group);
        from.is_some_and(|from| from.kind == Kind::Extents && from.slot == slot)
            && group.bit_of(block) == Some(u32::from(bit))
    });
    if !right {
        let message = format!(
            "inode {ino}: block {block} says that it is bit {bit} of the group at block {home} in extent_alloc:{slot:04}, \
             which it is not"
        );
        let finding = Finding::new(Code::BlockSuballoc, message).block(block).inode(ino);
        out.push(finding.values("suballoc_bit", u64::from(bit), 0));
    }
}
