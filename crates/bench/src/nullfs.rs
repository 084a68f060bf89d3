//! A FUSE filesystem that does nothing, over our own transport: what it costs to ask a FUSE filesystem at all.
//!
//! Names and lengths are kept, data is not: what is written is dropped, what is read is zeroes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use block::Buf;
use mount::{
    Atime, Attr, AttrChange, Attributes, Caller, Changes, Config, Creation, Data, Entry, Errno, FileFlags,
    Filesystem, Ino, Listing, Lookup, Mount, MountSpec, NewFile, Opened, Seek, Session, Time, VolumeStat,
    WriteHow,
};

const ROOT: Ino = Ino(2);
const TTL: Duration = Duration::from_secs(60);

/// Mounts on `dir`, says `ready`, and serves until it is unmounted.
pub(crate) fn serve(dir: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("a runtime")?;
    let spec = MountSpec {
        source: "null".into(),
        subtype: "null".into(),
        read_only: false,
        atime: Atime::Never,
        allow_other: true,
        default_permissions: true,
        suid: false,
        dev: false,
        exec: false,
    };
    let (mount, device) = Mount::new(&spec, dir).with_context(|| format!("mounting on {}", dir.display()))?;
    let config = Config { posix_acl: false, changes: Changes::Here };
    let mut session = Session::start(device, Arc::new(NullFs::default()), config, runtime.handle().clone())
        .context("serving the mount")?;
    mount.raise_read_ahead();
    println!("ready");
    runtime.block_on(session.ended());
    mount.forget();
    Ok(())
}

/// One directory of files without contents.
#[derive(Debug, Default)]
struct NullFs(Mutex<Files>);

#[derive(Debug, Default)]
struct Files {
    names: BTreeMap<Vec<u8>, Ino>,
    sizes: BTreeMap<Ino, u64>,
    made: u64,
}

impl Files {
    fn size(&self, ino: Ino) -> Result<u64, Errno> {
        if ino == ROOT { Ok(0) } else { self.sizes.get(&ino).copied().ok_or(Errno::STALE) }
    }

    fn attr(&self, ino: Ino) -> Result<Attr, Errno> {
        let size = self.size(ino)?;
        Ok(Attr {
            ino,
            mode: if ino == ROOT { 0o040_755 } else { 0o100_644 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: (0, 0),
            size,
            blocks: size.div_ceil(512),
            block_size: 4096,
            atime: Time::default(),
            mtime: Time::default(),
            ctime: Time::default(),
        })
    }

    fn entry(&self, ino: Ino) -> Result<Entry, Errno> {
        Ok(Entry { attr: self.attr(ino)?, generation: 0, attr_ttl: TTL, entry_ttl: TTL })
    }
}

impl NullFs {
    /// No holder leaves the maps half changed.
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filesystem for NullFs {
    fn root(&self) -> Ino {
        ROOT
    }

    async fn lookup(&self, _dir: Ino, name: &[u8]) -> Result<Lookup, Errno> {
        let files = self.files();
        match name {
            b"." | b".." => Ok(Lookup::Found(files.entry(ROOT)?)),
            name => match files.names.get(name) {
                Some(ino) => Ok(Lookup::Found(files.entry(*ino)?)),
                None => Ok(Lookup::Missing(TTL)),
            },
        }
    }

    async fn attributes(&self, ino: Ino) -> Result<Attributes, Errno> {
        Ok(Attributes { attr: self.files().attr(ino)?, ttl: TTL })
    }

    async fn read_link(&self, _ino: Ino) -> Result<Vec<u8>, Errno> {
        Err(Errno::INVAL)
    }

    async fn read(&self, ino: Ino, _handle: u64, offset: u64, len: usize) -> Result<Data, Errno> {
        let left = self.files().size(ino)?.saturating_sub(offset);
        let mut data = Data::new();
        data.push_zeroes(len.min(usize::try_from(left).unwrap_or(usize::MAX)));
        Ok(data)
    }

    async fn read_dir(
        &self,
        _dir: Ino,
        _handle: u64,
        _offset: u64,
        _listing: &mut Listing,
    ) -> Result<(), Errno> {
        Ok(())
    }

    async fn volume_stat(&self) -> Result<VolumeStat, Errno> {
        let (blocks, files) = (1 << 30, 1 << 30);
        Ok(VolumeStat {
            block_size: 4096,
            blocks,
            free: blocks,
            available: blocks,
            files,
            free_files: files,
            name_max: 255,
        })
    }

    async fn xattr(&self, _ino: Ino, _name: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::NODATA)
    }

    async fn xattr_names(&self, _ino: Ino) -> Result<Vec<u8>, Errno> {
        Ok(Vec::new())
    }

    async fn seek(&self, _ino: Ino, _handle: u64, _offset: u64, _what: Seek) -> Result<u64, Errno> {
        Err(Errno::NXIO)
    }

    async fn file_flags(&self, _ino: Ino) -> Result<FileFlags, Errno> {
        Ok(FileFlags::empty())
    }

    async fn set_attributes(
        &self,
        ino: Ino,
        change: &AttrChange,
        _caller: Caller,
    ) -> Result<Attributes, Errno> {
        let mut files = self.files();
        if let (Some(size), Some(old)) = (change.size, files.sizes.get_mut(&ino)) {
            *old = size;
        }
        Ok(Attributes { attr: files.attr(ino)?, ttl: TTL })
    }

    async fn create(
        &self,
        _dir: Ino,
        name: &[u8],
        file: NewFile<'_>,
        _how: &Creation,
    ) -> Result<Entry, Errno> {
        if file != NewFile::Regular {
            return Err(Errno::OPNOTSUPP);
        }
        let mut files = self.files();
        files.made += 1;
        let ino = Ino(ROOT.0 + files.made);
        files.sizes.insert(ino, 0);
        files.names.insert(name.to_vec(), ino);
        files.entry(ino)
    }

    async fn create_open(
        &self,
        dir: Ino,
        name: &[u8],
        _flags: u32,
        how: &Creation,
    ) -> Result<(Entry, Opened), Errno> {
        Ok((
            self.create(dir, name, NewFile::Regular, how).await?,
            Opened { keep_cache: true, ..Opened::default() },
        ))
    }

    async fn unlink(&self, _dir: Ino, name: &[u8]) -> Result<(), Errno> {
        let mut files = self.files();
        let ino = files.names.remove(name).ok_or(Errno::NOENT)?;
        files.sizes.remove(&ino);
        Ok(())
    }

    async fn write(
        &self,
        ino: Ino,
        _handle: u64,
        offset: u64,
        data: Buf,
        _how: WriteHow,
        _caller: Caller,
    ) -> Result<usize, Errno> {
        let mut files = self.files();
        let size = files.sizes.get_mut(&ino).ok_or(Errno::STALE)?;
        *size = (*size).max(offset.saturating_add(data.len() as u64));
        Ok(data.len())
    }
}
