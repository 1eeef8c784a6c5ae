//! Health, readiness and metrics over plain HTTP, for the machine's own supervisor and monitoring.
//!
//! It owns `/healthz`, `/readyz` and `/metrics`. Nothing here tells about keys, adapters or certificates; it is meant for a
//! loopback listener all the same.

use std::{borrow::Cow, collections::BTreeMap, future::Future, io, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::net::TcpListener;

/// Looks at one part of the server: `Err` says in words why it is not ready.
pub type Check = Box<dyn Fn() -> Result<(), Cow<'static, str>> + Send + Sync>;

/// What must be well for the server to be ready.
#[derive(Default)]
pub struct Readiness {
    checks: Vec<(&'static str, Check)>,
}

impl Readiness {
    /// Adds a part (`hsm`, `store`, `audit`). `check` may block, but is asked at every request.
    #[must_use]
    pub fn with(mut self, part: &'static str, check: Check) -> Self {
        self.checks.push((part, check));
        self
    }

    fn report(&self) -> Report {
        let found: Vec<_> = self.checks.iter().map(|(part, check)| (*part, check())).collect();
        Report {
            ready: found.iter().all(|(_, result)| result.is_ok()),
            parts: found.into_iter().map(|(part, result)| (part, result.err().unwrap_or("ready".into()))).collect(),
        }
    }
}

/// The answer of `/readyz`.
#[derive(Serialize)]
struct Report {
    ready: bool,
    parts: BTreeMap<&'static str, Cow<'static, str>>,
}

/// What the pages are made from.
struct Pages {
    readiness: Readiness,
    metrics: PrometheusHandle,
}

/// Serves `/healthz` (200 while the process lives), `/readyz` (200, or 503 with the reasons as JSON) and `/metrics` (Prometheus
/// text) on `listener` until `shutdown` resolves.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: PrometheusHandle,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let pages = Arc::new(Pages { readiness, metrics });
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(render_metrics))
        .with_state(pages);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn ready(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    // A check may block, and one that panics is a part that is not ready.
    match tokio::task::spawn_blocking(move || pages.readiness.report()).await {
        Ok(report) if report.ready => (StatusCode::OK, Json(report)).into_response(),
        Ok(report) => (StatusCode::SERVICE_UNAVAILABLE, Json(report)).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn render_metrics(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], pages.metrics.render())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn fetch(path: &str, hsm: Result<(), Cow<'static, str>>) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness =
            Readiness::default().with("hsm", Box::new(move || hsm.clone())).with("store", Box::new(|| Ok(())));
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, readiness, metrics, async {
            let _ = stopped.await;
        }));
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        answer
    }

    #[tokio::test]
    async fn a_server_whose_parts_are_well_is_ready() {
        let answer = fetch("/readyz", Ok(())).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with(r#"{"ready":true,"parts":{"hsm":"ready","store":"ready"}}"#), "{answer}");
    }

    #[tokio::test]
    async fn one_part_that_is_not_makes_it_unready_and_says_why() {
        let answer = fetch("/readyz", Err("no token with this serial".into())).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains(r#""hsm":"no token with this serial","store":"ready""#), "{answer}");
    }

    #[tokio::test]
    async fn it_is_alive_also_when_it_is_not_ready() {
        assert!(fetch("/healthz", Err("down".into())).await.starts_with("HTTP/1.1 200 "));
        assert!(fetch("/metrics", Err("down".into())).await.starts_with("HTTP/1.1 200 "));
    }
}
