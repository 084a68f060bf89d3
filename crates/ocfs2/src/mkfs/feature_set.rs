//! `--fs-features` and `--fs-feature-level`.

use ocfs2_format::{Compat, Features, Incompat, RoCompat};

/// `--fs-feature-level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeatureLevel {
    /// What is well tried.
    #[default]
    Default,
    /// What the oldest kernels know.
    MaxCompat,
    /// All there is.
    MaxFeatures,
}

impl FeatureLevel {
    /// By the name that the option takes.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::Default),
            "max-compat" => Some(Self::MaxCompat),
            "max-features" => Some(Self::MaxFeatures),
            _ => None,
        }
    }

    /// Its features.
    #[must_use]
    pub fn features(self) -> Features {
        let compat = Compat::BACKUP_SB | Compat::JBD2_SB;
        let default = Incompat::SPARSE_ALLOC
            | Incompat::EXTENDED_SLOT_MAP
            | Incompat::INLINE_DATA
            | Incompat::XATTR
            | Incompat::REFCOUNT_TREE
            | Incompat::INDEXED_DIRS
            | Incompat::DISCONTIG_BG
            | Incompat::APPEND_DIO;
        let (incompat, ro_compat) = match self {
            Self::Default => (default, RoCompat::UNWRITTEN),
            Self::MaxCompat => (Incompat::empty(), RoCompat::empty()),
            Self::MaxFeatures => {
                (default | Incompat::META_ECC, RoCompat::UNWRITTEN | RoCompat::USRQUOTA | RoCompat::GRPQUOTA)
            }
        };
        Features { compat, incompat, ro_compat }
    }
}

/// A feature by the name that `--fs-features` takes.
struct Named {
    name: &'static str,
    /// The bit itself.
    own: Features,
    /// With those that it depends on.
    with: Features,
}

const NONE: Features =
    Features { compat: Compat::empty(), incompat: Incompat::empty(), ro_compat: RoCompat::empty() };

const fn incompat(name: &'static str, bit: Incompat) -> Named {
    let own = Features { incompat: bit, ..NONE };
    Named { name, own, with: own }
}

const fn ro_compat(name: &'static str, bit: RoCompat, needs: Incompat) -> Named {
    let own = Features { ro_compat: bit, ..NONE };
    Named { name, own, with: Features { incompat: needs, ..own } }
}

const BACKUP_SB: Features = Features { compat: Compat::BACKUP_SB, ..NONE };

const NAMED: [Named; 15] = [
    incompat("local", Incompat::LOCAL_MOUNT),
    incompat("sparse", Incompat::SPARSE_ALLOC),
    Named { name: "backup-super", own: BACKUP_SB, with: BACKUP_SB },
    ro_compat("unwritten", RoCompat::UNWRITTEN, Incompat::SPARSE_ALLOC),
    incompat("extended-slotmap", Incompat::EXTENDED_SLOT_MAP),
    incompat("inline-data", Incompat::INLINE_DATA),
    incompat("metaecc", Incompat::META_ECC),
    incompat("xattr", Incompat::XATTR),
    incompat("indexed-dirs", Incompat::INDEXED_DIRS),
    ro_compat("usrquota", RoCompat::USRQUOTA, Incompat::empty()),
    ro_compat("grpquota", RoCompat::GRPQUOTA, Incompat::empty()),
    incompat("refcount", Incompat::REFCOUNT_TREE),
    incompat("discontig-bg", Incompat::DISCONTIG_BG),
    incompat("clusterinfo", Incompat::CLUSTERINFO),
    incompat("append-dio", Incompat::APPEND_DIO),
];

/// Names in the order in which the original prints them.
const PRINTED: [(&str, Features); 20] = [
    ("heartbeat-device", Features { incompat: Incompat::HEARTBEAT_DEV, ..NONE }),
    ("aborted-resize", Features { incompat: Incompat::RESIZE_INPROG, ..NONE }),
    ("local", Features { incompat: Incompat::LOCAL_MOUNT, ..NONE }),
    ("sparse", Features { incompat: Incompat::SPARSE_ALLOC, ..NONE }),
    ("extended-slotmap", Features { incompat: Incompat::EXTENDED_SLOT_MAP, ..NONE }),
    ("aborted-tunefs", Features { incompat: Incompat::TUNEFS_INPROG, ..NONE }),
    ("userspace-stack", Features { incompat: Incompat::USERSPACE_STACK, ..NONE }),
    ("backup-super", BACKUP_SB),
    ("unwritten", Features { ro_compat: RoCompat::UNWRITTEN, ..NONE }),
    ("inline-data", Features { incompat: Incompat::INLINE_DATA, ..NONE }),
    ("strict-journal-super", Features { compat: Compat::JBD2_SB, ..NONE }),
    ("metaecc", Features { incompat: Incompat::META_ECC, ..NONE }),
    ("xattr", Features { incompat: Incompat::XATTR, ..NONE }),
    ("indexed-dirs", Features { incompat: Incompat::INDEXED_DIRS, ..NONE }),
    ("usrquota", Features { ro_compat: RoCompat::USRQUOTA, ..NONE }),
    ("grpquota", Features { ro_compat: RoCompat::GRPQUOTA, ..NONE }),
    ("refcount", Features { incompat: Incompat::REFCOUNT_TREE, ..NONE }),
    ("discontig-bg", Features { incompat: Incompat::DISCONTIG_BG, ..NONE }),
    ("clusterinfo", Features { incompat: Incompat::CLUSTERINFO, ..NONE }),
    ("append-dio", Features { incompat: Incompat::APPEND_DIO, ..NONE }),
];

/// The features by name, with a blank between, in the order of the original tools.
#[must_use]
pub fn feature_names(features: Features) -> String {
    let names = PRINTED.iter().filter(|(_, bit)| meet(features, *bit)).map(|(name, _)| *name);
    names.collect::<Vec<_>>().join(" ")
}

/// Why a list of features is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// A name that is none.
    #[error("unknown feature in the list")]
    Unknown,
    /// One feature is asked for and another, which it needs, is to be left out.
    #[error("a feature is asked for that needs one to be left out")]
    Conflict,
}

/// `--fs-features`: what is to be there, and what not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureList {
    on: Features,
    off: Features,
}

impl FeatureList {
    /// Reads `sparse,nounwritten`: names with commas between, `no` before what is to be left out. What depends on a
    /// feature that is left out is left out too.
    ///
    /// # Errors
    /// [`FeatureError`].
    pub fn parse(list: &str) -> Result<Self, FeatureError> {
        let mut this = Self::default();
        // The original stops at an empty name.
        for token in list.split(',').take_while(|token| !token.is_empty()) {
            let (name, off) = token.strip_prefix("no").map_or((token, false), |name| (name, true));
            let named = NAMED.iter().find(|named| named.name == name).ok_or(FeatureError::Unknown)?;
            if off {
                this.off = union(this.off, named.own);
            } else {
                this.on = union(this.on, named.with);
            }
        }
        for named in NAMED.iter().filter(|named| meet(this.off, named.with)).collect::<Vec<_>>() {
            this.off = union(this.off, named.own);
        }
        if meet(this.on, this.off) { Err(FeatureError::Conflict) } else { Ok(this) }
    }

    /// The features of a level with this list's added and taken away.
    #[must_use]
    pub fn merge(&self, level: FeatureLevel) -> Features {
        let all = union(level.features(), self.on);
        Features {
            compat: all.compat - self.off.compat,
            incompat: all.incompat - self.off.incompat,
            ro_compat: all.ro_compat - self.off.ro_compat,
        }
    }
}

fn union(a: Features, b: Features) -> Features {
    Features {
        compat: a.compat | b.compat,
        incompat: a.incompat | b.incompat,
        ro_compat: a.ro_compat | b.ro_compat,
    }
}

fn meet(a: Features, b: Features) -> bool {
    a.compat.intersects(b.compat) || a.incompat.intersects(b.incompat) || a.ro_compat.intersects(b.ro_compat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_change_levels_with_what_depends() {
        let words = |list: &str, level| {
            let features = FeatureList::parse(list).unwrap().merge(level);
            (features.compat.bits(), features.incompat.bits(), features.ro_compat.bits())
        };
        assert_eq!(words("", FeatureLevel::Default), (3, 0xb750, 1));
        assert_eq!(words("nosparse", FeatureLevel::Default), (3, 0xb740, 0));
        assert_eq!(words("unwritten", FeatureLevel::MaxCompat), (3, 0x10, 1));
        assert_eq!(words("nobackup-super,local", FeatureLevel::MaxCompat), (2, 8, 0));
        assert_eq!(words("", FeatureLevel::MaxFeatures), (3, 0xbf50, 7));
        assert_eq!(words("metaecc,,frob", FeatureLevel::Default).1, 0xbf50);
        assert_eq!(FeatureList::parse("frob"), Err(FeatureError::Unknown));
        assert_eq!(FeatureList::parse("nosparse,unwritten"), Err(FeatureError::Conflict));
        assert_eq!(FeatureList::parse("xattr,noxattr"), Err(FeatureError::Conflict));
    }

    #[test]
    fn names_are_printed_as_the_original_orders_them() {
        assert_eq!(
            feature_names(FeatureLevel::MaxFeatures.features()),
            "sparse extended-slotmap backup-super unwritten inline-data strict-journal-super metaecc xattr \
             indexed-dirs usrquota grpquota refcount discontig-bg append-dio"
        );
    }
}
