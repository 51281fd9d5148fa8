//! What Jaeger clients are to sample, as Jaeger's agent told them: the ratio of spandrel's own
//! sampler, for every operation.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::intake;

/// Answers what comes to a listener, for as long as this is polled.
pub(super) async fn serve(listener: &TcpListener, rate: f64) {
    intake::serve_all(listener, move |request| {
        let response = answer(&request, rate);
        async { Ok(response) }
    })
    .await;
}

/// Answers a question.
pub(super) fn answer<B>(request: &Request<B>, rate: f64) -> Response<Full<Bytes>> {
    let told = match (request.method(), request.uri().path()) {
        (&Method::GET, "/sampling") => strategy(request, &"PROBABILISTIC".into(), rate),
        // The elder way, in which the strategy has a number.
        (&Method::GET, "/") => strategy(request, &0.into(), rate),
        (_, "/sampling" | "/") => Err((StatusCode::METHOD_NOT_ALLOWED, "ask by GET")),
        _ => Err((StatusCode::NOT_FOUND, "ask for /sampling?service=NAME")),
    };
    let (status, format, body) = match told {
        Ok(strategy) => (StatusCode::OK, "application/json", strategy.to_string()),
        Err((status, text)) => (status, "text/plain; charset=utf-8", format!("{text}\n")),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format));
    response
}

fn strategy<B>(
    request: &Request<B>,
    kind: &Value,
    rate: f64,
) -> Result<Value, (StatusCode, &'static str)> {
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let mut services = pairs.filter_map(|pair| pair.strip_prefix("service="));
    match (services.next(), services.next()) {
        (Some(service), None) if !service.is_empty() => Ok(json!({
            "strategyType": kind,
            "probabilisticSampling": { "samplingRate": rate },
        })),
        _ => {
            Err((StatusCode::BAD_REQUEST, "say once whose sampling is asked for, by service=NAME"))
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(method: Method, target: &str, rate: f64) -> (u16, String) {
        let request = Request::builder().method(method).uri(target).body(()).unwrap();
        let response = answer(&request, rate);
        let status = response.status().as_u16();
        #[expect(clippy::disallowed_methods, reason = "the body is our own")]
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_ratio_is_told_in_both_forms() {
        let (status, new) = ask(Method::GET, "/sampling?service=shop", 0.25).await;
        assert_eq!(status, 200);
        assert_eq!(
            new,
            r#"{"probabilisticSampling":{"samplingRate":0.25},"strategyType":"PROBABILISTIC"}"#
        );
        let (status, elder) = ask(Method::GET, "/?x=1&service=a%20b", 1.0).await;
        assert_eq!(status, 200);
        assert_eq!(elder, r#"{"probabilisticSampling":{"samplingRate":1.0},"strategyType":0}"#);
    }

    #[tokio::test]
    async fn a_question_without_a_service_is_bad() {
        for target in
            ["/sampling", "/sampling?service=", "/?services=a", "/sampling?service=a&service=b"]
        {
            assert_eq!(ask(Method::GET, target, 1.0).await.0, 400, "{target}");
        }
        assert_eq!(ask(Method::POST, "/sampling?service=a", 1.0).await.0, 405);
        assert_eq!(ask(Method::GET, "/baggageRestrictions?service=a", 1.0).await.0, 404);
    }
}
