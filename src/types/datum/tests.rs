//! Values through columns and through their two encodings.

use super::*;
use crate::types::{Column, Schema, TypeKind};
use proptest::prelude::*;

fn datum() -> impl Strategy<Value = Datum> {
    let leaf = prop_oneof![
        Just(Datum::Null),
        any::<bool>().prop_map(Datum::Boolean),
        any::<i64>().prop_map(Datum::Long),
        (-3_i64..3).prop_map(Datum::Long),
        any::<f64>().prop_map(Datum::double),
        any::<i128>().prop_map(Datum::decimal),
        "[\\x00a-c]{0,4}".prop_map(Datum::from),
        prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255)], 0..4).prop_map(|v| Datum::Bytes(v.into())),
    ];
    leaf.prop_recursive(2, 12, 3, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            items.clone().prop_map(|v| Datum::List(v.into())),
            items.prop_map(|v| Datum::Row(v.into())),
            prop::collection::vec((inner.clone(), inner), 0..3).prop_map(|v| Datum::Map(v.into())),
        ]
    })
}

proptest! {
    #[test]
    fn values_come_back_from_both_encodings_and_encoded_keys_compare_as_the_values(a in datum(), b in datum()) {
        let (mut bytes, mut left, mut right) = (Vec::new(), Vec::new(), Vec::new());
        encode_datum(&a, &mut bytes);
        encode_datum(&b, &mut bytes);
        let mut rest = bytes.as_slice();
        prop_assert_eq!(&decode_datum(&mut rest).unwrap(), &a);
        prop_assert_eq!(&decode_datum(&mut rest).unwrap(), &b);
        prop_assert!(rest.is_empty());
        encode_ordered(&a, &mut left);
        encode_ordered(&b, &mut right);
        prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        prop_assert_eq!(&decode_ordered(&mut left.as_slice()).unwrap(), &a);
        for cut in 0..left.len() {
            prop_assert!(decode_ordered(&mut &left[..cut]).is_err());
        }
    }
}

#[test]
fn a_value_takes_24_bytes() {
    assert_eq!(size_of::<Datum>(), 24);
}

fn every_type() -> Vec<(TypeKind, Datum)> {
    let boxed = |kind| Box::new(LogicalType::nullable(kind));
    let row = vec![("a".to_owned(), LogicalType::not_null(TypeKind::Int)), ("b".to_owned(), LogicalType::nullable(TypeKind::String))];
    vec![
        (TypeKind::Boolean, true.into()),
        (TypeKind::TinyInt, Datum::Long(-128)),
        (TypeKind::SmallInt, Datum::Long(-32_768)),
        (TypeKind::Int, Datum::Long(7)),
        (TypeKind::BigInt, Datum::Long(i64::MAX)),
        (TypeKind::Float, Datum::double(1.5)),
        (TypeKind::Double, Datum::double(-0.1)),
        (TypeKind::Decimal(38, 2), Datum::decimal(-12_345_678_901_234_567_890_123)),
        (TypeKind::Char(3), "abc".into()),
        (TypeKind::String, "".into()),
        (TypeKind::Bytes, Datum::Bytes([0, 1].into())),
        (TypeKind::Date, Datum::Long(-1)),
        (TypeKind::Time, Datum::Long(86_399_999)),
        (TypeKind::Timestamp(0), Datum::Long(1)),
        (TypeKind::Timestamp(3), Datum::Long(2)),
        (TypeKind::TimestampLtz(6), Datum::Long(3)),
        (TypeKind::TimestampLtz(9), Datum::Long(4)),
        (TypeKind::Array(boxed(TypeKind::Int)), Datum::List([Datum::Long(1), Datum::Null].into())),
        (TypeKind::Map(boxed(TypeKind::String), boxed(TypeKind::BigInt)), Datum::Map([("k".into(), Datum::Null)].into())),
        (TypeKind::Row(row), Datum::Row([Datum::Long(1), Datum::Null].into())),
    ]
}

#[test]
fn values_of_every_type_go_through_a_column_with_nulls_between_them() {
    for (kind, value) in every_type() {
        let data_type = LogicalType::nullable(kind);
        let mut builder = DatumBuilder::new(&data_type);
        for value in [&value, &Datum::Null, &value] {
            builder.append(value).unwrap();
        }
        let array = builder.finish().unwrap();
        assert_eq!(array.data_type(), &data_type.to_arrow());
        let column = DatumColumn::new(&array).unwrap();
        assert_eq!([column.get(0), column.get(1), column.get(2)], [value.clone(), Datum::Null, value], "{data_type}");
        assert!(builder.is_empty(), "{data_type}");
        assert!(DatumColumn::new(&array.slice(1, 2)).unwrap().is_null(0), "{data_type}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_value_and_type() {
    let refuse = |kind, value: Datum| DatumBuilder::new(&LogicalType::not_null(kind)).append(&value).unwrap_err().to_string();
    assert_eq!(refuse(TypeKind::TinyInt, Datum::Long(128)), "128 does not fit into TINYINT NOT NULL");
    assert_eq!(refuse(TypeKind::Int, Datum::Null), "NULL does not fit into INT NOT NULL");
    assert_eq!(refuse(TypeKind::Decimal(3, 1), Datum::decimal(1000)), "the digits 1000 does not fit into DECIMAL(3, 1) NOT NULL");
    assert_eq!(refuse(TypeKind::BigInt, "1".into()), "a STRING does not fit into BIGINT NOT NULL");
}

#[test]
fn a_row_that_lacks_a_value_gets_null_where_the_column_allows_it() {
    let column = |name: &str, nullable| Column { name: name.to_owned(), data_type: LogicalType { kind: TypeKind::Int, nullable } };
    let mut rows = RowBuilder::new(&Schema::new(vec![column("a", false), column("b", true)]));
    rows.append(&[Datum::Long(1)]).unwrap();
    rows.append(&[Datum::Long(2), Datum::Long(3)]).unwrap();
    let batch = rows.finish().unwrap();
    assert_eq!((batch.num_rows(), batch.column(1).null_count()), (2, 1));
    let error = rows.append(&[]).unwrap_err().to_string();
    assert!(error.contains("column a INT NOT NULL has no value"), "{error}");
}
