//! Verdicts on traces as they look.

use proptest::prelude::*;

use super::*;
use crate::analysis::testing::{Trace, any_trace, trace};

fn judged(trace: &Trace) -> Option<Verdict> {
    let facts = trace.facts();
    let tree = Tree::of(&facts);
    Verdict::of(&tree, &Times::of(&tree), &facts)
}

fn verdict(text: &str) -> Verdict {
    judged(&trace(text)).expect("the trace takes time")
}

/// The texts of the notes of that kind.
fn texts(verdict: &Verdict, kind: NoteKind) -> Vec<&str> {
    verdict.notes.iter().filter(|n| n.kind == kind).map(|n| &*n.text).collect()
}

const CHAIN: &str = "gateway server 0..516 GET /
       gateway client 50..515 POST peer=order:80
         order server 51..514 POST /orders
           order client 501..513 POST peer=payment:80
             payment server 502..512 POST /charge";

#[test]
fn the_slow_hop_of_a_chain_is_named() {
    let verdict = verdict(CHAIN);
    let expected =
        "order is the bottleneck: `POST /orders` spent 451 ms of the 516 ms (87 %) in itself";
    assert_eq!(verdict.headline, expected);
    assert_eq!((verdict.span, &*verdict.service, verdict.time), (2, "order", 451_000_000));
    assert!((verdict.share - 451.0 / 516.0).abs() < 1e-9);
    assert_eq!(verdict.notes, [], "and there is nothing else to say");
}

#[test]
fn waiting_for_what_is_not_traced_names_it() {
    let verdict = verdict(
        "order server 0..512 GET /
           order client 20..470 SELECT peer=db.example:5432",
    );
    let expected = "order waited 450 ms of 512 ms (88 %) for db.example:5432, which is not traced";
    assert_eq!(verdict.headline, expected);
    assert_eq!(verdict.notes, [], "the headline says it");
}

#[test]
fn waiting_for_a_traced_service_that_did_not_answer_is_not_called_untraced() {
    let verdict = verdict(
        "order server 0..512 GET /
           order client 20..470 POST peer=payment:80 error
           order client 480..500 POST peer=payment:80
             payment server 481..499 POST /charge",
    );
    let expected = "order waited 450 ms of 512 ms (88 %) for payment, which has no span of it here";
    assert_eq!(verdict.headline, expected);
}

#[test]
fn time_between_two_sides_is_the_way_between_them() {
    let verdict = verdict(
        "order server 0..512 GET /
           order client 20..470 POST peer=payment:80
             payment server 440..460 POST /charge",
    );
    let expected = "430 ms of 512 ms (84 %) passed between order and payment: in the network, in \
                    connecting, or in a queue";
    assert_eq!(verdict.headline, expected);
}

#[test]
fn where_everything_takes_a_little_nobody_is_blamed() {
    let mut row = trace("a server 0..110 id=1");
    for at in 0..11 {
        row.add(&format!("a internal {}..{} step", at * 10, at * 10 + 10), at + 2, Some(1));
    }
    let verdict = judged(&row).expect("the trace takes time");
    let expected =
        "no single hop is the bottleneck: the most, 10 ms of 110 ms (9.1 %), went into `step` of a";
    assert_eq!(verdict.headline, expected);
}

#[test]
fn a_trace_without_spans_or_without_time_has_no_verdict() {
    assert_eq!(judged(&Trace(Vec::new())), None);
    assert_eq!(judged(&trace("a server 1..1")), None);
}

#[test]
fn calls_of_one_service_one_after_another_are_serial() {
    let verdict = verdict(
        "order server 0..240 GET /
           order client 10..60 GET peer=inventory:80
             inventory server 11..59 GET /stock
           order client 60..110 GET peer=inventory:80
             inventory server 61..109 GET /stock
           order client 110..160 GET peer=inventory:80
             inventory server 111..159 GET /stock
           order client 160..210 GET peer=inventory:80
             inventory server 161..209 GET /stock",
    );
    let expected = "order calls inventory 4 times one after another, 200 ms of its 240 ms; at the \
                    same time they would take 50 ms";
    assert_eq!(texts(&verdict, NoteKind::Serial), [expected]);
    assert_eq!(verdict.notes.len(), 1, "they are neither parallel nor many");
    assert_eq!(verdict.notes[0].spans, [1, 3, 5, 7]);
}

#[test]
fn calls_of_several_services_may_need_each_other() {
    let verdict = verdict(
        "gateway server 0..300 GET /
           gateway client 10..110 GET peer=user
           gateway client 105..255 GET peer=order
           gateway client 255..265 GET peer=mail",
    );
    let expected = "gateway calls user, order and mail one after another, 260 ms of its 300 ms; \
                    at the same time they would take 150 ms, if none needs the answer of another";
    assert_eq!(texts(&verdict, NoteKind::Serial), [expected]);
    assert_eq!(texts(&verdict, NoteKind::Parallel), [""; 0], "5 ms of 100 do not overlap");
}

#[test]
fn calls_at_the_same_time_name_the_one_that_decides() {
    let verdict = verdict(
        "gateway server 0..300 GET /
           gateway client 10..110 GET peer=user
           gateway client 11..261 GET peer=order
           gateway client 12..60 GET peer=mail",
    );
    let expected = "gateway calls user, order and mail at the same time: order decides, 250 ms";
    assert_eq!(texts(&verdict, NoteKind::Parallel), [expected]);
    assert_eq!(texts(&verdict, NoteKind::Serial), [""; 0]);
}

#[test]
fn rounds_of_parallel_calls_are_both() {
    let verdict = verdict(
        "a server 0..300 GET /
           a client 10..110 GET peer=b
           a client 10..100 GET peer=b
           a client 120..210 GET peer=b
           a client 120..200 GET peer=b",
    );
    let serial = "a makes 4 calls, to b, in 2 rounds, 190 ms of its 300 ms; at the same time they \
                  would take 100 ms";
    assert_eq!(texts(&verdict, NoteKind::Serial), [serial]);
    let parallel = "a calls b twice at the same time: the slowest decides, 100 ms";
    assert_eq!(texts(&verdict, NoteKind::Parallel), [parallel]);
}

#[test]
fn serial_calls_that_hardly_matter_are_not_worth_a_note() {
    let verdict = verdict(
        "a server 0..300 GET /
           a client 10..20 GET peer=b
           a client 20..30 GET peer=b",
    );
    assert_eq!(verdict.notes, []);
}

/// A request that asks for `number` things one by one, of which those fail.
fn one_by_one(number: u64, failed: &[u64]) -> Trace {
    let mut spans = trace("order server 0..1000 id=1");
    for at in 0..number {
        let error = if failed.contains(&at) { "error" } else { "" };
        let line = format!("order client {}..{} GET {error} peer=stock", at * 10, at * 10 + 9);
        spans.add(&line, at + 2, Some(1));
    }
    spans
}

#[test]
fn many_calls_of_one_kind_are_named() {
    let many = judged(&one_by_one(12, &[4])).expect("the trace takes time");
    let expected = "order calls stock 12 times for one request: `GET`, 108 ms in all; asking for \
                    everything at once would spare 11 calls";
    assert_eq!(texts(&many, NoteKind::Repeated), [expected]);
    assert_eq!(texts(&many, NoteKind::Retry), [""; 0], "after one failure of many comes the next");
    let few = judged(&one_by_one(4, &[])).expect("the trace takes time");
    assert_eq!(texts(&few, NoteKind::Repeated), [""; 0]);
}

#[test]
fn a_failed_call_that_is_made_again_is_a_retry() {
    let helped = judged(&one_by_one(3, &[0, 1])).expect("the trace takes time");
    let expected = "order called stock 3 times until it succeeded: `GET`, 20 ms later";
    assert_eq!(texts(&helped, NoteKind::Retry), [expected]);
    assert_eq!(texts(&helped, NoteKind::Serial), [""; 0], "attempts are one call");
    let failed = judged(&one_by_one(6, &[0, 1, 2, 3, 4, 5])).expect("the trace takes time");
    let expected = "order called stock 6 times and failed each time: `GET`, 59 ms in all";
    assert_eq!(texts(&failed, NoteKind::Retry), [expected]);
    assert_eq!(texts(&failed, NoteKind::Repeated), [""; 0]);
    let fine = judged(&one_by_one(3, &[2])).expect("the trace takes time");
    assert_eq!(texts(&fine, NoteKind::Retry), [""; 0], "nothing followed the failure");
}

#[test]
fn a_retry_that_reached_nobody_at_first_is_a_retry() {
    let verdict = verdict(
        "order server 0..100 GET /
           order client 10..20 POST error peer=payment:80
           order client 40..90 POST peer=payment:80
             payment server 41..89 POST /charge",
    );
    let expected = "order called payment twice until it succeeded: `POST`, 30 ms later";
    assert_eq!(texts(&verdict, NoteKind::Retry), [expected]);
}

#[test]
fn errors_are_followed_to_where_they_began() {
    let verdict = verdict(
        "gateway server 0..100 GET / error
           gateway client 10..90 POST error peer=order
             order server 11..89 POST /orders error
               order client 20..60 POST error peer=payment
                 payment server 21..59 POST /charge error
               order client 61..62 GET error peer=cache:6379",
    );
    let expected = "the error began in payment: `POST /charge`; 1 more error besides";
    assert_eq!(texts(&verdict, NoteKind::Errors), [expected]);
    assert_eq!(verdict.notes[0].spans, [4, 3, 2, 1, 0]);
}

#[test]
fn an_error_that_only_the_caller_saw_is_of_its_call() {
    let refused = verdict(
        "order server 0..100 GET /
           order client 20..60 POST error peer=payment:80
             payment server 21..59 POST /charge",
    );
    let expected = "the error began in order, in its call to payment: `POST`; the request as a \
                    whole did not fail";
    assert_eq!(texts(&refused, NoteKind::Errors), [expected]);
    let unanswered = verdict(
        "order server 0..100 GET / error
           order client 20..60 SELECT error peer=db:5432",
    );
    let expected =
        "the error began in order, in its call to db:5432, which is not traced: `SELECT`";
    assert_eq!(texts(&unanswered, NoteKind::Errors), [expected]);
}

#[test]
fn waiting_in_many_small_parts_adds_up() {
    let verdict = verdict(
        "order server 0..100 GET /
           order client 10..30 SELECT peer=db:5432
           order client 40..60 SELECT peer=db:5432
           order client 61..62 GET peer=cache:6379",
    );
    let expected = "order waits 40 ms of 100 ms (40 %) for db:5432, which is not traced";
    assert_eq!(texts(&verdict, NoteKind::Untraced), [expected]);
}

#[test]
fn clocks_and_gaps_are_told() {
    let verdict = verdict(
        "gateway server 0..100 GET /
           gateway client 10..30 GET peer=user
             user server 7.8..25.8 GET
           gateway client 40..60 GET peer=stock
             stock server 7042..7058 GET
         order server 70..80 parent=99
         order server 80..90 parent=99",
    );
    let expected = [
        "the clock of user is 3.2 ms behind the clock of gateway; its spans are moved to where \
         they belong",
        "the clock of stock is 7 s ahead of the clock of gateway; its spans are moved to where \
         they belong",
    ];
    assert_eq!(texts(&verdict, NoteKind::Skew), expected);
    let expected = "1 span that others name as their parent is not here: it was not recorded, or \
                    has not arrived yet";
    assert_eq!(texts(&verdict, NoteKind::Missing), [expected]);
    let missing = verdict.notes.last().expect("there are notes");
    assert_eq!(missing.spans, [5, 6]);
}

#[test]
fn notes_of_one_kind_are_few_and_the_heaviest_first() {
    let mut spans = trace("a server 0..1000 id=1");
    for (at, peer) in (0..).zip(["b", "c", "d", "e", "f"]) {
        let line = format!("a client {}..{} GET peer={peer}", at * 150, at * 150 + 110 + at);
        spans.add(&line, at + 2, Some(1));
    }
    let verdict = judged(&spans).expect("the trace takes time");
    let untraced = texts(&verdict, NoteKind::Untraced);
    assert_eq!(untraced.len(), MOST_NOTES);
    assert!(untraced[0].contains(" for f, "), "the longest: {untraced:?}");
}

#[test]
fn a_connection_is_judged_by_how_it_ended_and_not_by_how_long_it_was_open() {
    for (line, headline) in [
        (
            "shop client 0..7200000 connection peer=db:5432 TCP",
            "shop had a connection to db:5432 open for 2 h, in which nothing tells requests apart: \
             it may have been waiting for work",
        ),
        (
            "db server 0..7200000 connection TLS",
            "db had a connection open for 2 h, in which nothing tells requests apart: it may have \
             been waiting for work",
        ),
        (
            "shop client 0..3000 connection error peer=db:5432 TCP",
            "a connection of shop to db:5432 failed after 3 s",
        ),
        (
            "db internal 0..60000 connection part parent=9 TCP in progress",
            "db had a connection open for 1 min, in which nothing tells requests apart: it may \
             have been waiting for work",
        ),
    ] {
        let verdict = judged(&trace(line)).expect("the trace takes time");
        assert_eq!(verdict.headline, headline);
        assert!(verdict.is_stream && !verdict.is_bottleneck, "{headline}");
        assert!(verdict.notes.iter().all(|n| n.kind != NoteKind::Untraced), "{headline}");
        let lacks = verdict.notes.iter().filter(|n| n.kind == NoteKind::Missing);
        assert!(lacks.clone().all(|n| n.text.starts_with("it goes on: ")), "{headline}");
        assert_eq!(lacks.count(), usize::from(line.contains("part")), "{headline}");
    }
    let request = judged(&trace("shop client 0..3000 peer=db:5432 GET")).expect("it takes time");
    assert!(request.is_bottleneck, "a request is waited for: {}", request.headline);
}

#[test]
fn of_a_stream_no_hop_is_the_bottleneck() {
    let stream = "gateway server 0..1200 GET first=12\n  order server 2..1198 GET first=8";
    let verdict = judged(&trace(stream)).expect("the trace takes time");
    assert!(verdict.is_stream && !verdict.is_bottleneck);
    let expected = "gateway began to answer after 12 ms and went on for 1.19 s: what takes the \
                    time is the stream, not a hop";
    assert_eq!(verdict.headline, expected);
    for held_up in ["a server 0..1200 GET first=1100", "a server 0..400 GET first=1"] {
        assert!(!judged(&trace(held_up)).expect("the trace takes time").is_stream);
    }
}

#[test]
fn hostile_names_stay_short_and_in_their_line() {
    let mut spans = trace("a server 0..100 GET");
    spans.0[0].name = "x\u{1b}]0;\n".repeat(1_000).into();
    let verdict = judged(&spans).expect("the trace takes time");
    assert!(verdict.headline.len() < 300 && !verdict.headline.contains(char::is_control));
}

#[test]
fn a_hundred_thousand_spans_are_judged() {
    let wide = judged(&one_by_one(100_000, &[])).expect("the trace takes time");
    assert_eq!(texts(&wide, NoteKind::Repeated).len(), 1);
    let mut deep = trace("a server 0..100 id=1");
    for id in 2..=100_000 {
        deep.add("a client 0..100 GET peer=b error", id, Some(id - 1));
    }
    let deep = judged(&deep).expect("the trace takes time");
    assert_eq!((deep.span, deep.notes[0].kind), (99_999, NoteKind::Errors));
}

proptest! {
    #[test]
    fn any_trace_is_judged_without_a_panic(spans in any_trace()) {
        let facts = spans.facts();
        if let Some(verdict) = judged(&spans) {
            prop_assert!(verdict.share > 0.0 && verdict.share <= 1.0);
            prop_assert_eq!(&verdict.service, &facts[verdict.span].service);
            prop_assert!(verdict.notes.is_sorted_by_key(|n| n.kind));
            for note in &verdict.notes {
                prop_assert!(!note.text.is_empty() && !note.text.contains(char::is_control));
                prop_assert!(!note.spans.is_empty() && note.spans.iter().all(|s| *s < facts.len()));
            }
        }
    }
}
