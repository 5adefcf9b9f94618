//! Plans: which operators, over which columns, in which mode; and what is refused, and where.

use super::{pointed, request, tables};
use crate::operator::Exchange;
use crate::sql::{BuildRequest, PlanOptions, PlannedFrom, TransformPlan, TransformRequest, analyze, plan_transform};
use crate::types::ChangelogMode;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn plan(sql: &str) -> TransformPlan {
    plan_transform(&request(sql, &tables())).unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// One line a node: its suffix, its inputs, what it does.
fn shown(plan: &TransformPlan) -> Vec<String> {
    let from = |from: &PlannedFrom| match from {
        PlannedFrom::Table(name) => name.clone(),
        PlannedFrom::Node(index) => plan.nodes[*index].uid_suffix.clone(),
    };
    let node = |node: &crate::sql::PlannedNode| {
        let inputs = node.inputs.iter().map(|input| match &input.exchange {
            Exchange::Hash(columns) => format!("{} by {columns:?}", from(&input.from)),
            _ => from(&input.from),
        });
        format!("{} <- {}: {}", node.uid_suffix, inputs.collect::<Vec<_>>().join(", "), node.factory.describe())
    };
    plan.nodes.iter().map(node).collect()
}

fn columns(plan: &TransformPlan) -> String {
    plan.schema.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_filter_and_a_projection_are_one_calc() {
    let plan = plan("SELECT auction, bidder, price * 0.908 AS price, ts FROM bids WHERE MOD(auction, 123) = 0");
    assert_eq!(
        shown(&plan),
        ["calc-1 <- bids: Calc(select=[auction, bidder, (price * 0.908) AS price, ts], where=[((auction % 123) = 0)])"]
    );
    assert_eq!(columns(&plan), "auction BIGINT, bidder BIGINT, price DECIMAL(24, 3), ts TIMESTAMP(3)");
    assert_eq!((plan.mode, plan.unique_key, plan.time_attribute), (ChangelogMode::AppendOnly, None, Some(3)));
    assert_eq!(plan.output, PlannedFrom::Node(0));
}

#[test]
fn a_table_as_it_is_needs_no_operator() {
    for sql in ["SELECT * FROM bids", "SELECT auction, bidder, price, channel, ts FROM (SELECT * FROM bids) AS b WHERE TRUE"] {
        let plan = plan(sql);
        assert!(plan.nodes.is_empty(), "{:?}", shown(&plan));
        assert_eq!(plan.output, PlannedFrom::Table("bids".to_owned()));
    }
    let plan = plan("SELECT * FROM totals;");
    assert_eq!((plan.mode, plan.unique_key), (ChangelogMode::Retract, Some(vec![0])));
}

#[test]
fn a_grouped_query_is_calc_aggregate_calc() {
    let plan = plan(
        "SELECT auction, COUNT(*) AS bids, SUM(price) AS volume, AVG(price), COUNT(DISTINCT bidder) FILTER (WHERE price > 100) AS rich \
         FROM bids WHERE price > 0 GROUP BY auction HAVING COUNT(*) > 1",
    );
    assert_eq!(
        shown(&plan),
        [
            "calc-1 <- bids: Calc(select=[auction, price, bidder, (price > 100) AS $f3], where=[(price > 0)])",
            "group-aggregate-1 <- calc-1 by [0]: GroupAggregate(groupBy=[auction], select=[auction, COUNT(*) AS bids, SUM(price) AS volume, \
             AVG(price) AS EXPR$3, COUNT(DISTINCT bidder) FILTER $f3 AS rich])",
            "calc-2 <- group-aggregate-1: Calc(select=[auction, bids, volume, EXPR$3, rich], where=[(bids > 1)])",
        ]
    );
    assert_eq!(columns(&plan), "auction BIGINT, bids BIGINT NOT NULL, volume BIGINT, EXPR$3 BIGINT, rich BIGINT NOT NULL");
    assert_eq!((plan.mode, plan.unique_key), (ChangelogMode::Retract, Some(vec![0])));
}

#[test]
fn an_aggregate_that_needs_no_more_gets_no_calc_behind_it() {
    let plan = plan("SELECT auction, MAX(price) AS best FROM bids GROUP BY auction");
    assert_eq!(plan.nodes.len(), 2);
    assert_eq!(plan.output, PlannedFrom::Node(1));
}

#[test]
fn expressions_in_group_by_are_found_again() {
    let plan = plan(
        "SELECT DATE_FORMAT(ts, 'yyyy-MM-dd') AS `day`, UPPER(channel) || '!' AS c, COUNT(*) + 1 AS n FROM bids \
         GROUP BY DATE_FORMAT(ts, 'yyyy-MM-dd'), UPPER(channel)",
    );
    assert_eq!(
        shown(&plan),
        [
            "calc-1 <- bids: Calc(select=[DATE_FORMAT(ts, 'yyyy-MM-dd') AS $f0, UPPER(channel) AS $f1])",
            "group-aggregate-1 <- calc-1 by [0, 1]: GroupAggregate(groupBy=[$f0, $f1], select=[$f0, $f1, COUNT(*) AS $f2])",
            "calc-2 <- group-aggregate-1: Calc(select=[$f0 AS day, CONCAT($f1, '!') AS c, ($f2 + 1) AS n])",
        ]
    );
    // `c` is not the group itself: nothing is left that tells rows apart.
    assert_eq!(plan.unique_key, None);
}

#[test]
fn distinct_and_union_are_groups_and_unions() {
    let distinct = plan("SELECT DISTINCT bidder FROM bids");
    assert_eq!(
        shown(&distinct),
        ["calc-1 <- bids: Calc(select=[bidder])", "group-aggregate-1 <- calc-1 by [0]: GroupAggregate(groupBy=[bidder], select=[bidder])"]
    );
    let union = plan("SELECT auction, price FROM bids UNION ALL SELECT bidder, 1 FROM bids WHERE price > 1");
    assert_eq!(
        shown(&union),
        [
            "calc-1 <- bids: Calc(select=[auction, price])",
            "calc-2 <- bids: Calc(select=[bidder AS auction, 1 AS price], where=[(price > 1)])",
            "union-1 <- calc-1, calc-2: Union(all=[true], union=[auction, price])",
        ]
    );
    assert_eq!(columns(&union), "auction BIGINT, price BIGINT");
    assert_eq!(plan("SELECT auction FROM bids UNION SELECT bidder FROM bids").nodes.len(), 4);
}

#[test]
fn a_global_aggregate_has_one_subtask_and_one_row() {
    let plan = plan("SELECT COUNT(*), SUM(price) FROM bids");
    assert_eq!(plan.nodes[1].inputs[0].exchange, Exchange::Hash(vec![]));
    assert!(plan.nodes[1].single_subtask && !plan.nodes[0].single_subtask);
    assert_eq!(plan.unique_key, Some(vec![]));
    let types: Vec<bool> = plan.schema.columns.iter().map(|c| c.data_type.nullable).collect();
    assert_eq!(types, [false, true]);
    let only_count = super::tables();
    let analyzed = analyze(&request("SELECT COUNT(*) FROM bids", &only_count)).unwrap();
    assert_eq!(analyzed.used_columns()["bids"].len(), 1, "a source without columns could not say how many rows there are");
}

#[test]
fn with_and_subqueries_are_looked_through() {
    let plan = plan(
        "WITH rich AS (SELECT auction, price / 10 AS tenth FROM bids WHERE price > 100), named (a, b) AS (SELECT * FROM rich) \
         SELECT a AS auction FROM named n WHERE n.b < 7",
    );
    assert_eq!(shown(&plan), ["calc-1 <- bids: Calc(select=[auction], where=[((price > 100) AND ((price / 10) < 7))])"]);
    let nested = plan_names("SELECT AVG(best) AS mean FROM (SELECT auction, MAX(price) AS best FROM bids GROUP BY auction)");
    assert_eq!(nested, ["calc-1", "group-aggregate-1", "calc-2", "group-aggregate-2"]);
}

fn plan_names(sql: &str) -> Vec<String> {
    plan(sql).nodes.into_iter().map(|node| node.uid_suffix).collect()
}

#[test]
fn an_expensive_column_is_not_computed_twice() {
    let names = plan_names("SELECT u, u || 'x' FROM (SELECT UPPER(channel) AS u FROM bids)");
    assert_eq!(names, ["calc-1", "calc-2"]);
}

#[test]
fn only_used_columns_are_asked_for_and_found_where_they_arrive() {
    let tables = tables();
    let analyzed = analyze(&request("SELECT UPPER(channel) AS c, price FROM bids WHERE ts IS NOT NULL", &tables)).unwrap();
    assert_eq!(analyzed.used_columns()["bids"].iter().copied().collect::<Vec<_>>(), [2, 3, 4]);
    assert!(!analyzed.used_columns().contains_key("totals"));
    let projections = BTreeMap::from([("bids".to_owned(), vec![4, 2, 3])]);
    let plan = analyzed.build(&BuildRequest { projections, emit_update_before: true }).unwrap();
    assert_eq!(shown(&plan), ["calc-1 <- bids: Calc(select=[UPPER(channel) AS c, price], where=[ts IS NOT NULL])"]);
    let missing = BTreeMap::from([("bids".to_owned(), vec![2, 3])]);
    let error = analyzed.build(&BuildRequest { projections: missing, emit_update_before: true }).unwrap_err();
    assert_eq!(error.message, "column \"ts\" of \"bids\" is used and does not arrive");
    // A table that is passed through needs an operator when more arrives than it asked for.
    let through = analyze(&request("SELECT auction, bidder FROM bids", &tables)).unwrap();
    let exact = BuildRequest { projections: BTreeMap::from([("bids".to_owned(), vec![0, 1])]), emit_update_before: true };
    assert_eq!(through.build(&exact).unwrap().output, PlannedFrom::Table("bids".to_owned()));
    let more = BuildRequest { projections: BTreeMap::from([("bids".to_owned(), vec![0, 1, 2])]), emit_update_before: true };
    assert_eq!(shown(&through.build(&more).unwrap()), ["calc-1 <- bids: Calc(select=[auction, bidder])"]);
}

#[test]
fn update_before_is_sent_where_it_is_needed() {
    let tables = tables();
    let aggregate = |sql: &str| analyze(&request(sql, &tables)).unwrap();
    let simple = aggregate("SELECT auction, COUNT(*) AS n FROM bids GROUP BY auction");
    assert_eq!(simple.mode(true), ChangelogMode::Retract);
    assert_eq!(simple.mode(false), ChangelogMode::Upsert);
    // HAVING on a value: the row that falls below it must be taken back.
    let having = aggregate("SELECT auction, COUNT(*) AS n FROM bids GROUP BY auction HAVING COUNT(*) < 10");
    assert_eq!(having.mode(false), ChangelogMode::Retract);
    // HAVING on the key decides equally for all versions of a row.
    let by_key = aggregate("SELECT auction, COUNT(*) AS n FROM bids GROUP BY auction HAVING auction < 10");
    assert_eq!(by_key.mode(false), ChangelogMode::Upsert);
    // Without the key in the result a new row replaces nothing.
    let keyless = aggregate("SELECT COUNT(*) AS n FROM bids GROUP BY auction");
    assert_eq!((keyless.mode(false), keyless.unique_key()), (ChangelogMode::Retract, None));
    let nested = aggregate("SELECT n, COUNT(*) AS c FROM (SELECT COUNT(*) AS n FROM bids GROUP BY auction) GROUP BY n");
    let plan = nested.build(&BuildRequest::default()).unwrap();
    assert!(plan.nodes.iter().any(|node| node.factory.describe().contains("COUNT_RETRACT(*)")), "{:?}", shown(&plan));
    let over_updates = aggregate("SELECT bids, COUNT(*) AS n FROM totals GROUP BY bids");
    assert!(over_updates.needs_update_before("totals", false));
    assert!(!aggregate("SELECT auction, bids + 1 AS more FROM totals").needs_update_before("totals", false));
    let upserts = aggregate("SELECT bids, COUNT(*) FROM upserts GROUP BY bids").build(&BuildRequest::default()).unwrap_err();
    assert!(upserts.message.contains("is not supported yet"), "{upserts}");
}

#[test]
fn in_batch_mode_results_are_final() {
    let tables = tables();
    let options = PlanOptions { batch_mode: true, ..PlanOptions::default() };
    let sql = "SELECT auction, COUNT(*) AS n FROM bids GROUP BY auction HAVING COUNT(*) > 1";
    let analyzed = analyze(&TransformRequest { options, ..request(sql, &tables) }).unwrap();
    assert_eq!(analyzed.mode(true), ChangelogMode::AppendOnly);
}

#[test]
fn groups_live_as_long_as_the_option_says_or_a_hint_of_the_query() {
    let tables = tables();
    let hour = Some(Duration::from_hours(1));
    let ttl = |sql: &str| {
        let options = PlanOptions { state_ttl: hour, ..PlanOptions::default() };
        let plan = plan_transform(&TransformRequest { options, ..request(sql, &tables) })?;
        let states: Vec<_> = plan.nodes.iter().flat_map(|node| node.factory.states()).collect();
        Ok::<_, crate::sql::SqlError>(states[0].ttl.map(|ttl| ttl.ttl))
    };
    let grouped = |hint: &str, from: &str| ttl(&format!("SELECT {hint} auction, COUNT(*) AS n FROM {from} GROUP BY auction"));
    assert_eq!(grouped("", "bids"), Ok(hour));
    assert_eq!(grouped("/*+ STATE_TTL('bids' = '2 d') */", "bids"), Ok(Some(Duration::from_hours(48))));
    assert_eq!(grouped("/*+ BROADCAST(bids), state_ttl('b' = '90s') */", "bids AS b"), Ok(Some(Duration::from_secs(90))));
    assert_eq!(grouped("/*+ STATE_TTL('bids' = '0 s') */", "`bids`"), Ok(None));
    assert_eq!(grouped("/* STATE_TTL('bids' = '2 d') */", "bids"), Ok(hour), "a comment");
    assert_eq!(ttl("SELECT DISTINCT auction FROM bids"), Ok(hour));
    for (hint, from, message) in [
        ("/*+ STATE_TTL('bid' = '2 d') */", "bids", "STATE_TTL: the query reads nothing called \"bid\""),
        ("/*+ STATE_TTL('bids' = '2 d') */", "bids b", "STATE_TTL: the query reads nothing called \"bids\""),
        ("/*+ STATE_TTL('bids' = 'soon') */", "bids", "STATE_TTL: "),
        ("/*+ STATE_TTL(bids = '1 d') */", "bids", "STATE_TTL: expected STATE_TTL('table' = '1 h')"),
        ("/*+ STATE_TTL */", "bids", "STATE_TTL: expected STATE_TTL('table' = '1 h')"),
        ("/*+ STATE_TTL('x' = '1 d') */", "(SELECT * FROM bids) x", "STATE_TTL in a query of several SELECTs is not supported yet"),
    ] {
        let error = grouped(hint, from).unwrap_err();
        assert!(error.message.starts_with(message), "{hint}: {error}");
    }
}

#[test]
fn names_that_come_twice_get_a_number() {
    assert_eq!(
        columns(&plan("SELECT price, price, price + 1, price AS price0 FROM bids")).replace(" BIGINT", ""),
        "price, price0, EXPR$2, price00"
    );
    assert_eq!(columns(&plan("SELECT b.*, 1 FROM bids AS b")).split(", ").count(), 6);
}

#[test]
fn what_is_not_supported_is_named() {
    for (sql, construct) in [
        ("SELECT * FROM bids JOIN totals ON bids.auction = totals.auction", "JOIN"),
        ("SELECT * FROM bids, totals", "a list of tables in FROM (a JOIN)"),
        ("SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))", "TUMBLE"),
        ("SELECT ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price) FROM bids", "ROW_NUMBER with OVER"),
        ("SELECT SUM(price) OVER (ORDER BY ts) FROM bids", "SUM with OVER"),
        ("SELECT * FROM bids ORDER BY price", "ORDER BY"),
        ("SELECT * FROM bids LIMIT 3", "LIMIT"),
        ("SELECT * FROM bids WHERE auction IN (SELECT auction FROM totals)", "IN with a query"),
        ("SELECT * FROM bids WHERE EXISTS (SELECT 1 FROM totals)", "EXISTS"),
        ("SELECT auction, COUNT(*) FROM bids GROUP BY GROUPING SETS ((auction), ())", "GROUPING SETS"),
        ("SELECT auction, COUNT(*) FROM bids GROUP BY ROLLUP (auction)", "ROLLUP"),
        ("SELECT auction FROM bids INTERSECT SELECT bidder FROM bids", "INTERSECT"),
        ("SELECT LISTAGG(channel) FROM bids", "LISTAGG"),
        ("SELECT 1", "SELECT without FROM"),
        ("VALUES (1)", "VALUES"),
        ("WITH RECURSIVE r AS (SELECT * FROM bids) SELECT * FROM r", "WITH RECURSIVE"),
    ] {
        let error = plan_transform(&request(sql, &tables())).unwrap_err();
        assert!(error.message.contains(construct) && error.message.ends_with("is not supported yet"), "{sql}: {error}");
    }
}

#[test]
fn errors_point_at_the_place_and_know_the_nearest_name() {
    for (sql, place, message, hint) in [
        ("SELECT auctoin FROM bids", "auctoin", "there is no column \"auctoin\" in \"bids\"", "did you mean \"auction\"?"),
        ("SELECT Auction FROM bids", "Auction", "there is no column \"Auction\" in \"bids\"", "did you mean \"auction\"?"),
        ("SELECT *\nFROM bid", "bid", "there is no table \"bid\"", "did you mean \"bids\"?"),
        ("SELECT x.price FROM bids b", "x.price", "there is no table \"x\" here", ""),
        ("SELECT UPER(channel) FROM bids", "UPER", "there is no function \"UPER\"", "did you mean \"UPPER\"?"),
        ("SELECT DATE_TRUNC('day', ts) FROM bids", "DATE_TRUNC", "there is no function \"DATE_TRUNC\"", ""),
        ("SELECT price + channel || 'ä' + TRUE FROM bids", "", "+ cannot be applied to", ""),
        ("SELECT channel FROM bids WHERE price", "price", "WHERE takes a BOOLEAN, not BIGINT", ""),
        ("SELECT auction, price FROM bids GROUP BY auction", "price", "column \"price\" is neither in GROUP BY nor in an aggregate", ""),
        ("SELECT SUM(channel) FROM bids", "SUM(channel)", "SUM does not take STRING", ""),
        ("SELECT price FROM bids WHERE SUM(price) > 1", "SUM(price)", "WHERE takes no aggregate such as SUM", ""),
        ("SELECT SUM(MAX(price)) FROM bids", "MAX(price)", "an aggregate takes no aggregate such as MAX", ""),
        ("SELECT auction FROM bids GROUP BY 1", "1", "Flink does not read a number in GROUP BY as a position", "repeat the expression"),
        ("SELECT CAST(price AS STRNG) FROM bids", "", "\"STRNG\" is no type", "did you mean \"STRING\"?"),
        ("SELECT \"price\" FROM bids", "\"price\"", "double quotes have no meaning in Flink SQL", ""),
        ("SELECT auction FROM bids UNION ALL SELECT channel FROM bids", "", "BIGINT and STRING have no common type", ""),
        ("SELECT auction FROM bids UNION ALL SELECT * FROM bids", "", "UNION of 1 columns and 5 columns", ""),
        ("SELECT FROM WHERE", "", "", ""),
        ("SELECT a b c FROM bids", "c", "unexpected c behind the query", ""),
        ("INSERT INTO t SELECT 1", "INSERT", "a transform's SQL is one query: expected SELECT or WITH, found INSERT", ""),
        ("SELECT * FROM bids; SELECT 1", "SELECT", "unexpected SELECT behind the query", ""),
        ("", "", "the query is empty", ""),
        ("SELECT 'open FROM bids", "", "", ""),
    ] {
        let error = plan_transform(&request(sql, &tables())).unwrap_err();
        assert!(error.message.contains(message), "{sql}: {}", error.message);
        let found = pointed(sql, &error);
        assert!(place.is_empty() || found.trim_end() == place, "{sql}: points at \"{found}\"");
        assert!(error.hint.as_deref().unwrap_or("").contains(hint), "{sql}: {:?}", error.hint);
    }
}

#[test]
fn planning_takes_less_than_five_milliseconds() {
    let tables = tables();
    let sql = "SELECT channel, DATE_FORMAT(ts, 'yyyy-MM-dd') AS `day`, COUNT(*) AS total, COUNT(*) FILTER (WHERE price < 10000) AS low, \
               COUNT(DISTINCT bidder) AS bidders, MAX(price) AS best FROM bids GROUP BY channel, DATE_FORMAT(ts, 'yyyy-MM-dd')";
    let times = (0..20).map(|_| {
        let start = Instant::now();
        assert_eq!(plan_transform(&request(sql, &tables)).unwrap().nodes.len(), 3);
        start.elapsed()
    });
    let best = times.min().unwrap();
    println!("planned in {best:?}");
    assert!(best < Duration::from_millis(5), "{best:?}");
}
