//! What Prometheus sees of the HTTP server itself: answers and their times, by route.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use std::time::Duration;

/// Upper bounds in seconds: from what a look-up costs to what a person notices.
const BUCKETS_S: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 10.0];

/// The counts of a server since it began. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiCounts {
    answers: IntCounterVec,
    seconds: HistogramVec,
}

impl ApiCounts {
    /// All at zero.
    ///
    /// # Errors
    /// A name that Prometheus does not take, which ours are not.
    pub fn new() -> Result<Self, prometheus::Error> {
        let answers = Opts::new("suiftly_http_answers_total", "Answers by route, method and status");
        let seconds = HistogramOpts::new("suiftly_http_answer_seconds", "How long answers took, by route")
            .buckets(BUCKETS_S.to_vec());
        Ok(Self {
            answers: IntCounterVec::new(answers, &["route", "method", "status"])?,
            seconds: HistogramVec::new(seconds, &["route"])?,
        })
    }

    /// Counts an answer. `route` is the pattern, so that there are only as many as the program has; methods that HTTP does not
    /// know count as one.
    pub fn count(&self, route: &str, method: &str, status: u16, took: Duration) {
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = if known.contains(&method) { method } else { "other" };
        self.answers.with_label_values(&[route, method, &status.to_string()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// Adds the counts to what is scraped.
    ///
    /// # Errors
    /// They were added before.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.answers.clone()))?;
        registry.register(Box::new(self.seconds.clone()))
    }
}
