//! How a record's data reads on one line.

use factfold_projections::log_reader::{Record, visible};
use factfold_schemas::record::Rejected;

/// The data as it is; of a rejection, its sentence.
pub(super) fn data(record: &Record<'_>) -> String {
    let data = visible::data(record).unwrap_or_default();
    let text = String::from_utf8_lossy(&data).replace(['\n', '\r'], " ");
    match serde_json::from_str::<Rejected>(&text) {
        Ok(Rejected { command, rejection }) if record.header("ce_type") == Some("Rejected") => {
            format!("{command}: {}: {}", rejection.name, rejection.detail)
        }
        _ => text,
    }
}
