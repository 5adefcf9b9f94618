//! Where checkpoints and savepoints lie, how they are found, and what may be deleted.

use super::*;

#[test]
fn the_newest_complete_snapshot_of_a_job_name_is_found() {
    for storage in storages() {
        let job = "/chk/0000000000000000000000000000002a";
        let at = |dir: &str, name: &str, id, kind, time| {
            take(&target(&storage, dir), header(name, id, kind, time)).unwrap();
        };
        at(&format!("{job}/chk-2"), "a", 2, SnapshotKind::Checkpoint, 20);
        at(&format!("{job}/chk-10"), "a", 10, SnapshotKind::Checkpoint, 20);
        at("/sav/savepoint-00002a-000000000001", "a", 1, SnapshotKind::Savepoint, 10);
        at("/sav/savepoint-00002a-000000000002", "b", 3, SnapshotKind::Stop, 99);
        storage.create_dir_all(Path::new(&format!("{job}/chk-11/totals"))).unwrap();
        let directories = [PathBuf::from("/chk"), PathBuf::from("/sav"), PathBuf::from("/none")];
        let find = |name: &str| latest(&*storage, &directories, name).unwrap();
        assert_eq!(find("a").found.unwrap().path, Path::new(job).join("chk-10"), "same time: the higher number");
        assert_eq!(find("b").found.unwrap().kind, SnapshotKind::Stop);
        assert_eq!(find("c").found, None);
        let ids: Vec<_> = checkpoints_of(&*storage, Path::new(job), JobId::from_u128(42)).unwrap().iter().map(|f| f.id.number()).collect();
        assert_eq!(ids, [2, 10], "chk-11 was never completed");
        overwrite(&*storage, &Path::new(job).join("chk-10/_metadata"), b"{");
        let search = find("a");
        assert_eq!((search.found.unwrap().id.number(), search.unreadable.len()), (2, 1));
    }
}

#[test]
fn the_savepoint_of_a_stop_is_found_wherever_it_is_and_only_once_it_is_complete() {
    for storage in storages() {
        let (base, job) = (Path::new("/checkpoints"), JobId::from_u128(42));
        take(&target(&storage, DIR), header("a", 7, SnapshotKind::Checkpoint, 10)).unwrap();
        let elsewhere = "/far/away/savepoint-000000-00000000000a";
        note_stop(&*storage, &job_directory(base, job), Path::new("/far/away/savepoint-000000-000000000009")).unwrap();
        note_stop(&*storage, &job_directory(base, job), Path::new(elsewhere)).unwrap();
        let newest = || latest(&*storage, &[base.to_owned()], "a").unwrap().found.unwrap().path;
        assert_eq!(newest(), Path::new(DIR));
        take(&target(&storage, elsewhere), header("a", 8, SnapshotKind::Stop, 20)).unwrap();
        assert_eq!(newest(), Path::new(elsewhere));
        let of_job: Vec<PathBuf> = checkpoints_of(&*storage, &job_directory(base, job), job).unwrap().into_iter().map(|c| c.path).collect();
        assert_eq!(of_job, [PathBuf::from(DIR), PathBuf::from(elsewhere)]);
        overwrite(&*storage, &base.join(job.to_string()).join("stopped-with"), b"[3");
        assert_eq!(newest(), Path::new(DIR), "a note that cannot be read names nothing");
    }
}

fn directly(dir: &str) -> CheckpointSettings {
    CheckpointSettings {
        interval: None,
        backlog_interval: None,
        mode: CheckpointingMode::ExactlyOnce,
        unaligned: None,
        interruptible_timers: false,
        timeout: Duration::from_mins(10),
        min_pause: Duration::ZERO,
        max_concurrent: 1,
        tolerable_failed: 0,
        num_retained: 1,
        retention: Retention::NoExternalized,
        after_tasks_finish: true,
        incremental: false,
        local_backup: false,
        local_backup_dir: None,
        storage: CheckpointStorage::FileSystem(dir.into()),
        create_subdir: false,
        sync_phase_timeout: None,
        pause_sources: false,
        savepoint_dir: None,
    }
}

#[test]
fn a_directory_that_checkpoints_go_directly_into_is_one_jobs_alone_and_no_checkpoint_of_another_job_is_replaced() {
    let storage: Arc<dyn Storage> = MemoryStorage::new();
    let (settings, job) = (directly("/chk"), JobId::from_u128(7));
    let occupied = |first| occupy(&*storage, &settings, job, CheckpointId::new(first));
    let held = occupied(1).unwrap();
    assert!(held.is_some());
    let error = occupied(1).unwrap_err().to_string();
    assert!(error.starts_with("/chk: another job that runs keeps its checkpoints directly in it. With"), "{error}");
    drop(held);
    take(&target(&storage, "/chk/chk-5"), header("a", 5, SnapshotKind::Checkpoint, 10)).unwrap();
    storage.create_dir_all(Path::new("/chk/chk-9/never-completed")).unwrap();
    let error = occupied(1).unwrap_err().to_string();
    assert!(error.contains("/chk/chk-5 is a checkpoint of job 0000000000000000000000000000002a, and job"), "{error}");
    assert!(occupied(6).unwrap().is_some(), "whoever goes on from it writes behind it");
    overwrite(&*storage, Path::new("/chk/chk-5/_metadata"), b"{");
    assert!(occupied(5).unwrap_err().to_string().contains("a checkpoint of somebody else"));
    let with_subdir = CheckpointSettings { create_subdir: true, ..directly("/chk") };
    assert!(occupy(&*storage, &with_subdir, job, CheckpointId::new(1)).unwrap().is_none());
    assert_eq!(with_subdir.job_directory(job), Some(job_directory(Path::new("/chk"), job)));
    assert_eq!(settings.job_directory(job), Some("/chk".into()));
}

#[test]
fn checkpoints_directly_in_a_directory_are_found_and_told_apart_by_their_jobs() {
    let storage: Arc<dyn Storage> = MemoryStorage::new();
    let (parent, job) = (Path::new("/chk"), JobId::from_u128(42));
    take(&target(&storage, "/chk/chk-5"), header("a", 5, SnapshotKind::Checkpoint, 10)).unwrap();
    let stop = "/far/savepoint-000000-00000000000a";
    take(&target(&storage, stop), header("a", 6, SnapshotKind::Stop, 20)).unwrap();
    note_stop(&*storage, parent, Path::new(stop)).unwrap();
    let newest = latest(&*storage, &[parent.to_owned()], "a").unwrap().found.unwrap();
    assert_eq!(newest.path, Path::new(stop), "the savepoint that the job was stopped with");
    let paths = |job| checkpoints_of(&*storage, parent, job).unwrap().into_iter().map(|c| c.path).collect::<Vec<_>>();
    assert_eq!(paths(job), [PathBuf::from("/chk/chk-5"), PathBuf::from(stop)]);
    assert_eq!(paths(JobId::from_u128(7)), [] as [PathBuf; 0]);
    clear_beside_others(&*storage, parent, CheckpointId::new(8)).unwrap();
    assert_eq!(paths(job), [PathBuf::from("/chk/chk-5")]);
}

#[test]
fn a_claimed_savepoint_is_deleted_whatever_its_directory_is_called() {
    for storage in storages() {
        take(&target(&storage, "/mine/keep-this"), header("a", 7, SnapshotKind::Savepoint, 10)).unwrap();
        overwrite(&*storage, Path::new("/mine/keep-this/notes.txt"), b"mine");
        delete_claimed(&*storage, Path::new("/mine/keep-this")).unwrap();
        assert!(matches!(open(Arc::clone(&storage), "/mine/keep-this"), Err(RestoreError::NoMetadata(_))));
        let left: Vec<PathBuf> = storage.list(Path::new("/mine/keep-this")).unwrap().into_iter().map(|e| e.path).collect();
        assert_eq!(left, [PathBuf::from("/mine/keep-this/notes.txt")], "what is not the savepoint's stays");
        delete_claimed(&*storage, Path::new("/mine/keep-this")).unwrap();
        delete_claimed(&*storage, Path::new("/mine/gone")).unwrap();
    }
}

#[test]
fn disposing_removes_a_savepoint_and_nothing_else() {
    for storage in storages() {
        let dir = "/sav/savepoint-00002a-000000000001";
        take(&target(&storage, dir), header("t", 1, SnapshotKind::Savepoint, 0)).unwrap();
        overwrite(&*storage, &Path::new(dir).join("notes.txt"), b"mine");
        dispose_savepoint(&*storage, &format!("file:{dir}")).unwrap();
        let left: Vec<_> = storage.list(Path::new(dir)).unwrap().into_iter().map(|e| e.path).collect();
        assert_eq!(left, [Path::new(dir).join("notes.txt")]);
        let again = dispose_savepoint(&*storage, dir).unwrap_err();
        assert!(matches!(again, RestoreError::NoMetadata(_)), "{again}");

        overwrite(&*storage, Path::new("/sav/_metadata"), b"not ours");
        let refused = dispose_savepoint(&*storage, "/sav").unwrap_err().to_string();
        assert!(refused.starts_with("Could not dispose savepoint /sav: its _metadata cannot be read"), "{refused}");
        assert!(storage.entry(Path::new("/sav/_metadata")).unwrap().is_some());

        let other = "/sav/savepoint-00002a-000000000002";
        take(&target(&storage, other), header("t", 1, SnapshotKind::Savepoint, 0)).unwrap();
        dispose_savepoint(&*storage, &format!("{other}/_metadata")).unwrap();
        let error = dispose_savepoint(&*storage, other).unwrap_err().to_string();
        assert_eq!(error, format!("Cannot find checkpoint or savepoint file/directory '{other}' on file system 'file'."));
    }
}

#[test]
fn only_directories_of_checkpoints_and_savepoints_are_ever_deleted_whole() {
    for storage in storages() {
        storage.create_dir_all(Path::new("/home/mine")).unwrap();
        overwrite(&*storage, Path::new("/home/mine/letter"), b"mine");
        assert!(delete_checkpoint(&*storage, Path::new("/home/mine")).is_err());
        assert!(delete_checkpoint(&*storage, Path::new("/")).is_err());
        assert!(storage.entry(Path::new("/home/mine/letter")).unwrap().is_some());
        delete_checkpoint(&*storage, Path::new("/home/chk-1")).unwrap();
    }
}

#[test]
fn a_savepoint_directory_is_new_and_says_when_it_cannot_be_made() {
    let memory = MemoryStorage::new();
    let job = JobId::from_u128(0xe8e6_33c4_3478_f81a_4966_bcf1_e781_fd89);
    let first = create_savepoint_directory(&*memory, Path::new("/sav"), job, 0x3bd3_550a_f29c).unwrap();
    assert_eq!(first, Path::new("/sav/savepoint-e8e633-3bd3550af29c"));
    let second = create_savepoint_directory(&*memory, Path::new("/sav"), job, 0x3bd3_550a_f29c).unwrap();
    assert_eq!(second, Path::new("/sav/savepoint-e8e633-3bd3550af29d"));
    let broken = FaultyStorage::over(memory, 0, Faults { fail_from: Some(0), ..Faults::default() });
    let error = create_savepoint_directory(&*broken, Path::new("/proc/nope"), job, 1).unwrap_err().to_string();
    assert!(error.starts_with("Failed to create savepoint directory at /proc/nope"), "{error}");
}
