//! Who emits the spans: the attributes of the OpenTelemetry resource.

/// The resource of the application that spandrel stands beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The attributes in the order they are sent; `service.name` is always among them.
    pub attributes: Vec<(String, String)>,
}

impl Default for Resource {
    fn default() -> Self {
        Self::new(None, &[])
    }
}

impl Resource {
    /// The resource of the service `name`, with `others` added. An attribute of `others` wins
    /// over what is known by default, but not over `service.name` when `name` is given.
    #[must_use]
    pub fn new(name: Option<&str>, others: &[(String, String)]) -> Self {
        let mut attributes: Vec<(String, String)> = Vec::with_capacity(others.len() + 5);
        let mut set = |key: &str, value: &str| match attributes.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => value.clone_into(old),
            None => attributes.push((key.to_owned(), value.to_owned())),
        };
        set("service.name", "unknown_service");
        set("telemetry.distro.name", "spandrel");
        set("telemetry.distro.version", env!("CARGO_PKG_VERSION"));
        set("telemetry.sdk.name", "spandrel");
        set("telemetry.sdk.language", "rust");
        set("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
        for (key, value) in others {
            set(key, value);
        }
        if let Some(name) = name {
            set("service.name", name);
        }
        Self { attributes }
    }

    /// The application's name.
    #[must_use]
    pub fn service_name(&self) -> &str {
        self.attributes
            .iter()
            .find(|(key, _)| key == "service.name")
            .map_or("unknown_service", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_name_has_the_last_word() {
        let others = [("service.name".to_owned(), "from-attributes".to_owned())];
        assert_eq!(Resource::new(None, &[]).service_name(), "unknown_service");
        assert_eq!(Resource::new(None, &others).service_name(), "from-attributes");
        assert_eq!(Resource::new(Some("orders"), &others).service_name(), "orders");
    }
}
