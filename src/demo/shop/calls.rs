//! The shop's own books: how often each service has called which other.
//!
//! Counted where a call is made, by the service that makes it, and without a thought of tracing.
//! A call that is tried again counts again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Service;

/// How often each service has called which other. Clones share the numbers.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Table>>);

/// The number of calls by caller and callee.
pub type Table = BTreeMap<(Service, Service), u64>;

impl Calls {
    /// Counts a call.
    pub fn note(&self, from: Service, to: Service) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *table.entry((from, to)).or_default() += 1;
    }

    /// The numbers now.
    #[must_use]
    pub fn table(&self) -> Table {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_who_calls_whom() {
        let calls = Calls::default();
        let order = calls.clone();
        order.note(Service::Order, Service::Payment);
        order.note(Service::Order, Service::Payment);
        calls.note(Service::Gateway, Service::Order);
        let table = calls.table();
        assert_eq!(table.get(&(Service::Order, Service::Payment)), Some(&2));
        assert_eq!(table.get(&(Service::Gateway, Service::Order)), Some(&1));
        assert_eq!(table.get(&(Service::Payment, Service::Order)), None);
    }
}
