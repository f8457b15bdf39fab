//! How SQLite goes about a statement, for tests beside the statements.

use super::open;
use sqlx::AssertSqlSafe;

/// Panics if a statement goes through all records of a status, or sorts. The schema is the real one, and there are no
/// statistics, as there are none at a user's.
pub(in crate::store) async fn looks_at_few(sql: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, readers) = open(directory.path().join("requests.db")).await.expect("opens");
    let ask = sqlx::query_as::<_, (i64, i64, i64, String)>(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
    let steps: Vec<_> = ask.fetch_all(&readers).await.expect("is a statement").into_iter().map(|step| step.3).collect();
    let is_much = |step: &String| step.contains("requests_by_status") || step.contains("TEMP B-TREE");
    assert!(!steps.is_empty() && !steps.iter().any(is_much), "{steps:#?}\n{sql}");
}
