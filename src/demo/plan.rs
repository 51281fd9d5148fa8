//! What customers want of the shop, and in which order: the same in every run.

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use serde_json::json;

use super::shop::{BUSY_ITEM, EXPIRED_CARD, TENANT, UNREADABLE_CARD};

/// The tenants of the shop, who take turns from round to round.
pub const TENANTS: [&str; 2] = ["acme", "globex"];

/// What a customer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Errand {
    /// To see a user: one call.
    User,
    /// To see a user that there is not: answered with 404.
    UnknownUser,
    /// To order something: four calls, one of them gRPC.
    Order,
    /// To order what can be reserved at the second attempt only.
    OrderBusyItem,
    /// To order with a card that is declined: answered with 402.
    OrderDeclined,
    /// To order with a card that the service fails on: answered with 500.
    OrderFailing,
    /// To see the cart: four calls at the same time.
    Cart,
    /// To see a report: six calls one after another.
    Report,
    /// To follow an order: a stream of events.
    Events,
}

/// One round of errands.
pub const ROUND: [Errand; 20] = [
    Errand::User,
    Errand::Order,
    Errand::Cart,
    Errand::User,
    Errand::UnknownUser,
    Errand::Order,
    Errand::Report,
    Errand::User,
    Errand::Events,
    Errand::OrderBusyItem,
    Errand::User,
    Errand::Order,
    Errand::OrderDeclined,
    Errand::User,
    Errand::Order,
    Errand::Cart,
    Errand::OrderFailing,
    Errand::User,
    Errand::Order,
    Errand::Report,
];

/// The errand of request `number`, from 0.
#[must_use]
pub fn errand(number: u64) -> Errand {
    let [first, ..] = ROUND;
    ROUND.into_iter().cycle().nth(place(number)).unwrap_or(first)
}

/// The tenant of request `number`.
#[must_use]
pub fn tenant(number: u64) -> &'static str {
    // From round to round, so that each of them comes on every errand.
    let [acme, globex] = TENANTS;
    if (number + number / ROUND.len() as u64).is_multiple_of(2) { acme } else { globex }
}

/// Request `number`, to the gateway at `authority`.
///
/// # Panics
/// When `authority` is none.
#[must_use]
pub fn request(number: u64, authority: &str) -> Request<Full<Bytes>> {
    let (method, path, body) = content(errand(number), number);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() =
        format!("http://{authority}{path}").parse().expect("an authority and a path make a URL");
    request.headers_mut().insert(TENANT, HeaderValue::from_static(tenant(number)));
    request
}

fn content(errand: Errand, number: u64) -> (Method, String, Bytes) {
    let get = |path: String| (Method::GET, path, Bytes::new());
    let order = |item: u64, card: &str| {
        let order = json!({"user": number % 100, "item": item, "cents": 1_999, "card": card});
        (Method::POST, "/orders".to_owned(), Bytes::from(order.to_string()))
    };
    match errand {
        Errand::User => get(format!("/users/{}", number % 100)),
        Errand::UnknownUser => get("/users/1000".to_owned()),
        Errand::Order => order(number % 10, "good"),
        Errand::OrderBusyItem => order(BUSY_ITEM, "good"),
        Errand::OrderDeclined => order(number % 10, EXPIRED_CARD),
        Errand::OrderFailing => order(number % 10, UNREADABLE_CARD),
        Errand::Cart => get("/cart".to_owned()),
        Errand::Report => get("/report".to_owned()),
        Errand::Events => get(format!("/orders/{number}/events")),
    }
}

/// The place of request `number` in its round.
fn place(number: u64) -> usize {
    usize::try_from(number % ROUND.len() as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn a_round_contains_every_kind_of_errand() {
        let kinds: BTreeSet<Errand> = (0..20).map(errand).collect();
        assert_eq!(kinds.len(), 9);
    }

    #[test]
    fn the_plan_is_the_same_in_every_run_and_round() {
        for number in 0..200 {
            assert_eq!(errand(number), errand(number % 20));
            assert_eq!(errand(number), ROUND[usize::try_from(number % 20).unwrap()]);
            let (a, b) = (request(number, "a:1"), request(number, "a:1"));
            assert_eq!(format!("{a:?}"), format!("{b:?}"));
        }
    }

    #[test]
    fn each_tenant_comes_on_every_errand_and_as_often_as_the_other() {
        let mut seen: BTreeMap<(Errand, &str), u64> = BTreeMap::new();
        for number in 0..40 {
            *seen.entry((errand(number), tenant(number))).or_default() += 1;
        }
        assert_eq!(seen.len(), 9 * TENANTS.len());
        for tenant in TENANTS {
            let of_tenant = seen.iter().filter(|((_, t), _)| *t == tenant);
            assert_eq!(of_tenant.map(|(_, count)| count).sum::<u64>(), 20, "{tenant}");
        }
    }

    #[test]
    fn a_request_says_whose_it_is_and_carries_no_trace() {
        let request = request(1, "127.0.0.1:16006");
        assert_eq!(request.uri(), "http://127.0.0.1:16006/orders");
        assert_eq!(request.headers().len(), 1);
        assert_eq!(request.headers()[TENANT], "globex");
    }
}
