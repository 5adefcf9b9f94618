//! `POST /jobs/:id/state`: rows of a running job's state, as they were at one barrier. A path of this program's own; Flink had queryable
//! state once.

use super::routes::Refusal;
use crate::checkpoint::inspect::{InspectError, RowEncoder, RowFormat, Selection, Snapshot};
use crate::types::limits::ANSWER_BODY;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RowsRequest {
    /// `OPERATOR/STATE`
    pub state: String,
    /// Which rows.
    pub selection: Selection,
}

/// The answer: the state, its columns, and the rows.
pub(super) fn document(snapshot: &Snapshot, selection: &Selection) -> Result<Vec<u8>, InspectError> {
    let manifest = snapshot.manifest();
    let states = snapshot.states();
    let Some(state) = states.first() else {
        return Err(InspectError::Unanswered("no subtask of the operator keeps this state".to_owned()));
    };
    let rows = snapshot.rows(*state, selection, false)?;
    let columns = rows.columns();
    let mut encoder = RowEncoder::new(RowFormat::Json, &columns)?;
    let columns: Vec<Value> = columns.columns.iter().map(|c| json!({ "name": c.name, "type": c.data_type.to_string() })).collect();
    let head = json!({
        "job-id": manifest.job.id.to_string(), "barrier": manifest.checkpoint_id, "time": manifest.time.0,
        "state": state.address(), "kind": state.kind(), "columns": columns,
    });
    let mut out = head.to_string().into_bytes();
    // The object stays open for its rows.
    out.pop();
    out.extend_from_slice(b",\"rows\":[");
    let (mut lines, mut first) = (Vec::new(), true);
    for batch in rows {
        encoder.encode(&batch?, &mut lines)?;
        for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            out.extend_from_slice(if first { b"\n" } else { b",\n" });
            first = false;
            out.extend_from_slice(line);
        }
        lines.clear();
        if out.len() as u64 > ANSWER_BODY.0 {
            let message = format!("the rows are more than {ANSWER_BODY} as JSON; narrow them with --key, --where or --limit");
            return Err(InspectError::Unanswered(message));
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// 400 for a question that does not fit, 409 for a job that cannot answer now.
pub(super) fn refusal(error: InspectError) -> Refusal {
    match error {
        InspectError::Asked { message, next } => {
            Refusal::bad_request(next.map_or_else(|| message.clone(), |next| format!("{message}; {next}")))
        }
        other => Refusal { status: 409, message: other.to_string() },
    }
}
