//! `http.route` from configured templates: the only way a path becomes part of a span's name.

use std::fmt;
use std::sync::Arc;

/// The most templates one listener may have.
pub const MAX_ROUTES: usize = 1_000;
/// The most braces that may open in one template: the router has room for as many parameters.
pub const MAX_PARAMETERS: usize = 25;

/// Path templates such as `/orders/{id}` or `/files/{*rest}`.
#[derive(Clone, Default)]
pub struct Routes {
    /// `None` where no template is configured, which is the usual case.
    router: Option<matchit::Router<Arc<str>>>,
}

/// Why a list of templates cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError(String);

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RouteError {}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("is_empty", &self.router.is_none()).finish()
    }
}

impl Routes {
    /// Routes that match these templates.
    ///
    /// # Errors
    /// When a template does not begin with `/`, is not well formed, has more than
    /// [`MAX_PARAMETERS`], contradicts another, or when there are more than [`MAX_ROUTES`].
    pub fn new(templates: &[String]) -> Result<Self, RouteError> {
        if templates.len() > MAX_ROUTES {
            return Err(RouteError(format!("at most {MAX_ROUTES} routes can be configured")));
        }
        let mut router = matchit::Router::new();
        for template in templates {
            if !template.starts_with('/') {
                return Err(RouteError(format!("the route `{template}` must begin with `/`")));
            }
            if template.matches('{').count() > MAX_PARAMETERS {
                return Err(RouteError(format!(
                    "the route `{template}` has more than {MAX_PARAMETERS} parameters"
                )));
            }
            router
                .insert(template.clone(), Arc::from(template.as_str()))
                .map_err(|e| RouteError(format!("the route `{template}` cannot be used: {e}")))?;
        }
        Ok(Self { router: (!templates.is_empty()).then_some(router) })
    }

    /// The template that `path` (without a query) matches.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> Option<&Arc<str>> {
        let router = self.router.as_ref()?;
        router.at(std::str::from_utf8(path).ok()?).ok().map(|found| found.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(templates: &[&str]) -> Result<Routes, RouteError> {
        Routes::new(&templates.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_path_finds_its_template_and_an_unknown_path_finds_none() {
        let routes = routes(&["/orders/{id}", "/orders/new", "/files/{*rest}"]).unwrap();
        assert_eq!(routes.find(b"/orders/7").unwrap().as_ref(), "/orders/{id}");
        assert_eq!(routes.find(b"/orders/new").unwrap().as_ref(), "/orders/new");
        assert_eq!(routes.find(b"/files/a/b").unwrap().as_ref(), "/files/{*rest}");
        assert_eq!(routes.find(b"/orders"), None);
        assert_eq!(routes.find(b"/orders/\xff"), None);
        assert_eq!(Routes::default().find(b"/orders/7"), None);
    }

    #[test]
    fn a_template_with_too_many_parameters_is_refused() {
        let with = |count: usize| (0..count).map(|n| format!("/{{p{n}}}")).collect::<String>();
        assert!(routes(&[&with(MAX_PARAMETERS)]).is_ok());
        for too_many in [with(MAX_PARAMETERS + 1), with(500)] {
            assert!(routes(&[&too_many]).is_err());
        }
    }

    #[test]
    fn a_template_that_cannot_work_is_refused_by_name() {
        for bad in [&["orders"][..], &["/a/{x}", "/a/{y}"], &["/a/{"]] {
            let error = routes(bad).unwrap_err().to_string();
            assert!(error.contains(bad.last().unwrap()), "{error}");
        }
    }
}
