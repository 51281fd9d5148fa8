//! The settings of the export: where spans are sent, and where they wait until then.

use super::value::Value;
use super::values::Values;
use super::{destinations, receive};
use crate::export::{Batch, Config, Queue, WhenFull, spool};
use crate::trace::resource::Resource;

const SPOOL: &str = "export.spool.directory";

/// The export that the settings ask for, of which nothing may go to what `receive` listens to.
pub(super) fn of(values: &mut Values, receive: &crate::receive::Config) -> Config {
    let (first, further) = destinations::of(values);
    for destination in further.iter().chain([&first]) {
        receive::check_loop(values, receive, destination);
    }
    receive::check_takers(values, further.iter().chain([&first]));
    Config {
        first,
        further,
        batch: batch(values),
        queue: queue(values),
        spool: spool_of(values),
        canary: values.flag("export.canary"),
        resource: resource(values),
    }
}

fn batch(values: &mut Values) -> Batch {
    const QUEUE: &str = "export.batch.max_queue_size";
    const BATCH: &str = "export.batch.max_export_batch_size";
    let (queue, size) = (values.count(QUEUE), values.count(BATCH));
    if size > queue && values.is_set(BATCH) {
        values.refuse(BATCH, &format!("expected at most {QUEUE}, which is {queue}, found {size}"));
    } else if size > queue {
        values.derive(BATCH, Value::Number(u64::try_from(queue).unwrap_or(u64::MAX)));
    }
    Batch {
        schedule_delay: values.duration("export.batch.schedule_delay"),
        export_timeout: values.duration("export.batch.export_timeout"),
        max_queue_size: queue,
        max_export_batch_size: values.count(BATCH),
    }
}

fn queue(values: &Values) -> Queue {
    Queue {
        max_bytes: values.count("export.queue.max_bytes"),
        when_full: match values.word("export.queue.when_full").as_str() {
            "drop_newest" => WhenFull::DropNewest,
            _ => WhenFull::DropOldest,
        },
    }
}

fn spool_of(values: &mut Values) -> Option<spool::Config> {
    const MAX_BYTES: &str = "export.spool.max_bytes";
    const MAX_AGE: &str = "export.spool.max_age";
    const SYNC: &str = "export.spool.sync";
    const REPLAY_RATE: &str = "export.spool.replay_rate";
    let Some(directory) = values.path(SPOOL) else {
        for key in [MAX_BYTES, MAX_AGE, SYNC, REPLAY_RATE] {
            if values.is_changed(key) {
                let origin = values.origin(key).clone();
                values.warn(format!("{key} ({origin}) is not used, because {SPOOL} is not set"));
            }
        }
        return None;
    };
    Some(spool::Config {
        directory,
        max_bytes: values.number(MAX_BYTES),
        max_age: values.duration(MAX_AGE),
        sync: values.duration(SYNC),
        replay_rate: values.number(REPLAY_RATE),
    })
}

fn resource(values: &Values) -> Resource {
    Resource::new(values.text("service.name").as_deref(), &values.map("service.resource"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{LEAST, load, with, wrong_file};
    use super::*;
    use std::time::Duration;

    #[test]
    fn without_a_directory_there_is_no_spool_and_its_bounds_are_warned_of() {
        let config = with(&[("SPANDREL_EXPORT_SPOOL_MAX_AGE", "2h")]);
        assert_eq!(config.export.unwrap().spool, None);
        assert_eq!(
            config.warnings,
            ["export.spool.max_age (SPANDREL_EXPORT_SPOOL_MAX_AGE) is not used, because \
              export.spool.directory is not set"]
        );
    }

    #[test]
    fn a_spool_has_the_bounds_that_are_set_and_the_others_by_default() {
        let of = |variables: &[(&str, &str)]| with(variables).export.unwrap().spool.unwrap();
        const DIRECTORY: (&str, &str) = ("SPANDREL_EXPORT_SPOOL_DIRECTORY", "/var/spool/spandrel");
        assert_eq!(of(&[DIRECTORY]), spool::Config::new("/var/spool/spandrel".into()));
        let set = of(&[
            DIRECTORY,
            ("SPANDREL_EXPORT_SPOOL_MAX_BYTES", "2GiB"),
            ("SPANDREL_EXPORT_SPOOL_SYNC", "0s"),
            ("SPANDREL_EXPORT_SPOOL_REPLAY_RATE", "1MiB"),
        ]);
        assert_eq!((set.max_bytes, set.sync, set.replay_rate), (2 << 30, Duration::ZERO, 1 << 20));
        let error = wrong_file("inbound.app: 8080\nexport.spool: {directory: spool}\n");
        let expected = "expected the whole path of a directory, from the / on, found `spool`";
        assert_eq!(error, format!("spandrel.yaml:2: export.spool.directory: {expected}"));
    }

    #[test]
    fn what_waits_in_memory_is_bounded_and_given_up_as_is_set() {
        let yaml = format!("{LEAST}export.queue: {{max_bytes: 1MiB, when_full: drop_newest}}\n");
        let queue = load(&yaml, &[], &[]).unwrap().export.unwrap().queue;
        assert_eq!(queue, Queue { max_bytes: 1 << 20, when_full: WhenFull::DropNewest });
    }
}
