//! Follows a control plane on another machine, on a thread of its own: asks for what comes next and hands it to the agent.

use crate::app::chain_of;
use crate::changes::feed::{Feed, Snapshot};
use crate::changes::transfer;
use crate::db::stream::Position;
use crate::edge::board::{Board, TableCheck};
use crate::edge::control_plane::ControlPlane;
use crate::edge::mirror::Mirror;
use crate::edge::offer_back;
use crate::edge::source::{Source, SourceError};
use crate::random;
use apikey::{CheckValue, Group};
use edgeformat::{Revocation, StreamId};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the thread rests after a failure: the first is doubled with each further one up to the last; of each a random
/// half is left out, so that edges that were cut off together do not all come back in the same moment.
const REST_MIN: Duration = Duration::from_millis(200);
const REST_MAX: Duration = Duration::from_secs(30);
/// How often a resting thread looks whether it should stop.
const STOP_LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the follower and the agent know of each other.
#[derive(Debug, Default)]
struct Link {
    /// Why the control plane cannot be followed now.
    problem: Mutex<Option<String>>,
    /// How many times everything was asked for. What was asked before the last time is not used: it may be of a moment
    /// before an offer was taken in, or follow from what is no longer known.
    epoch: AtomicU64,
    /// How many offers in a row have failed: each costs a snapshot, so they come slower and slower.
    failed_offers: AtomicU32,
}

struct Arrived {
    /// The count when it was asked for.
    epoch: u64,
    /// After what it was asked for; none for everything.
    asked: Option<Position>,
    feed: Feed,
    check: Option<TableCheck>,
    key_groups: BTreeMap<Group, CheckValue>,
}

/// The agent's end.
pub struct RemoteSource {
    arrived: Receiver<Arrived>,
    link: Arc<Link>,
    check: Option<TableCheck>,
    key_groups: Option<BTreeMap<Group, CheckValue>>,
    control_plane: Arc<ControlPlane>,
    /// To which history the edge's revocations were offered.
    offered: Option<StreamId>,
}

/// Starts following after `known`; with nothing known everything comes first.
///
/// # Errors
/// The operating system gave no thread.
pub fn start(
    control_plane: Arc<ControlPlane>,
    known: Option<Position>,
    board: Arc<Board>,
) -> std::io::Result<RemoteSource> {
    let link = Arc::new(Link::default());
    // One waits while the agent is busy with the one before; the control plane is asked no faster.
    let (sender, arrived) = sync_channel(1);
    let follower =
        Follower { control_plane: Arc::clone(&control_plane), board, link: Arc::clone(&link), sender };
    std::thread::Builder::new().name("edge-follower".to_owned()).spawn(move || follower.run(known))?;
    Ok(RemoteSource { arrived, link, check: None, key_groups: None, control_plane, offered: None })
}

impl RemoteSource {
    /// Waits for the first snapshot, for an edge whose files are missing or damaged; none when the program stops. What can
    /// still be read of files of another history is offered before.
    pub fn first_snapshot(&mut self, maps: &Path, board: &Board) -> Option<Snapshot> {
        let mut logged = None;
        while !board.is_stopping() {
            match self.arrived.recv_timeout(STOP_LOOK_EVERY) {
                Ok(Arrived { feed: Feed::Snapshot(snapshot), .. }) => {
                    let known = offer_back::known_on_disk(maps, snapshot.position.stream);
                    if known.is_empty() || self.offered == Some(snapshot.position.stream) {
                        return Some(snapshot);
                    }
                    // Whatever history it is, it is another one.
                    let stream = StreamId::from_u64(!snapshot.position.stream.get());
                    let theirs = Position { stream, sequence: 0 };
                    if let Err(error) = self.offer_to(snapshot.position.stream, theirs, known) {
                        tracing::warn!(
                            error = chain_of(&error),
                            "the revocations on disk could not be offered"
                        );
                    }
                    self.link.ask_anew();
                }
                Ok(_) => self.link.ask_anew(),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let problem = self.link.problem();
                    if let Some(problem) = problem.as_ref().filter(|_| problem != logged) {
                        tracing::warn!(problem, "nothing is known yet; trying again");
                    }
                    logged = problem;
                }
            }
        }
        None
    }
}

impl RemoteSource {
    fn offer_to(
        &mut self,
        to: StreamId,
        theirs: Position,
        known: Vec<Revocation>,
    ) -> Result<(), SourceError> {
        if let Err(error) = self.control_plane.offer(theirs, known) {
            self.link.failed_offers.fetch_add(1, Ordering::Relaxed);
            return Err(SourceError::CutOff(chain_of(&error)));
        }
        self.link.failed_offers.store(0, Ordering::Relaxed);
        self.offered = Some(to);
        Ok(())
    }
}

impl Source for RemoteSource {
    fn after(&mut self, known: Position) -> Result<Feed, SourceError> {
        let nothing = Ok(Feed::Changes(Vec::new()));
        let arrived = match self.arrived.try_recv() {
            Ok(arrived) => arrived,
            Err(TryRecvError::Empty) => {
                return self.link.problem().map_or(nothing, |why| Err(SourceError::CutOff(why)));
            }
            Err(TryRecvError::Disconnected) => {
                let why = "the thread that follows it has ended, which is a fault of suiftly; restart `suiftly agent`";
                return Err(SourceError::CutOff(why.to_owned()));
            }
        };
        if arrived.epoch != self.link.epoch() {
            return nothing;
        }
        if matches!(arrived.feed, Feed::Changes(_)) && arrived.asked != Some(known) {
            self.link.ask_anew();
            return nothing;
        }
        (self.check, self.key_groups) = (arrived.check, Some(arrived.key_groups));
        Ok(arrived.feed)
    }

    fn anew(&mut self) -> Result<Option<Snapshot>, SourceError> {
        self.link.ask_anew();
        Ok(None)
    }

    fn offer(&mut self, mirror: &Mirror, snapshot: Snapshot) -> Result<Option<Snapshot>, SourceError> {
        let to = snapshot.position.stream;
        if self.offered == Some(to) && to != mirror.position().stream {
            return Ok(Some(snapshot));
        }
        let told = self.offer_to(to, mirror.position(), mirror.revocations().values().copied().collect());
        // Afterwards, and in any case: what was asked before may lack what was offered.
        self.link.ask_anew();
        told.map(|()| None)
    }

    fn key_groups(&mut self) -> Option<BTreeMap<Group, CheckValue>> {
        self.key_groups.take()
    }

    fn compare(&mut self, mirror: &Mirror) {
        let Some(check) = self.check.take_if(|check| check.position == mirror.position()) else { return };
        let digests = [mirror.policies_digest(), mirror.revocations_digest(), mirror.allowlists_digest()];
        if [check.policies, check.revocations, check.allowlists] != digests.map(|digest| digest.to_string()) {
            tracing::error!(
                sequence = mirror.position().sequence,
                "the control plane has other tables at this change than the change log led to; everything is asked for anew"
            );
            self.link.ask_anew();
        }
    }
}

impl Link {
    fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers whether it is another one than before.
    fn set_problem(&self, problem: Option<String>) -> bool {
        let mut held = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = *held != problem;
        *held = problem;
        is_other
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn ask_anew(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }
}

struct Follower {
    control_plane: Arc<ControlPlane>,
    board: Arc<Board>,
    link: Arc<Link>,
    sender: SyncSender<Arrived>,
}

impl Follower {
    fn run(self, mut known: Option<Position>) {
        let (mut failures, mut resyncs, mut served) = (0, None, 0);
        while !self.board.is_stopping() {
            let epoch = self.link.epoch();
            let asked = known.filter(|_| epoch == served);
            let failed_offers = self.link.failed_offers.load(Ordering::Relaxed);
            if asked.is_none() && failed_offers > 0 {
                self.rest(rest_after(failed_offers));
            }
            match self.control_plane.changes(asked, resyncs) {
                Ok((about, feed)) => {
                    (failures, served) = (0, epoch);
                    let is_back = self.link.set_problem(None);
                    let is_first = resyncs.is_none();
                    resyncs = Some(about.resyncs);
                    self.board.take_in_resyncs(about.resyncs);
                    // A change is on top of what was known; before anything is known only a snapshot is of use.
                    let from = asked.unwrap_or(Position { stream: StreamId::from_u64(0), sequence: 0 });
                    let end = transfer::end_of(from, &feed);
                    let is_empty = matches!(&feed, Feed::Changes(changes) if changes.is_empty());
                    if is_empty && about.check.is_none() && !is_back && !is_first {
                        continue;
                    }
                    known = Some(end);
                    if self
                        .sender
                        .send(Arrived {
                            epoch,
                            asked,
                            feed,
                            check: about.check,
                            key_groups: about.key_groups,
                        })
                        .is_err()
                    {
                        return;
                    }
                    self.board.wake();
                }
                Err(error) => {
                    failures += 1;
                    if self.link.set_problem(Some(chain_of(&error))) {
                        tracing::warn!(
                            control_plane = self.control_plane.url(),
                            error = chain_of(&error),
                            "cut off from the control plane; the edge goes on with what it has. Trying again"
                        );
                        self.board.wake();
                    }
                    self.rest(rest_after(failures));
                }
            }
        }
    }

    fn rest(&self, pause: Duration) {
        let mut rested = Duration::ZERO;
        while rested < pause && !self.board.is_stopping() {
            let step = STOP_LOOK_EVERY.min(pause - rested);
            std::thread::sleep(step);
            rested += step;
        }
    }
}

/// The pause after so many failures in a row.
fn rest_after(failures: u32) -> Duration {
    let doubled = REST_MIN.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
    let whole = doubled.min(REST_MAX);
    // Without randomness the whole pause is as good.
    let Ok(random) = random::any_u32() else { return whole };
    whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_is_bounded_and_is_not_the_same_for_all() {
        for (failures, whole_ms) in [(1, 200), (2, 400), (5, 3_200), (9, 30_000), (u32::MAX, 30_000)] {
            for _ in 0..50 {
                let ms = rest_after(failures).as_millis();
                assert!((whole_ms / 2..=whole_ms).contains(&ms), "{failures}: {ms}");
            }
        }
        let some: std::collections::BTreeSet<Duration> = (0..20).map(|_| rest_after(5)).collect();
        assert!(some.len() > 10, "{some:?}");
    }
}
