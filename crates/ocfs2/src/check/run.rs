//! The passes in order, and the jobs that they are made of.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use block::BlockDevice;
use futures_util::StreamExt;

use super::chains::{self, Allocators};
use super::clusters::ClusterMap;
use super::ctx::Ctx;
use super::dirs::DirJob;
use super::finding::{Finding, Findings, Progress, Sink};
use super::groups::Kind;
use super::links::Links;
use super::part::{InodeState, Part, Shared, Usage};
use super::scan::ScanJob;
use super::table::Table;
use super::{Code, clusters, journals, locals, metadata, quotas, refcounts, superblock};
use crate::{OpenError, OpenOptions, SystemFile, Volume, Warning};

/// Jobs that run at once.
const JOBS: usize = 8;
/// Directories in a job.
const DIRS: usize = 64;

/// A part of a check that stands on its own: run it wherever there is a core.
#[derive(Debug)]
pub struct Job(Work);

#[derive(Debug)]
enum Work {
    Scan(ScanJob),
    Dirs(DirJob),
}

/// What a [`Job`] found.
#[derive(Debug)]
pub struct JobPart(Part);

impl Job {
    /// Does the work.
    pub async fn run(self) -> JobPart {
        JobPart(match self.0 {
            Work::Scan(job) => job.run().await,
            Work::Dirs(job) => job.run().await,
        })
    }
}

/// What a whole check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// How much was found wrong.
    pub findings: u64,
    /// Inodes in use, system inodes too.
    pub inodes: u64,
    /// Directories among them.
    pub dirs: u64,
    /// Clusters in use.
    pub clusters: u64,
    /// Orphans of slots that wait for their recovery: no damage.
    pub orphans: u64,
    /// What was told while the volume was opened: dirty journals, slots in use.
    pub notes: Vec<String>,
}

/// Checks the volume on `device`, and tells `sink` what is wrong.
///
/// `spawn` decides where jobs run: `|job| async { Some(job.run().await) }` runs them in the caller's task, a command
/// gives them to its threads. It gives `None` for a job that did not end. Dropping the future ends the check.
///
/// # Errors
/// [`OpenError`]: there is no volume that could be checked.
pub async fn check<S, F>(
    device: Arc<dyn BlockDevice>,
    sink: &mut (dyn Sink + Send),
    spawn: S,
) -> Result<Summary, OpenError>
where
    S: Fn(Job) -> F,
    F: Future<Output = Option<JobPart>>,
{
    let mut out = Findings::default();
    let volume = open(device, &mut out).await?;
    let mut run = Run {
        ctx: Ctx { volume },
        sink,
        spawn,
        summary: Summary::default(),
        inodes: Vec::new(),
        shared: Vec::new(),
        attached: Vec::new(),
        metadata: Vec::new(),
        users: BTreeMap::new(),
        groups: BTreeMap::new(),
    };
    run.summary.notes = run.ctx.volume.warnings().iter().map(ToString::to_string).collect();
    run.tell(&mut out);
    run.passes().await;
    Ok(run.summary)
}

/// Opens the volume. One whose journals cannot be replayed is opened as it lies.
async fn open(device: Arc<dyn BlockDevice>, out: &mut Findings) -> Result<Volume, OpenError> {
    let options = OpenOptions { cache_bytes: 4 << 20, replay: true };
    let volume = match Volume::open(Arc::clone(&device), options.clone()).await {
        Err(OpenError::Journal { slot, source }) => {
            let message = format!("journal:{slot:04} is dirty and cannot be replayed: {source}");
            out.push(Finding::new(Code::JournalFileInvalid, message).slot(Some(slot)));
            Volume::open(device, OpenOptions { replay: false, ..options }).await?
        }
        result => result?,
    };
    for warning in volume.warnings() {
        let code = match warning {
            Warning::BackupSuperblock { .. } => Code::RecoverBackupSuperblock,
            Warning::RepairedSuperblock => Code::BadCrc32,
            Warning::SystemDir { .. } | Warning::SystemFile { .. } => Code::SystemFileMissing,
            Warning::Truncated { .. } => Code::BlockUnreadable,
            _ => continue,
        };
        let why = std::error::Error::source(warning).map_or_else(String::new, |source| format!(": {source}"));
        out.push(Finding::new(code, format!("{warning}{why}")));
    }
    Ok(volume)
}

/// A check under way.
struct Run<'a, S> {
    ctx: Ctx,
    sink: &'a mut (dyn Sink + Send),
    spawn: S,
    summary: Summary,
    inodes: Vec<InodeState>,
    shared: Vec<Shared>,
    attached: Vec<(u64, u64)>,
    metadata: Vec<u64>,
    users: BTreeMap<u32, Usage>,
    groups: BTreeMap<u32, Usage>,
}

impl<S, F> Run<'_, S>
where
    S: Fn(Job) -> F,
    F: Future<Output = Option<JobPart>>,
{
    fn tell(&mut self, out: &mut Findings) {
        self.summary.findings += out.drain(self.sink);
    }

    fn progress(
        &mut self,
        (pass, doing): (&'static str, &'static str),
        (done, total): (u64, u64),
        unit: &'static str,
    ) {
        self.sink.progress(&Progress { pass, doing, done, total, unit });
    }

    async fn passes(&mut self) {
        let ctx = self.ctx.clone();
        let mut out = Findings::default();
        self.progress(("0", "superblock and journals"), (0, 1), "steps");
        superblock::check(&ctx, &mut out).await;
        journals::check(&ctx, &mut out).await;
        self.tell(&mut out);
        self.progress(("0", "allocators"), (0, 1), "steps");
        let allocators = Arc::new(chains::check(&ctx, self.sink, &mut self.summary.findings).await);
        let mut map = ClusterMap::new(&ctx);
        clusters::fixed(&ctx, &allocators, &mut map);
        locals::check(&ctx, &mut out, &mut map).await;
        self.tell(&mut out);
        self.scan(&allocators, &mut map).await;
        refcounts::claim(&mut self.shared, &mut map);
        if map.has_twice() {
            self.owners(&allocators, &map, &mut out).await;
        }
        let attached = std::mem::take(&mut self.attached);
        let blocks = refcounts::check(&ctx, &mut out, &allocators, attached, &self.shared).await;
        self.metadata.extend(blocks);
        self.tell(&mut out);
        self.progress(("1", "bitmaps"), (0, 1), "steps");
        let metadata = std::mem::take(&mut self.metadata);
        metadata::check(&ctx, &mut out, &allocators, metadata).await;
        self.summary.clusters = clusters::compare(&ctx, &mut out, &allocators, &map).await;
        self.tell(&mut out);
        drop(map);
        drop(allocators);
        self.shared = Vec::new();
        self.dirs().await;
        self.progress(("5", "quota files"), (0, 1), "steps");
        quotas::check(&ctx, &mut out, &self.users, &self.groups).await;
        self.tell(&mut out);
    }

    /// Pass 1: every inode group.
    async fn scan(&mut self, allocators: &Arc<Allocators>, map: &mut ClusterMap) {
        let total = allocators.groups_of(Kind::Inodes).map(|group| u64::from(group.bits)).sum();
        let mut done = 0;
        let ctx = self.ctx.clone();
        let jobs = scan_jobs(&ctx, allocators);
        let spawn = &self.spawn;
        let mut parts = std::pin::pin!(futures_util::stream::iter(jobs).map(spawn).buffered(JOBS));
        while let Some(part) = parts.next().await {
            let Some(JobPart(mut part)) = part else { continue };
            done += part.units;
            self.summary.findings += part.out.drain(self.sink);
            self.inodes.append(&mut part.inodes);
            self.shared.append(&mut part.shared);
            self.attached.append(&mut part.attached);
            self.metadata.append(&mut part.metadata);
            add_usage(&mut self.users, part.users);
            add_usage(&mut self.groups, part.groups);
            for claim in &part.claims {
                map.claim(claim.start, claim.count);
            }
            self.sink.progress(&Progress { pass: "1", doing: "inodes", done, total, unit: "blocks" });
        }
    }

    /// Pass 1b: who claims the clusters that two claim.
    async fn owners(&mut self, allocators: &Arc<Allocators>, map: &ClusterMap, out: &mut Findings) {
        let total = allocators.groups_of(Kind::Inodes).map(|group| u64::from(group.bits)).sum();
        let (mut done, ctx) = (0, self.ctx.clone());
        let jobs = scan_jobs(&ctx, allocators);
        let spawn = &self.spawn;
        let mut parts = std::pin::pin!(futures_util::stream::iter(jobs).map(spawn).buffered(JOBS));
        while let Some(part) = parts.next().await {
            let Some(JobPart(part)) = part else { continue };
            done += part.units;
            for claim in &part.claims {
                clusters::owner(out, map, claim);
            }
            clusters::sharers(out, map, &part.shared);
            self.summary.findings += out.drain(self.sink);
            self.sink.progress(&Progress { pass: "1b", doing: "owners", done, total, unit: "blocks" });
        }
    }

    /// Passes 2 to 4: directories and links.
    async fn dirs(&mut self) {
        let table = Arc::new(Table::new(std::mem::take(&mut self.inodes)));
        let slots = 0..self.ctx.format().max_slots;
        let orphan_dirs: BTreeMap<u64, u16> = slots
            .filter_map(|slot| Some((self.ctx.volume.system_file(SystemFile::OrphanDir(slot))?.0, slot)))
            .collect();
        let orphan_dirs = Arc::new(orphan_dirs);
        let dirs: Vec<u32> =
            table.iter().filter(|(_, state)| state.is_dir()).map(|(index, _)| index).collect();
        (self.summary.inodes, self.summary.dirs) = (table.len() as u64, dirs.len() as u64);
        let mut links = Links::new(Arc::clone(&table));
        let (mut done, total) = (0, dirs.len() as u64);
        let ctx = self.ctx.clone();
        let jobs: Vec<Job> = (dirs.chunks(DIRS))
            .map(|dirs| {
                Job(Work::Dirs(DirJob {
                    ctx: ctx.clone(),
                    table: Arc::clone(&table),
                    orphan_dirs: Arc::clone(&orphan_dirs),
                    dirs: dirs.to_vec(),
                }))
            })
            .collect();
        let Self { spawn, sink, summary, .. } = self;
        let mut parts = std::pin::pin!(futures_util::stream::iter(jobs).map(&*spawn).buffered(JOBS));
        while let Some(part) = parts.next().await {
            let Some(JobPart(mut part)) = part else { continue };
            done += part.units;
            for dir in part.dirs.drain(..) {
                links.take(&mut part.out, dir, &orphan_dirs);
            }
            summary.findings += part.out.drain(*sink);
            sink.progress(&Progress { pass: "2", doing: "directories", done, total, unit: "directories" });
        }
        let mut out = Findings::default();
        links.finish(&ctx, &mut out).await;
        summary.orphans = links.pending();
        summary.findings += out.drain(*sink);
    }
}

/// The jobs of pass 1, made as they are wanted.
fn scan_jobs<'a>(ctx: &'a Ctx, allocators: &'a Arc<Allocators>) -> impl Iterator<Item = Job> + use<'a> {
    let groups = allocators.groups_of(Kind::Inodes);
    groups.flat_map(move |group| ScanJob::of_group(ctx, allocators, group)).map(|job| Job(Work::Scan(job)))
}

fn add_usage(sum: &mut BTreeMap<u32, Usage>, part: BTreeMap<u32, Usage>) {
    for (id, usage) in part {
        let total = sum.entry(id).or_default();
        total.space += usage.space;
        total.inodes += usage.inodes;
    }
}
