use std::collections::HashMap;

use proptest::prelude::*;

use super::table::{GHOST_TIME, MAX_GHOSTS};
use super::*;
use crate::trace::{Flags, IdGenerator};

fn tenant(name: &str) -> Option<TenantId> {
    TenantId::parse(name.as_bytes(), 64)
}

fn context(seed: u8) -> TraceContext {
    let mut ids = IdGenerator::from_seed([seed; 32]);
    TraceContext { trace_id: ids.trace_id(), span_id: ids.span_id(), flags: Flags::SAMPLED }
}

fn with_keys(context: TraceContext, keys: &[Key]) -> Inbound<'_> {
    Inbound { context: Some(context), is_carried: true, keys, ..Inbound::default() }
}

fn of_tenant<'a>(context: TraceContext, tenant: Option<&'a TenantId>) -> Inbound<'a> {
    Inbound { tenant, ..with_keys(context, &[]) }
}

fn workers() -> [InFlight; 2] {
    InFlight::handles(2).try_into().unwrap()
}

fn joined(holder: Holder) -> Option<(usize, TraceContext)> {
    match holder {
        Holder::One(at, cause) => Some((at, cause.context)),
        _ => None,
    }
}

#[test]
fn a_request_is_found_by_every_worker_until_it_ends() {
    let [one, two] = workers();
    let (acme, context) = (tenant("acme"), context(1));
    let entered = one.enter(&of_tenant(context, acme.as_ref()));
    for worker in [&one, &two] {
        assert_eq!(worker.find(context.trace_id), Some(Joined { tenant: acme.clone() }));
        assert_eq!(worker.count(), 1);
    }
    drop(entered);
    assert_eq!((one.find(context.trace_id), one.count()), (None, 0));
}

#[test]
fn a_trace_of_several_tenants_tells_none() {
    let [one, two] = workers();
    let (acme, other, context) = (tenant("acme"), tenant("other"), context(1));
    let first = one.enter(&of_tenant(context, acme.as_ref()));
    let _second = one.enter(&of_tenant(context, other.as_ref()));
    assert_eq!(one.find(context.trace_id), Some(Joined { tenant: None }));
    drop(first);
    let [same, elsewhere] =
        [one.enter(&of_tenant(context, other.as_ref())), two.enter(&of_tenant(context, None))];
    assert_eq!(two.find(context.trace_id), Some(Joined { tenant: None }));
    drop((same, elsewhere));
}

#[test]
fn the_only_request_in_flight_is_told_and_no_other() {
    let [one, two] = workers();
    assert_eq!(one.sole(), None);
    let first = one.enter(&with_keys(context(1), &[]));
    assert_eq!([one.sole(), two.sole()], [Some(context(1)); 2]);
    for worker in [&one, &two] {
        let second = worker.enter(&with_keys(context(2), &[]));
        assert_eq!([one.sole(), two.sole()], [None; 2]);
        drop(second);
        assert_eq!(two.sole(), Some(context(1)));
    }
    drop(first);
    let health_check = one.enter(&Inbound::default());
    assert_eq!(two.sole(), None);
    drop(health_check);
}

#[test]
fn while_an_abandoned_request_may_be_worked_on_none_is_the_only_one() {
    let [one, two] = workers();
    let mut abandoned = one.enter(&with_keys(context(1), &[]));
    abandoned.abandon();
    drop(abandoned);
    let _second = two.enter(&with_keys(context(2), &[]));
    let now = Instant::now();
    assert_eq!(two.sole_at(now), None);
    assert_eq!(two.sole_at(now + GHOST_TIME), Some(context(2)));
}

#[test]
fn a_key_is_of_the_request_that_alone_holds_it() {
    let [one, two] = workers();
    let (a, b) = (one.key(0, b"a"), one.key(0, b"b"));
    assert_eq!(two.key(0, b"a"), a, "all workers make the same keys");
    assert_ne!(two.key(1, b"a"), a, "what kind of value it is counts");
    let first = one.enter(&with_keys(context(1), &[a]));
    let second = two.enter(&with_keys(context(2), &[b, b]));
    for worker in [&one, &two] {
        assert_eq!(joined(worker.holder(&[a])), Some((0, context(1))));
        assert_eq!(joined(worker.holder(&[b])), Some((0, context(2))));
        assert_eq!(worker.holder(&[worker.key(0, b"c")]), Holder::Nobody);
        assert_eq!(worker.holder(&[]), Holder::Nobody);
    }
    drop(first);
    assert_eq!(two.holder(&[a]), Holder::Nobody);
    drop(second);
    assert_eq!(two.holder(&[b]), Holder::Nobody);
}

#[test]
fn a_key_that_several_hold_is_of_none_until_one_is_left() {
    let [one, two] = workers();
    let key = one.key(0, b"a");
    let _first = one.enter(&with_keys(context(1), &[key]));
    for worker in [&one, &two] {
        let second = worker.enter(&with_keys(context(2), &[key]));
        for worker in [&one, &two] {
            assert_eq!(worker.holder(&[key]), Holder::Several);
        }
        drop(second);
        assert_eq!(joined(worker.holder(&[key])), Some((0, context(1))));
    }
}

#[test]
fn all_keys_that_anybody_brought_must_agree() {
    let [one, two] = workers();
    let [a, b, shared, unknown] = [b"a", b"b", b"s", b"u"].map(|value| one.key(0, value));
    let _first = one.enter(&with_keys(context(1), &[a, shared]));
    let _second = two.enter(&with_keys(context(2), &[b, shared]));
    let _third = two.enter(&with_keys(context(3), &[shared]));
    assert_eq!(one.holder(&[a, b]), Holder::Different);
    assert_eq!(joined(one.holder(&[shared, a])), Some((1, context(1))));
    assert_eq!(joined(one.holder(&[unknown, b])), Some((1, context(2))));
    assert_eq!(one.holder(&[shared, unknown]), Holder::Several);
    let foreign = one.key(0, b"f");
    let _others = [4, 5].map(|n| one.enter(&with_keys(context(n), &[foreign])));
    assert_eq!(one.holder(&[a, foreign]), Holder::Different);
}

#[test]
fn the_keys_of_an_abandoned_request_stay_taken_for_a_while() {
    let [one, two] = workers();
    let key = one.key(0, b"a");
    let mut abandoned = one.enter(&with_keys(context(1), &[key]));
    abandoned.abandon();
    drop(abandoned);
    let now = Instant::now();
    assert_eq!(one.holder_at(&[key], now), Holder::Nobody, "nobody is joined to a ghost");
    let _again = two.enter(&with_keys(context(2), &[key]));
    assert_eq!(one.holder_at(&[key], now), Holder::Several);
    assert_eq!(joined(two.holder_at(&[key], now + GHOST_TIME)), Some((0, context(2))));
}

#[test]
fn the_oldest_of_too_many_ghosts_is_forgotten_but_for_its_keys() {
    let [one, _] = workers();
    let keys: Vec<Key> = (0..=MAX_GHOSTS).map(|n| one.key(0, &n.to_be_bytes())).collect();
    for key in &keys {
        one.enter(&with_keys(context(1), &[*key])).abandon();
    }
    let sizes = one.own().unwrap().table().sizes();
    assert_eq!(sizes, [MAX_GHOSTS, MAX_GHOSTS, 0, MAX_GHOSTS]);
    let _again = [&keys[0], &keys[1]].map(|key| one.enter(&with_keys(context(2), &[*key])));
    let (now, both) = (Instant::now(), [&keys[..1], &keys[1..2]]);
    for key in both {
        assert_eq!(one.holder_at(key, now), Holder::Several, "its key is in doubt all the same");
    }
    for key in both {
        assert!(joined(one.holder_at(key, now + GHOST_TIME)).is_some());
    }
}

#[test]
fn of_a_storm_of_ghosts_nothing_is_joined_to_the_second_try() {
    let [one, _] = workers();
    let keys: Vec<Key> = (0..8 * MAX_GHOSTS).map(|n| one.key(0, &n.to_be_bytes())).collect();
    for key in &keys {
        one.enter(&with_keys(context(1), &[*key])).abandon();
    }
    for key in &keys {
        let _again = one.enter(&with_keys(context(2), &[*key]));
        assert_eq!(one.holder(&[*key]), Holder::Several);
    }
}

#[test]
fn a_request_without_a_trace_holds_its_keys_too() {
    let [one, _] = workers();
    let key = one.key(0, b"a");
    let _probe = one.enter(&Inbound { keys: &[key], ..Inbound::default() });
    assert_eq!(one.holder(&[key]), Holder::Nobody);
    let _request = one.enter(&with_keys(context(1), &[key]));
    assert_eq!(one.holder(&[key]), Holder::Several);
}

#[derive(Clone, Debug)]
enum Step {
    Enter { worker: usize, keys: Vec<u8> },
    Leave { which: usize, is_abandoned: bool },
    Call { worker: usize, keys: Vec<u8> },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = || proptest::collection::vec(0..6u8, 0..4);
    let step = prop_oneof![
        (0..2usize, keys()).prop_map(|(worker, keys)| Step::Enter { worker, keys }),
        (0..8usize, any::<bool>())
            .prop_map(|(which, is_abandoned)| Step::Leave { which, is_abandoned }),
        (0..2usize, keys()).prop_map(|(worker, keys)| Step::Call { worker, keys }),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Against a list that is searched from end to end.
    #[test]
    fn nobody_is_joined_but_the_one_who_holds_every_known_key(steps in steps()) {
        let workers = workers();
        let mut held: Vec<(TraceContext, Vec<u8>, Option<Entered>)> = Vec::new();
        let hashed = |keys: &[u8]| keys.iter().map(|k| workers[0].key(0, &[*k])).collect::<Vec<_>>();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Enter { worker, keys } => {
                    let context = context(u8::try_from(number).unwrap());
                    let entered = workers[worker].enter(&with_keys(context, &hashed(&keys)));
                    held.push((context, keys, Some(entered)));
                }
                Step::Leave { which, is_abandoned } => {
                    let Some((_, _, entered)) = held.get_mut(which) else { continue };
                    let Some(mut gone) = entered.take() else { continue };
                    if is_abandoned {
                        gone.abandon();
                    } else {
                        held.remove(which);
                    }
                }
                Step::Call { worker, keys } => {
                    let by = |key: &u8| held.iter().filter(|(_, k, _)| k.contains(key)).collect::<Vec<_>>();
                    let mut alone: Vec<_> = keys.iter().map(by).filter(|by| by.len() == 1).flatten().collect();
                    alone.dedup_by_key(|(context, ..)| *context);
                    alone.sort_by_key(|(context, ..)| context.trace_id);
                    alone.dedup_by_key(|(context, ..)| *context);
                    let is_known = |key: &&u8| !by(key).is_empty();
                    let found = workers[worker].holder(&hashed(&keys));
                    match alone.as_slice() {
                        [] if keys.iter().any(|key| is_known(&key)) => prop_assert_eq!(found, Holder::Several),
                        [] => prop_assert_eq!(found, Holder::Nobody),
                        [(context, own, entered)] => {
                            if !keys.iter().filter(is_known).all(|key| own.contains(key)) {
                                prop_assert_eq!(found, Holder::Different);
                            } else if entered.is_none() {
                                prop_assert_eq!(found, Holder::Nobody);
                            } else {
                                prop_assert_eq!(joined(found).map(|(_, c)| c), Some(*context));
                            }
                        }
                        _ => prop_assert_eq!(found, Holder::Different),
                    }
                }
            }
        }
        let in_flight = held.iter().filter(|(_, _, entered)| entered.is_some()).count();
        prop_assert_eq!(workers[0].count(), in_flight);
    }
}

#[test]
fn nothing_is_left_of_requests_that_were_answered() {
    let [one, _] = workers();
    let mut entered = HashMap::new();
    for n in 0..1_000_u32 {
        let key = one.key(0, &(n % 7).to_be_bytes());
        entered.insert(n % 50, one.enter(&with_keys(context(1), &[key])));
    }
    drop(entered);
    let table = one.own().unwrap().table();
    assert_eq!(table.sizes(), [0; 4]);
}
