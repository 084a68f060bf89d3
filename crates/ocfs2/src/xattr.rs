//! Extended attributes: in the inode, in a block of their own, or in buckets behind it.

use ocfs2_format::DynFeatures;

use crate::{Error, Inode, Volume};

/// One extended attribute of an inode.
#[derive(Clone, Debug)]
pub struct Xattr {
    name: Vec<u8>,
}

impl Xattr {
    /// Its full name, such as `user.comment` or `system.posix_acl_access`.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

impl Volume {
    /// The extended attributes of `inode`, ACLs among them, in no certain order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>, Error> {
        if inode.dinode().dyn_features.contains(DynFeatures::HAS_XATTR) {
            return Err(Error::NotBuilt { what: "extended attributes" });
        }
        Ok(Vec::new())
    }

    /// The value of one of [`Self::xattrs`]; ACLs in the form of the system calls.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn xattr_value(&self, _inode: &Inode, _xattr: &Xattr) -> Result<Vec<u8>, Error> {
        Err(Error::NotBuilt { what: "extended attributes" })
    }

    /// The value of the attribute with the full name `name`; ACLs in the form of the system calls.
    ///
    /// # Errors
    /// [`Error::NoAttribute`], or when it cannot be read.
    pub async fn xattr(&self, inode: &Inode, name: &[u8]) -> Result<Vec<u8>, Error> {
        match self.xattrs(inode).await?.iter().find(|xattr| xattr.name() == name) {
            Some(xattr) => self.xattr_value(inode, xattr).await,
            None => Err(Error::NoAttribute),
        }
    }
}
