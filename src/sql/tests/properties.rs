//! No text makes the planner panic, and nothing that it plans panics on rows.

use super::{evaluate, request, sample, tables};
use crate::sql::{analyze_expression, plan_transform};
use proptest::prelude::*;

/// Expressions that are right as often as wrong.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["i", "l", "d", "s", "b", "p", "t", "day", "z", "nope", "NULL", "TRUE", "''", "'12'", "'x%'"])
            .prop_map(str::to_owned),
        any::<i64>().prop_map(|n| n.to_string()),
        (any::<i32>(), 0_u32..1_000).prop_map(|(a, b)| format!("{a}.{b}")),
        prop::sample::select(vec![
            "INTERVAL '4' SECOND",
            "INTERVAL '9' MONTH",
            "DATE '2020-01-31'",
            "TIMESTAMP '9999-12-31 23:59:59'",
            "1e300"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let functions: Vec<&'static str> = crate::expr::functions::names().collect();
        let types = vec![
            "INT",
            "TINYINT",
            "BIGINT",
            "DOUBLE",
            "STRING",
            "DECIMAL(5, 2)",
            "DECIMAL(38, 10)",
            "DATE",
            "TIMESTAMP(3)",
            "TIMESTAMP(9)",
            "BOOLEAN",
            "CHAR(3)",
        ];
        let operators = vec!["+", "-", "*", "/", "%", "=", "<>", "<", ">=", "AND", "OR", "||", "LIKE", "IS DISTINCT FROM"];
        let units = vec!["YEAR", "QUARTER", "WEEK", "DAY", "HOUR", "CENTURY"];
        prop_oneof![
            (inner.clone(), prop::sample::select(operators), inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (prop::sample::select(functions), prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(name, args)| format!("{name}({})", args.join(", "))),
            (prop::sample::select(vec!["CAST", "TRY_CAST"]), inner.clone(), prop::sample::select(types))
                .prop_map(|(cast, a, to)| format!("{cast}({a} AS {to})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("CASE WHEN {a} THEN {b} ELSE {c} END")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} IN ({b}, NULL))")),
            (prop::sample::select(units), inner.clone(), inner.clone()).prop_map(|(unit, a, b)| format!("TIMESTAMPADD({unit}, {a}, {b})")),
            (prop::sample::select(vec!["FLOOR", "CEIL"]), inner.clone()).prop_map(|(f, a)| format!("{f}({a} TO MONTH)")),
            inner.prop_map(|a| format!("-{a}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_expression_panics(text in expression()) {
        // Values have the type that was said, or evaluation fails with a message: `evaluate` checks the type.
        let _ = evaluate(&text);
    }

    #[test]
    fn no_text_panics(text in "[ -~äß\n]{0,60}") {
        let _ = analyze_expression(&text, &sample().0);
        let tables = tables();
        let _ = plan_transform(&request(&text, &tables));
        let wrapped = format!("SELECT {text} FROM bids");
        if let Some(place) = plan_transform(&request(&wrapped, &tables)).err().and_then(|error| error.offset) {
            prop_assert!(wrapped.get(place.clone()).is_some(), "{place:?} is no place in {wrapped:?}");
        }
    }
}

#[test]
fn long_chains_are_refused_not_followed() {
    let chain = vec!["i"; 3_000].join(" + ");
    assert!(evaluate(&chain).unwrap_err().contains("operators in one chain"));
    let shorter = vec!["i"; 800].join(" + ");
    assert!(evaluate(&shorter).unwrap_err().contains("operators in one chain"));
    let beside = format!("SELECT {shorter} FROM bids JOIN totals ON TRUE");
    assert!(plan_transform(&request(&beside, &tables())).is_err());
    let unions = vec!["SELECT auction FROM bids"; 300].join(" UNION ALL ");
    assert_eq!(plan_transform(&request(&unions, &tables())).unwrap().nodes.len(), 301);
    let long = vec!["i"; 20_000].join(" + ");
    assert!(evaluate(&long).unwrap_err().contains("words and signs"));
}

#[test]
fn deep_expressions_are_refused_not_followed() {
    let parentheses = format!("{}i{}", "(".repeat(3_000), ")".repeat(3_000));
    assert!(evaluate(&parentheses).is_err());
    let nested = (0..30).fold("i".to_owned(), |inner, _| format!("NULLIF({inner}, 1 / z)"));
    assert!(evaluate(&nested).is_err());
}

#[test]
fn chains_within_the_limit_are_evaluated() {
    let ors = vec!["i = 1"; 300].join(" OR ");
    assert_eq!(evaluate(&ors).unwrap().0, ["FALSE", "NULL"]);
}
