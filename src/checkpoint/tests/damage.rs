//! Files that are missing, altered, hostile, or contradict each other.

use super::*;

fn written() -> (Arc<dyn Storage>, Vec<PathBuf>) {
    let memory = MemoryStorage::new();
    let storage: Arc<dyn Storage> = Arc::clone(&memory) as _;
    take(&target(&storage, DIR), header("t", 7, SnapshotKind::Checkpoint, 0)).unwrap();
    let files = memory.paths().into_iter().filter(|p| p.extension().is_some_and(|e| e == "parquet")).collect();
    (storage, files)
}

#[test]
fn a_missing_truncated_or_altered_file_is_named_before_anything_starts() {
    let (storage, files) = written();
    assert_eq!(files.len(), 4);
    for file in &files {
        let bytes = storage.read(file, 1 << 20).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        for altered in [&bytes[..bytes.len() - 1], &[], &flipped] {
            overwrite(&*storage, file, altered);
            let error = open(Arc::clone(&storage), DIR).unwrap_err();
            assert!(matches!(&error, RestoreError::AlteredFile { path, .. } if path == file), "{error}");
            assert!(error.to_string().contains(file.to_str().unwrap()) && error.to_string().contains("another checkpoint"), "{error}");
        }
        storage.remove(file).unwrap();
        let error = open(Arc::clone(&storage), DIR).unwrap_err();
        assert!(matches!(&error, RestoreError::MissingFile { path } if path == file), "{error}");
        overwrite(&*storage, file, &bytes);
    }
    assert_whole(&open(storage, DIR).unwrap());
}

#[test]
fn paths_at_which_there_is_no_checkpoint_are_errors_in_flinks_words() {
    let (storage, files) = written();
    let error = |text: &str| open(Arc::clone(&storage), text).unwrap_err().to_string();
    assert_eq!(error("/none"), "Cannot find checkpoint or savepoint file/directory '/none' on file system 'file'.");
    assert!(error("/checkpoints").starts_with("Cannot find meta data file '_metadata' in directory '/checkpoints'."));
    assert!(error(files[0].to_str().unwrap()).starts_with("Cannot find meta data file"));
    assert!(error("s3://bucket/x").ends_with("'s3://bucket/x' on file system 's3'."));
    assert!(error("gs://bucket/x").contains("gs: is not available in this version"));
}

/// The manifest as JSON, changed and written again.
fn with_manifest(storage: &dyn Storage, change: impl FnOnce(&mut serde_json::Value)) {
    let path = Path::new(DIR).join(METADATA);
    let mut json: serde_json::Value = serde_json::from_slice(&storage.read(&path, 1 << 20).unwrap()).unwrap();
    change(&mut json);
    overwrite(storage, &path, json.to_string().as_bytes());
}

#[test]
fn a_manifest_that_leads_out_of_its_directory_or_makes_no_sense_is_refused() {
    let (storage, _) = written();
    let secret = "/checkpoints/secret.parquet";
    overwrite(&*storage, Path::new(secret), b"secret");
    let original = storage.read(&Path::new(DIR).join(METADATA), 1 << 20).unwrap();
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change); 12] = [
        ("outside", |m| m["operators"][0]["operator_states"][0]["files"][0]["path"] = "../../secret.parquet".into()),
        ("outside", |m| m["operators"][0]["operator_states"][0]["files"][0]["path"] = "/checkpoints/secret.parquet".into()),
        ("outside", |m| m["operators"][0]["operator_states"][0]["files"][0]["path"] = "".into()),
        ("twice", |m| m["operators"][0]["operator_states"][0]["files"][0]["path"] = "bids/operator/splits-1.parquet".into()),
        ("max_parallelism", |m| m["max_parallelism"] = 0.into()),
        ("max_parallelism", |m| m["max_parallelism"] = 40_000.into()),
        ("parallelism", |m| m["operators"][1]["parallelism"] = 0.into()),
        ("twice", |m| m["operators"][0]["uid"] = "out".into()),
        ("version 3", |m| m["format_version"] = 3.into()),
        ("two columns", |m| m["operators"][1]["keyed_states"][0]["key"][0]["name"] = "flights".into()),
        ("checksum", |m| m["operators"][0]["operator_states"][0]["files"][0]["xxh3"] = "zz".into()),
        ("JobID", |m| m["job"]["id"] = "x".into()),
    ];
    for (word, change) in changes {
        with_manifest(&*storage, change);
        let error = open(Arc::clone(&storage), DIR).unwrap_err();
        assert!(matches!(&error, RestoreError::Manifest { .. }) && error.to_string().contains(word), "{word}: {error}");
        overwrite(&*storage, &Path::new(DIR).join(METADATA), &original);
    }
}

#[test]
fn hostile_lengths_and_wrong_rows_are_errors() {
    let (storage, _) = written();
    with_manifest(&*storage, |m| m["operators"][1]["keyed_states"][0]["files"][0]["bytes"] = u64::MAX.into());
    assert!(matches!(open(Arc::clone(&storage), DIR), Err(RestoreError::AlteredFile { .. })));
    with_manifest(&*storage, |m| {
        let file = m["operators"][1]["keyed_states"][0]["files"][0].as_object_mut().unwrap();
        file.remove("bytes");
        file["rows"] = 319.into();
    });
    let error = open(storage, DIR).unwrap().keyed_state(&totals(), subtask(0, 2)).unwrap_err().to_string();
    assert!(error.contains("320 rows, 319 were written"), "{error}");
}

#[test]
fn a_file_that_another_tool_has_written_is_read_once_its_checks_are_removed() {
    let (storage, _) = written();
    let path = Path::new(DIR).join("totals/group-aggregate-1/groups/part-0.parquet");
    // Other column types and another order, as a data frame might have them.
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("flights", Arc::new(Int32Array::from(vec![5]))),
        ("carrier", Arc::new(arrow::array::LargeStringArray::from(vec!["AA"]))),
        ("key_group", Arc::new(Int64Array::from(vec![3]))),
        ("miles", Arc::new(Decimal128Array::from(vec![7]).with_precision_and_scale(10, 1).unwrap())),
        ("expires_at", Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![9_000]).with_timezone("UTC"))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    overwrite(&*storage, &path, &bytes);
    with_manifest(&*storage, |m| {
        let file = m["operators"][1]["keyed_states"][0]["files"][0].as_object_mut().unwrap();
        file.retain(|key, _| key == "path");
    });
    let opened = open(Arc::clone(&storage), DIR).unwrap();
    let states = opened.keyed_state(&totals(), subtask(0, 2)).unwrap();
    let batch = &states[0].batches[0];
    assert_eq!((batch.schema(), batch.num_rows()), (descriptor().columns().to_arrow(), 1));
    assert_eq!(batch.column(3).as_any().downcast_ref::<Decimal128Array>().unwrap().value(0), 70);

    with_manifest(&*storage, |m| m["operators"][1]["keyed_states"][0]["value"][0]["name"] = "departures".into());
    let error = open(storage, DIR).unwrap().keyed_state(&totals(), subtask(0, 2)).unwrap_err().to_string();
    assert!(error.contains("column departures is missing"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    /// Checksums are left out here: what is tested is that the decoder survives anything.
    #[test]
    fn no_bytes_make_the_reader_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in any::<prop::sample::Index>(), whole: bool) {
        let (storage, files) = written();
        for file in &files {
            let mut bytes = storage.read(file, 1 << 20).unwrap();
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            overwrite(&*storage, file, &bytes);
        }
        with_manifest(&*storage, |m| {
            for operator in 0..2 {
                for kind in ["keyed_states", "operator_states"] {
                    let Some(files) = m["operators"][operator].get_mut(kind) else { continue };
                    for file in files[0]["files"].as_array_mut().unwrap() {
                        file.as_object_mut().unwrap().retain(|key, _| key == "path");
                    }
                }
            }
        });
        let opened = open(storage, DIR).unwrap();
        for (range, uid) in [(subtask(0, 1), totals()), (subtask(1, 3), totals())] {
            if let Ok(states) = opened.keyed_state(&uid, range) {
                prop_assert!(states[0].batches.iter().all(|b| b.schema() == descriptor().columns().to_arrow()));
            }
        }
        let _ = opened.operator_state(&OperatorUid::new("bids"), "splits").map(|b| b.len());
    }

    #[test]
    fn no_manifest_makes_the_reader_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), "[\\PC]{0,3}"), 0..5), cut in any::<prop::sample::Index>()) {
        let (storage, _) = written();
        let path = Path::new(DIR).join(METADATA);
        let mut text = String::from_utf8(storage.read(&path, 1 << 20).unwrap()).unwrap();
        for (at, replacement) in &changes {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, replacement);
            }
        }
        if changes.is_empty() {
            text.truncate(cut.index(text.len()));
        }
        overwrite(&*storage, &path, text.as_bytes());
        if let Ok(opened) = open(storage, DIR) {
            for operator in &opened.manifest().operators {
                let _ = opened.keyed_state(&operator.uid, subtask(0, 1)).map(|s| s.len());
            }
        }
    }
}
