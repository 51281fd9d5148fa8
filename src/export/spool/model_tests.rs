//! The spool beside a simple model of it, under actions in any order on a machine that fails.
//!
//! The model is a list of records in the order they were put in, and what is known of each. It knows
//! nothing of segments, files or notes; it knows what `docs/spool.md` promises.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::parcel::{Parcel, Signal};
use super::store::Spool;
use super::testing::{Call, Machine, all, config, id, ids, parcel};
use super::{Config, GivenUp, Items, Ticket};

/// The calls that bring what was written to the disk.
const SYNCS: [Call; 3] = [Call::Open, Call::Sync, Call::SyncDirectory];

#[derive(Clone, Debug)]
enum Action {
    Append(usize),
    Oldest,
    Acknowledge(Index),
    Release(Index),
    Wait(u64),
    Break(Call),
    WriteShort,
    FillUp(usize),
    Mend,
    /// The process ends, and the next one opens the spool.
    Kill,
    /// The machine ends, and so on.
    CutPower,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        24 => (8_usize..700).prop_map(Action::Append),
        2 => (700_usize..5_000).prop_map(Action::Append),
        14 => Just(Action::Oldest),
        9 => any::<Index>().prop_map(Action::Acknowledge),
        3 => any::<Index>().prop_map(Action::Release),
        7 => (0_u64..1_500).prop_map(Action::Wait),
        2 => select(&Call::ALL[2..]).prop_map(Action::Break),
        1 => Just(Action::WriteShort),
        1 => (0_usize..2_000).prop_map(Action::FillUp),
        5 => Just(Action::Mend),
        2 => Just(Action::Kill),
        2 => Just(Action::CutPower),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Unreadable,
    Out(Ticket),
    Gone,
}

#[derive(Clone, Debug)]
struct Record {
    parcel: Parcel,
    written_at: u64,
    state: State,
    /// Whether it is on the disk for certain.
    is_synced: bool,
    /// Where it is gone: whether the next process knows, and whether the next machine does.
    is_noted: bool,
    is_gone_for_good: bool,
}

impl Record {
    fn items(&self) -> (Signal, u32) {
        (self.parcel.signal, u32::try_from(self.parcel.items).expect("few"))
    }

    fn waits(&self) -> bool {
        matches!(self.state, State::Waiting | State::Unreadable)
    }
}

struct Run {
    machine: Machine,
    config: Config,
    spool: Option<Spool>,
    records: Vec<Record>,
    /// What could not be put in, and may be there all the same.
    refused: BTreeSet<u64>,
    next: u64,
    now: u64,
    /// How often bringing to the disk had failed when the spool was opened.
    failed_syncs: usize,
    /// Only a cut leaves what is neither a record nor a torn end.
    was_cut: bool,
}

impl Run {
    fn new(seed: u64, sync: u64) -> Self {
        let machine = Machine::new(seed);
        let mut config = config();
        config.sync = std::time::Duration::from_millis(sync);
        let spool = Some(machine.open(&config, 0).expect("an empty folder").0);
        let (records, refused) = (Vec::new(), BTreeSet::new());
        Self {
            machine,
            config,
            spool,
            records,
            refused,
            next: 0,
            now: 0,
            failed_syncs: 0,
            was_cut: false,
        }
    }

    fn spool(&mut self) -> &mut Spool {
        self.spool.as_mut().expect("it is open")
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Append(bytes) => self.append(*bytes),
            Action::Oldest => self.oldest(),
            Action::Acknowledge(which) => self.acknowledge(*which),
            Action::Release(which) => self.release(*which),
            Action::Wait(time) => {
                self.now += time;
                let now = self.now;
                self.spool().tick(now);
                self.expire();
            }
            Action::Break(call) => self.machine.break_down(*call),
            Action::WriteShort => self.machine.write_short(),
            Action::FillUp(room) => self.machine.fill_up(*room),
            Action::Mend => self.machine.mend(),
            Action::Kill => self.reopen(false),
            Action::CutPower => self.reopen(true),
        }
        self.check();
    }

    /// What is too old is given up, and told.
    fn expire(&mut self) {
        let expired = self.take_expired();
        let given_up = self.spool().take_given_up();
        assert_eq!(given_up, GivenUp { expired, ..GivenUp::default() });
    }

    fn take_expired(&mut self) -> Items {
        let mut expired = Items::default();
        for record in self.records.iter_mut().filter(|record| record.waits()) {
            if record.written_at + 10_000 <= self.now {
                record.state = State::Gone;
                let (signal, items) = record.items();
                expired.add(signal, items);
            }
        }
        expired
    }

    fn append(&mut self, bytes: usize) {
        let parcel = parcel(self.next, bytes);
        let now = self.now;
        let appended = self.spool().append(&parcel, now);
        let given_up = self.spool().take_given_up();
        assert_eq!(given_up.expired, self.take_expired());
        assert_eq!(given_up.damaged, Items::default());
        self.give_up_oldest(given_up.full);
        match appended {
            Ok(()) => {
                assert!(self.spool().bytes() <= self.config.max_bytes, "it is full");
                let is_synced = self.config.sync.is_zero();
                self.records.push(Record {
                    parcel,
                    written_at: now,
                    state: State::Waiting,
                    is_synced,
                    is_noted: false,
                    is_gone_for_good: false,
                });
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                self.refused.insert(self.next);
            }
        }
        self.next += 1;
    }

    /// The oldest that wait are given up, so many items, and whole records of course.
    fn give_up_oldest(&mut self, full: Items) {
        let mut given_up = Items::default();
        for record in self.records.iter_mut().filter(|record| record.waits()) {
            if given_up == full {
                return;
            }
            record.state = State::Gone;
            let (signal, items) = record.items();
            given_up.add(signal, items);
        }
        assert_eq!(given_up, full, "the items of the oldest records");
    }

    fn oldest(&mut self) {
        let now = self.now;
        let stored = self.spool().oldest(now);
        self.expire();
        let is = |state: State| move |record: &&mut Record| record.state == state;
        let any = self.records.iter().any(|record| record.state == State::Waiting);
        let state = if any { State::Waiting } else { State::Unreadable };
        let expected = self.records.iter_mut().find(is(state));
        match (stored, expected) {
            (Ok(None), None) => {}
            (Ok(Some(stored)), Some(record)) => {
                assert_eq!(stored.parcel, record.parcel);
                assert_eq!(stored.written_at, record.written_at);
                record.state = State::Out(stored.ticket);
            }
            (Err(_), Some(record)) => record.state = State::Unreadable,
            (stored, expected) => panic!("{stored:?} where {expected:?} was expected"),
        }
    }

    /// One of those that are out, whichever.
    fn out(&self, which: Index) -> Option<(usize, Ticket)> {
        let out = self.records.iter().enumerate().filter_map(|(at, record)| match record.state {
            State::Out(ticket) => Some((at, ticket)),
            _ => None,
        });
        let out: Vec<_> = out.collect();
        (!out.is_empty()).then(|| *which.get(&out))
    }

    fn acknowledge(&mut self, which: Index) {
        let Some((at, ticket)) = self.out(which) else { return };
        let now = self.now;
        self.spool().acknowledge(ticket, now);
        self.records[at].state = State::Gone;
        self.expire();
        // A second time it means nothing.
        self.spool().acknowledge(ticket, now);
    }

    fn release(&mut self, which: Index) {
        let Some((at, ticket)) = self.out(which) else { return };
        let is_adrift = self.spool().is_adrift(ticket);
        self.spool().release(ticket);
        let mut full = Items::default();
        if is_adrift {
            let (signal, items) = self.records[at].items();
            full.add(signal, items);
        }
        self.records[at].state = if is_adrift { State::Gone } else { State::Waiting };
        let given_up = self.spool().take_given_up();
        assert_eq!(given_up, GivenUp { full, ..GivenUp::default() });
    }

    /// What was promised is still there, what comes out was once put in, and in that order.
    fn reopen(&mut self, is_power_cut: bool) {
        self.forget_adrift();
        drop(self.spool.take());
        if is_power_cut {
            self.machine.cut_power();
        }
        self.machine.kill();
        self.machine.mend();
        let (mut spool, recovered) =
            self.machine.open(&self.config, self.now).expect("the machine is mended");
        assert_eq!(spool.held(), recovered.items);
        self.was_cut |= is_power_cut;
        assert!(self.was_cut || recovered.damaged_bytes == 0, "{recovered:?}");
        assert_eq!(recovered.left_alone, []);
        let stored = all(&mut spool, self.now);
        let mut found = Items::default();
        let mut expired = spool.take_given_up().expired;
        for one in &stored {
            found.add(one.parcel.signal, u32::try_from(one.parcel.items).expect("few"));
        }
        expired.extend(&found);
        assert_eq!(expired, recovered.items, "exactly what was said to be found");
        let present: Vec<u64> = stored.iter().map(|one| id(&one.parcel)).collect();
        assert!(present.is_sorted_by(|a, b| a < b), "in order: {present:?}");
        for one in &stored {
            spool.release(one.ticket);
        }
        let now = self.now;
        for record in &mut self.records {
            let is_present = present.binary_search(&id(&record.parcel)).is_ok();
            let is_old = record.written_at + 10_000 <= now;
            if record.state == State::Gone {
                let may_be = if is_power_cut { !record.is_gone_for_good } else { !record.is_noted };
                assert!(!is_present || may_be, "{} is gone", id(&record.parcel));
            } else if !is_old && (!is_power_cut || record.is_synced) {
                assert!(is_present, "{} is lost", id(&record.parcel));
            }
            record.state = if is_present { State::Waiting } else { State::Gone };
            // What a machine finds after a cut is on the disk, and nothing else ever will be.
            record.is_synced |= is_power_cut;
            record.is_noted = !is_present;
            record.is_gone_for_good = !is_present && (is_power_cut || record.is_gone_for_good);
        }
        for one in stored {
            let known = self.records.iter().any(|record| record.parcel == one.parcel);
            if !known {
                let id = id(&one.parcel);
                assert!(self.refused.contains(&id), "{id} was never put in");
                assert_eq!(one.parcel, parcel(id, one.parcel.message.len()));
                let at = self.records.partition_point(|r| super::testing::id(&r.parcel) < id);
                let record = Record {
                    parcel: one.parcel,
                    written_at: one.written_at,
                    state: State::Waiting,
                    is_synced: is_power_cut,
                    is_noted: false,
                    is_gone_for_good: false,
                };
                self.records.insert(at, record);
            }
        }
        self.spool = Some(spool);
        self.failed_syncs = self.machine.failed(&SYNCS);
    }

    /// Those that are out and whose segments were given up will not be found again.
    fn forget_adrift(&mut self) {
        let spool = self.spool.as_ref().expect("it is open");
        for record in &mut self.records {
            if let State::Out(ticket) = record.state
                && spool.is_adrift(ticket)
            {
                record.state = State::Gone;
            }
        }
    }

    /// The books balance, and what is known of the disk is brought up to date.
    fn check(&mut self) {
        let mut held = Items::default();
        for record in self.records.iter().filter(|record| record.state != State::Gone) {
            let (signal, items) = record.items();
            held.add(signal, items);
        }
        assert_eq!(self.spool().held(), held);
        let (is_unsynced, is_untidy) = self.spool().unfinished();
        let failed = self.machine.failed(&SYNCS);
        let has_failed = failed != self.failed_syncs;
        for record in &mut self.records {
            let is_gone = record.state == State::Gone;
            record.is_noted |= is_gone && !is_untidy;
            // After a sync that failed only the next process can be sure.
            if !is_unsynced && !has_failed {
                record.is_synced = true;
                record.is_gone_for_good |= record.is_noted && is_gone;
            }
        }
        if self.machine.failed(&Call::ALL) == 0 {
            assert_eq!(self.spool().bytes(), self.machine.bytes(), "what is said is what is there");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_spool_does_what_the_model_does(
        seed: u64,
        sync in select(vec![0_u64, 700]),
        actions in proptest::collection::vec(action(), 1..150),
    ) {
        let mut run = Run::new(seed, sync);
        for action in &actions {
            run.act(action);
        }
        run.reopen(false);
        run.check();
    }

    #[test]
    fn each_flipped_bit_costs_one_record_at_most(
        lengths in proptest::collection::vec(8_usize..900, 1..40),
        taken in proptest::collection::vec(any::<Index>(), 0..10),
        flips in proptest::collection::vec((any::<Index>(), any::<Index>(), 0_u8..8), 1..6),
    ) {
        let machine = Machine::new(1);
        let mut config = config();
        config.max_bytes = 64 * 1024;
        let (mut spool, _) = machine.open(&config, 0).expect("an empty folder");
        for (id, length) in lengths.iter().enumerate() {
            spool.append(&parcel(id as u64, *length), 0).expect("the disk works");
        }
        let out = all(&mut spool, 0);
        for which in &taken {
            spool.acknowledge(which.get(&out).ticket, 0);
        }
        let taken: BTreeSet<u64> = taken.iter().map(|which| id(&which.get(&out).parcel)).collect();
        drop(spool);
        let files = machine.paths(".spool").into_iter().chain(machine.paths(".settled"));
        let files: Vec<_> = files.collect();
        prop_assume!(!files.is_empty());
        for (file, at, bit) in &flips {
            let file: &PathBuf = file.get(&files);
            machine.damage(file, |bytes| *at.get_mut(bytes) ^= 1 << bit);
        }
        let (mut spool, recovered) = machine.open(&config, 0).expect("the folder can be used");
        let found = ids(&mut spool, 0);
        prop_assert!(found.is_sorted_by(|a, b| a < b));
        let again = found.iter().filter(|id| taken.contains(id)).count();
        let there = lengths.len() - taken.len();
        let lost = there - (found.len() - again);
        prop_assert!(lost + again <= flips.len(), "{lost} lost, {again} again");
        prop_assert_eq!(recovered.records, found.len() as u64);
        prop_assert_eq!(spool.take_given_up(), GivenUp::default());
    }
}
