//! The two forms of an answer: JSON, or CSV for a spreadsheet.

use crate::http::routes::stats::query::FormatWord;
use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION, VARY};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload};
use serde::Serialize;
use std::future::{Ready, ready};

const CSV: &str = "text/csv";
const JSON: &str = "application/json";

/// Whether `Accept` asks for CSV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefersCsv(pub bool);

impl FromRequest for PrefersCsv {
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let fields = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
        let text = fields.collect::<Vec<_>>().join(",");
        ready(Ok(Self(prefers_csv(&text))))
    }
}

/// CSV is named, and liked better than JSON. Who names neither gets JSON.
fn prefers_csv(accept: &str) -> bool {
    // In thousandths, as RFC 9110 writes them; what cannot be read counts as the most.
    let weight_of = |wanted: &str| {
        accept.split(',').find_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
            let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            is_it.then(|| quality.and_then(|text| text.parse::<f32>().ok()).unwrap_or(1.0))
        })
    };
    let csv = weight_of(CSV).unwrap_or(0.0);
    csv > 0.0 && weight_of(JSON).is_none_or(|json| csv > json)
}

/// A table: its columns, and its rows, whose cells are numbers, times and words without a comma or a quote.
pub(super) struct Table {
    /// What the file is called, without its ending: letters, digits and dashes.
    pub name: String,
    /// The header row.
    pub columns: &'static [&'static str],
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    fn text(&self) -> String {
        let mut text = self.columns.join(",");
        text.push_str("\r\n");
        for row in &self.rows {
            text.push_str(&row.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

/// The answer in the form that is asked for.
pub(super) fn answer(
    format: Option<FormatWord>,
    prefers_csv: PrefersCsv,
    json: &impl Serialize,
    table: impl FnOnce() -> Table,
) -> HttpResponse {
    let is_csv = format.map_or(prefers_csv.0, |format| format == FormatWord::Csv);
    let mut answer = HttpResponse::Ok();
    answer.append_header((VARY, "Accept"));
    if !is_csv {
        return answer.json(json);
    }
    let table = table();
    answer
        .content_type("text/csv; charset=utf-8")
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{}.csv\"", table.name)))
        .body(table.text())
}

/// A number, or nothing.
pub(super) fn cell(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_for_who_names_it_and_likes_it_better() {
        for accept in [
            "text/csv",
            "Text/CSV; charset=utf-8",
            "text/csv, */*;q=0.1",
            "text/html,text/csv;q=0.9,application/json;q=0.8",
            "text/csv;q=0.5",
        ] {
            assert!(prefers_csv(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/*",
            "application/json",
            "application/json, text/csv",
            "text/csv;q=0",
            "text/csv;q=0.4, application/json;q=0.5",
            "text/csvx",
        ] {
            assert!(!prefers_csv(accept), "{accept}");
        }
    }
}
