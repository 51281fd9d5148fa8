//! A destination for the tests of the module.

use std::sync::{Arc, Mutex};

use super::{Forward, Full, Parts};
use crate::export::Parcel;
use crate::metrics::Registry;
use crate::trace::resource::Resource;
use crate::trace::sample::Sampler;

/// Keeps so many parcels.
#[derive(Debug)]
pub(super) struct Shelf {
    kept: Mutex<Vec<Parcel>>,
    most: usize,
}

impl Shelf {
    pub(super) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default(), most })
    }

    pub(super) fn take(&self) -> Vec<Parcel> {
        std::mem::take(&mut self.kept.lock().unwrap())
    }
}

impl Forward for Shelf {
    fn offer(&self, parcel: Parcel) -> Result<(), Full> {
        let mut kept = self.kept.lock().unwrap();
        if kept.len() == self.most {
            return Err(Full);
        }
        kept.push(parcel);
        Ok(())
    }
}

/// What receiving for the service `orders` takes.
pub(super) fn parts(forward: &Arc<Shelf>, registry: &Arc<Registry>) -> Parts {
    let zone = [("zone".to_owned(), "north".to_owned())];
    Parts {
        forward: Arc::<Shelf>::clone(forward),
        resource: Resource::new(Some("orders"), &zone),
        sampler: Sampler::default(),
        registry: Arc::clone(registry),
    }
}
