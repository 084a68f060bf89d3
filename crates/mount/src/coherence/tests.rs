//! The giver against a model of the kernel's half: pages that are locked while they are read, a walk that waits for
//! them, answers that arrive late, mapped pages that become dirty unseen.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::Ino;

const INO: Ino = Ino(7);
const PAGES: usize = 5;
const PAGE: u64 = 4096;

/// A page of the kernel's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Absent,
    /// Being read: a READ is on its way.
    Locked,
    /// As it was in that life of the lock.
    Cached(u32),
    /// Changed through a mapping.
    Dirty(u32),
    /// Being written back.
    Writing(u32),
}

/// A request between kernel and daemon.
#[derive(Clone, Copy, Debug)]
enum Request {
    Read(usize, usize),
    WriteBack(usize),
    Attributes,
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A program does what is next in its script.
    Program,
    /// A request of the queue reaches the daemon.
    Receive,
    /// A request that passed is answered, and the kernel takes the answer in.
    Answer(usize),
    /// The notification's walk takes one step.
    Walk,
    /// Another node wants the lock.
    Want(Want),
    /// The lock is lowered, changed elsewhere, and had again.
    Lower(Want),
}

/// What programs do.
#[derive(Clone, Copy, Debug)]
enum Act {
    Read(usize, usize),
    Store(usize),
    Stat,
}

/// Kernel, daemon and cluster lock of one inode.
#[derive(Debug)]
struct World {
    giver: Giver,
    mapped: bool,
    pages: [Page; PAGES],
    /// Attributes that the kernel relies on, of that life of the lock.
    attrs: Option<u32>,
    queue: VecDeque<Request>,
    served: Vec<(Request, Option<Filling>, u32)>,
    held: Vec<(Filling, Request)>,
    walk: Option<(Option<ByteRange>, usize)>,
    ready: Option<Want>,
    /// Lives of the lock: it grows when another node changes the inode.
    life: u32,
    script: VecDeque<Act>,
    wants: VecDeque<Want>,
    given: usize,
}

fn range(at: usize, len: usize) -> ByteRange {
    let start = u64::try_from(at).expect("small") * PAGE;
    ByteRange { start, end: start + u64::try_from(len).expect("small") * PAGE }
}

impl World {
    fn new(script: Vec<Act>, wants: Vec<Want>, mapped: bool) -> Self {
        let mut giver = Giver::default();
        if mapped {
            assert!(giver.mapped(INO));
        }
        Self {
            giver,
            mapped,
            pages: [Page::Absent; PAGES],
            attrs: None,
            queue: VecDeque::new(),
            served: Vec::new(),
            held: Vec::new(),
            walk: None,
            ready: None,
            life: 0,
            script: script.into(),
            wants: wants.into(),
            given: 0,
        }
    }

    /// All that can happen now.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.script.front().is_some_and(|act| self.can(*act)) {
            steps.push(Step::Program);
        }
        if !self.queue.is_empty() {
            steps.push(Step::Receive);
        }
        // Those that passed are answered under the lock that is held: not between giving it up and having it again.
        steps.extend((0..self.served.len()).map(Step::Answer));
        if self.walk.is_some_and(|walk| self.can_walk(walk)) {
            steps.push(Step::Walk);
        }
        if self.ready.is_none()
            && let Some(want) = self.wants.front()
        {
            steps.push(Step::Want(*want));
        }
        if let Some(want) = self.ready {
            steps.push(Step::Lower(want));
        }
        steps
    }

    /// A program waits for a page that is being read.
    fn can(&self, act: Act) -> bool {
        match act {
            Act::Read(at, len) => !self.pages[at..at + len].contains(&Page::Locked),
            Act::Store(at) => self.pages[at] != Page::Locked,
            Act::Stat => true,
        }
    }

    fn can_walk(&self, (range, at): (Option<ByteRange>, usize)) -> bool {
        match range {
            Some(pages) if at < PAGES && pages.meets(self::range(at, 1)) => {
                !matches!(self.pages[at], Page::Locked | Page::Writing(_))
            }
            _ => true,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Program => {
                let act = self.script.pop_front().expect("a script");
                self.act(act);
            }
            Step::Receive => {
                let request = self.queue.pop_front().expect("a request");
                self.receive(request);
            }
            Step::Answer(at) => {
                let (request, filling, life) = self.served.remove(at);
                self.answer(request, filling, life);
            }
            Step::Walk => self.walk_on(),
            Step::Want(want) => {
                self.wants.pop_front();
                self.giver.wanted(INO, want);
            }
            Step::Lower(want) => {
                self.ready = None;
                self.given += 1;
                if want == Want::Change {
                    self.life += 1;
                }
                self.giver.lowered(INO);
            }
        }
        self.drain();
        self.check();
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Read(at, len) => {
                let absent: Vec<usize> =
                    (at..at + len).filter(|at| self.pages[*at] == Page::Absent).collect();
                if let (Some(first), Some(last)) = (absent.first(), absent.last()) {
                    // In between may lie pages that are there: several READs then.
                    for at in &absent {
                        self.pages[*at] = Page::Locked;
                    }
                    if last - first + 1 == absent.len() {
                        self.queue.push_back(Request::Read(*first, absent.len()));
                    } else {
                        self.queue.extend(absent.iter().map(|at| Request::Read(*at, 1)));
                    }
                }
            }
            Act::Store(at) if self.mapped => {
                if let Page::Cached(life) = self.pages[at] {
                    self.pages[at] = Page::Dirty(life);
                }
            }
            Act::Store(_) => {}
            Act::Stat => {
                if self.attrs.is_none() {
                    self.queue.push_back(Request::Attributes);
                }
            }
        }
    }

    fn receive(&mut self, request: Request) {
        match request {
            Request::Read(at, len) => match self.giver.read(INO, range(at, len)) {
                (filling, Pass::Now) => self.served.push((request, Some(filling), self.life)),
                (filling, Pass::Later) => self.held.push((filling, request)),
            },
            Request::WriteBack(at) => {
                let filling = self.giver.write_back(INO, range(at, 1));
                self.served.push((request, Some(filling), self.life));
            }
            Request::Attributes => {
                let filling = self.giver.attributes(INO);
                self.served.push((request, filling, self.life));
            }
        }
    }

    fn answer(&mut self, request: Request, filling: Option<Filling>, life: u32) {
        match request {
            Request::Read(at, len) => {
                for page in &mut self.pages[at..at + len] {
                    assert_eq!(*page, Page::Locked);
                    *page = Page::Cached(life);
                }
            }
            Request::WriteBack(at) => {
                assert_eq!(life, self.life, "written under the lock");
                let Page::Writing(life) = self.pages[at] else { panic!("not being written") };
                self.pages[at] = Page::Cached(life);
            }
            // Without a filling it may be relied on for no time.
            Request::Attributes => self.attrs = filling.map(|_| life).or(self.attrs),
        }
        if let Some(filling) = filling {
            self.giver.done(filling);
        }
    }

    fn walk_on(&mut self) {
        let Some((range, at)) = self.walk else { return };
        if at == 0 {
            self.attrs = None;
        }
        let inside = range.is_some_and(|pages| at < PAGES && pages.meets(self::range(at, 1)));
        if inside {
            match self.pages[at] {
                Page::Dirty(life) => {
                    self.pages[at] = Page::Writing(life);
                    self.queue.push_back(Request::WriteBack(at));
                    return;
                }
                Page::Cached(_) => self.pages[at] = Page::Absent,
                _ => {}
            }
        }
        if at + 1 < PAGES {
            self.walk = Some((range, at + 1));
        } else {
            self.walk = None;
            self.giver.notified(INO);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.giver.poll_output() {
            match output {
                Output::Notify { ino, pages } => {
                    assert_eq!((ino, self.walk), (INO, None), "one at a time");
                    self.walk = Some((pages, 0));
                }
                Output::Ready { want, .. } => {
                    assert_eq!(self.ready, None);
                    self.ready = Some(want);
                }
                Output::Admit { filling } => {
                    let at = self.held.iter().position(|(held, _)| *held == filling).expect("it was held");
                    let (filling, request) = self.held.remove(at);
                    self.served.push((request, Some(filling), self.life));
                }
            }
        }
    }

    /// What must hold at all times: nothing old is relied on, and what is about to be given up is not relied on.
    fn check(&self) {
        let clean = self.ready == Some(Want::Change);
        for page in self.pages {
            match page {
                Page::Cached(life) | Page::Dirty(life) | Page::Writing(life) => {
                    assert_eq!(life, self.life, "an old page: {self:?}");
                    assert!(!clean, "a page is left: {self:?}");
                    assert!(self.ready.is_none() || !self.mapped, "a page is left that may become dirty");
                }
                Page::Absent | Page::Locked => {}
            }
        }
        if let Some(life) = self.attrs {
            assert_eq!(life, self.life, "old attributes: {self:?}");
            assert!(!clean, "attributes are left: {self:?}");
        }
        if clean {
            assert!(!self.served.iter().any(|(_, filling, _)| filling.is_some()), "on its way: {self:?}");
        }
    }

    fn over(&self) -> bool {
        self.script.is_empty() && self.wants.is_empty() && self.queue.is_empty() && self.served.is_empty()
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..PAGES, 1..=PAGES).prop_map(|(at, len)| Act::Read(at, len.min(PAGES - at))),
        2 => (0..PAGES).prop_map(Act::Store),
        2 => Just(Act::Stat),
    ]
}

/// Lets everything happen in the order that `choices` say. The lock is given up every time it is wanted, and everybody
/// gets their answer.
fn run(script: Vec<Act>, wants: Vec<Want>, mapped: bool, choices: Vec<u16>) {
    let wanted = wants.len();
    let mut world = World::new(script, wants, mapped);
    let mut choices = choices.into_iter();
    for turn in 0usize.. {
        let steps = world.steps();
        if steps.is_empty() {
            assert!(world.over() && world.held.is_empty() && world.walk.is_none(), "stuck: {world:?}");
            break;
        }
        assert!(turn < 5000, "it does not end");
        let choice = choices.next().map_or(turn, usize::from);
        world.take(steps[choice % steps.len()]);
    }
    assert!(world.given >= 1 && world.given <= wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(4000)))]

    /// Whatever the order of things, nobody relies on what is old.
    #[test]
    fn every_order_ends_and_is_coherent(
        script in prop::collection::vec(act(), 0..40),
        wants in prop::collection::vec(prop_oneof![Just(Want::Read), Just(Want::Change)], 1..6),
        mapped: bool,
        choices in prop::collection::vec(any::<u16>(), 0..400),
    ) {
        run(script, wants, mapped, choices);
    }
}

/// A READ was on its way while the lock was lowered for readers, which it may be; its page came after, and the giver had
/// forgotten of it: when the lock was wanted for a change the page was left.
#[test]
fn a_read_that_outlasts_a_lowering_for_readers_is_known_at_the_next() {
    let script = vec![
        Act::Read(1, 4),
        Act::Store(0),
        Act::Stat,
        Act::Read(1, 1),
        Act::Read(1, 1),
        Act::Read(0, 1),
        Act::Stat,
        Act::Read(1, 1),
    ];
    let choices = vec![
        1256, 39811, 5151, 3587, 32325, 25586, 21499, 41751, 22732, 28823, 8378, 65093, 17406, 10223, 46075,
        0, 18708, 1269, 19335, 2737, 4699, 18199, 20359,
    ];
    run(script, vec![Want::Read, Want::Read, Want::Change, Want::Read], false, choices);
}

#[test]
fn what_says_nothing_takes_no_room() {
    let mut giver = Giver::default();
    for at in 0..100 {
        let (filling, pass) = giver.read(Ino(at), range(0, 1));
        assert_eq!(pass, Pass::Now);
        giver.done(filling);
        let filling = giver.attributes(Ino(at)).expect("the lock is not wanted");
        giver.done(filling);
        giver.wanted(Ino(at), Want::Read);
        giver.lowered(Ino(at));
    }
    assert!(giver.is_empty());
}

#[test]
fn names_are_kept_only_where_nobody_else_changes_them() {
    let shared = Policy::Shared { direct_mmap: true };
    assert_eq!(shared.entry_ttl(), Duration::ZERO);
    assert!(Policy::Alone.entry_ttl() > Duration::from_secs(3600));
    let open = |policy: Policy, flags: OFlags| policy.open(flags.bits());
    assert!(!open(shared, OFlags::RDONLY).direct_io && open(shared, OFlags::WRONLY).direct_io);
    assert!(open(shared, OFlags::RDWR).maps_shared && !open(shared, OFlags::WRONLY).maps_shared);
    assert!(!open(Policy::Shared { direct_mmap: false }, OFlags::RDWR).maps_shared);
    assert!(open(Policy::Alone, OFlags::RDWR).keep_cache && !open(Policy::Alone, OFlags::RDWR).direct_io);
}
