//! Checkpoints and savepoints on S3: jobs as processes against a real server, which the tests start themselves.

mod server;

use super::job_dir::{Ended, GoldenJob, JobDir, Start, until};
use flink::storage::Storage;
use serde_json::Value;
use server::{Server, objects};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Often, but not more often than a server in Python answers.
const OFTEN: &str = "50 ms";

fn on_s3(place: &str) -> Vec<String> {
    vec![format!("execution.checkpointing.dir=s3://bucket/{place}"), format!("execution.checkpointing.savepoint-dir=s3://bucket/{place}")]
}

fn dir_of<'a>(job: &'a GoldenJob, server: &Server) -> JobDir<'a> {
    let mut dir = JobDir::without_input(job);
    dir.environment = server.environment();
    dir
}

/// The complete checkpoints that the command line finds below `path`, the newest last.
fn snapshots(dir: &JobDir<'_>, path: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(&dir.answer(&["state", "ls", "-o", "json", path])).unwrap();
    let mut found: Vec<&Value> = document["snapshots"].as_array().unwrap().iter().collect();
    found.sort_by_key(|s| (s["time"].as_str().unwrap().to_owned(), s["checkpoint-id"].as_u64()));
    found.into_iter().map(|s| s["path"].as_str().unwrap().to_owned()).collect()
}

fn metadata_below(storage: &dyn Storage, path: &str) -> Vec<String> {
    objects(storage, path).into_iter().filter(|path| path.ends_with("/_metadata")).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Writes an object as any other tool would.
fn put(storage: &dyn Storage, path: &str, bytes: &[u8]) {
    let mut file = storage.create(Path::new(path)).unwrap();
    file.write_all(bytes).unwrap();
    file.sync().unwrap();
}

#[test]
fn a_job_that_is_killed_goes_on_from_the_bucket_on_either_backend_and_leaves_nothing_behind() {
    let server = Server::start();
    let storage = server.storage();
    for name in ["aggregate", "lua-states"] {
        let job = GoldenJob::named(name);
        let place = format!("s3://bucket/{name}");
        let mut dir = dir_of(&job, &server);
        let mut restore = None;
        // On the heap; on RocksDB, whose checkpoints share files; from a URL at another parallelism.
        for (life, (parallelism, rocksdb)) in [(1, false), (2, true), (3, true)].into_iter().enumerate() {
            let before = metadata_below(&*storage, &place);
            let start = Start {
                parallelism,
                rocksdb,
                lasting: true,
                restore: restore.clone(),
                checkpoints: Some(OFTEN),
                options: on_s3(name),
                ..Start::default()
            };
            let mut running = dir.start(&start);
            running.job();
            dir.feed(2);
            let new = |path: &String| !before.contains(path);
            until("checkpoints", || {
                assert!(!running.has_ended(), "{}", running.said());
                metadata_below(&*storage, &place).iter().any(new).then_some(())
            });
            // States of functions are in memory on either backend.
            if rocksdb && name == "aggregate" {
                until("shared files", || objects(&*storage, &place).iter().any(|path| path.contains("/shared/")).then_some(()));
            }
            assert_eq!(running.kill(), Ended::Killed);
            restore = Some(if life == 1 { snapshots(&dir, &place).pop().unwrap() } else { "latest".to_owned() });
        }
        dir.feed(usize::MAX);
        let own = |path: &str| path.rsplit('/').nth(2).unwrap().to_owned();
        let dead: Vec<String> = metadata_below(&*storage, &place).iter().map(|path| own(path)).collect();
        dir.run(&Start { restore, checkpoints: Some(OFTEN), options: on_s3(name), ..Start::default() });
        dir.assert_expected("killed three times, with its checkpoints in a bucket");
        let left = objects(&*storage, &place);
        assert!(
            left.iter().all(|path| dead.iter().any(|job| path.contains(job.as_str()))),
            "the job that finished left something: {left:?}"
        );
    }
}

#[test]
fn a_savepoint_in_the_bucket_is_looked_into_restored_and_disposed_of() {
    let server = Server::start();
    let storage = server.storage();
    let job = GoldenJob::named("aggregate");
    let mut dir = dir_of(&job, &server);
    dir.feed(4);
    let start = Start { lasting: true, checkpoints: Some("0"), options: on_s3("chk"), ..Start::default() };
    let mut running = dir.start(&start);
    let id = running.job();
    until("rows to move", || (dir.rows_moved(&id) > 0).then_some(()));
    let first = dir.answer(&["savepoint", "-q", &id, "s3a://bucket/sav/"]);
    assert!(first.starts_with("s3://bucket/sav/savepoint-"), "{first}");
    let stopped = dir.answer(&["stop", "-q", "-p", "s3://bucket/sav", &id]);
    running.finish();
    assert_eq!(metadata_below(&*storage, "s3://bucket/sav").len(), 2);

    let listed = dir.answer(&["state", "ls", &stopped]);
    assert!(listed.contains("group-aggregate-1") && listed.contains(&stopped), "{listed}");
    assert_eq!(snapshots(&dir, "s3://bucket/sav").len(), 2);
    let shown = dir.answer(&["state", "show", &stopped, "--limit", "3"]);
    assert!(shown.contains("customer"), "{shown}");
    dir.answer(&["state", "export", &stopped, "totals/group-aggregate-1/groups", "--to", "rows.parquet"]);
    assert!(dir.path().join("rows.parquet").exists());
    dir.answer(&["state", "diff", &first, &stopped]);
    dir.answer(&["state", "verify", &stopped]);
    dir.answer(&["state", "seal", &stopped]);
    dir.answer(&["check", "-s", &stopped, "job.toml"]);
    let words =
        ["state", "import", "job.toml", "-q", "--state", "totals/group-aggregate-1/groups=rows.parquet", "--to", "s3://bucket/built"];
    let built = dir.answer(&words);
    assert!(built.starts_with("s3://bucket/built/savepoint-"), "{built}");
    dir.answer(&["state", "verify", &built]);
    assert!(dir.answer(&["check", "-s", &built, "job.toml"]).contains("totals/group-aggregate-1/groups"));
    let same = dir.answer(&["state", "diff", "-o", "json", &stopped, &built, "totals/group-aggregate-1/groups"]);
    assert_eq!(serde_json::from_str::<Value>(&same).unwrap()["same"], true, "{same}");

    // Another byte in a file is found out.
    let file = objects(&*storage, &first).into_iter().find(|path| path.ends_with(".parquet")).unwrap();
    let mut bytes = storage.read(Path::new(&file), 1 << 30).unwrap();
    bytes[7] ^= 1;
    put(&*storage, &file, &bytes);
    let altered = dir.flink(&["run", "-s", &first, "job.toml"]);
    assert_eq!(altered.status.code(), Some(6), "{}", text(&altered));
    assert!(text(&altered).contains(&file), "{}", text(&altered));

    dir.feed(usize::MAX);
    dir.run(&Start { parallelism: 3, rocksdb: true, restore: Some(stopped.clone()), ..Start::default() });
    dir.assert_expected("stopped with a savepoint in a bucket and restored at another parallelism");
    for path in [&first, &stopped] {
        dir.answer(&["savepoint", "-d", path]);
    }
    assert_eq!(objects(&*storage, "s3://bucket/sav"), Vec::<String>::new());
    let gone = dir.flink(&["run", "-s", &stopped, "job.toml"]);
    assert_eq!(gone.status.code(), Some(6));
    assert!(text(&gone).contains("on file system 's3'"), "{}", text(&gone));
}

#[test]
fn a_job_is_cancelled_with_a_savepoint_in_the_bucket() {
    let server = Server::start();
    let job = GoldenJob::named("aggregate");
    let mut dir = dir_of(&job, &server);
    dir.feed(4);
    let mut running = dir.start(&Start { lasting: true, checkpoints: Some("0"), options: on_s3("chk"), ..Start::default() });
    let id = running.job();
    until("rows to move", || (dir.rows_moved(&id) > 0).then_some(()));
    let said = dir.answer(&["cancel", "-s", "s3://bucket/cancelled", &id]);
    running.end_with(1);
    let saved = snapshots(&dir, "s3://bucket/cancelled").pop().unwrap();
    assert!(said.contains(&format!("Savepoint stored in {saved}.")), "{said}");
    dir.feed(usize::MAX);
    dir.run(&Start { restore: Some(saved), ..Start::default() });
    dir.assert_expected("cancelled with a savepoint in a bucket");
}

#[test]
fn a_claimed_savepoint_leaves_the_bucket_with_the_job() {
    let server = Server::start();
    let storage = server.storage();
    let job = GoldenJob::named("aggregate");
    let mut dir = dir_of(&job, &server);
    dir.feed(4);
    let mut running = dir.start(&Start { lasting: true, checkpoints: Some("0"), options: on_s3("claim"), ..Start::default() });
    let id = running.job();
    until("rows to move", || (dir.rows_moved(&id) > 0).then_some(()));
    let stopped = dir.answer(&["stop", "-q", &id]);
    running.finish();
    dir.feed(usize::MAX);
    let claim = "execution.state-recovery.claim-mode=CLAIM".to_owned();
    let options: Vec<String> = on_s3("claim").into_iter().chain([claim]).collect();
    dir.run(&Start { restore: Some(stopped.clone()), checkpoints: Some(OFTEN), options, ..Start::default() });
    dir.assert_expected("restored from a savepoint that it claimed");
    assert_eq!(objects(&*storage, &stopped), Vec::<String>::new());
}

#[test]
fn what_cannot_be_reached_is_named_and_no_secret_is_told() {
    let mut server = Server::start();
    let job = GoldenJob::named("aggregate");
    let mut dir = JobDir::new(&job);
    let wrong_secret = "hunter2-hunter2-hunter2";
    let environment = server.environment();
    let cases = [
        ("AWS_SECRET_ACCESS_KEY", wrong_secret, "s3://bucket/x", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "AKIAHUNTER2HUNTER2", "s3://bucket/x", "InvalidAccessKeyId"),
        ("AWS_REGION", "us-east-1", "s3://missing/x", "the bucket does not exist"),
    ];
    for (variable, value, place, expected) in cases {
        dir.environment = environment.clone();
        dir.environment.push((variable.to_owned(), value.to_owned()));
        let option = format!("-Dexecution.checkpointing.dir={place}");
        let runs: [(&[&str], i32); 4] = [
            (&["run", "-Dexecution.checkpointing.interval=1 s", &option, "job.toml"], 1),
            (&["run", "-s", place, "job.toml"], 6),
            (&["state", "ls", place], 6),
            (&["savepoint", "-d", place], 5),
        ];
        for (words, code) in runs {
            let output = dir.flink(words);
            let said = text(&output);
            assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
            assert!(said.contains(expected) && said.contains(place), "{words:?}: {said}");
            assert!(!said.contains("hunter2") && !said.contains("AKIA") && !said.contains(&server.secret), "{words:?}: {said}");
        }
    }
    dir.environment = environment;
    server.end();
    let output = dir.flink(&["run", "-Dexecution.checkpointing.interval=1 s", "-Dexecution.checkpointing.dir=s3://bucket/x", "job.toml"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("s3://bucket/x") && said.contains("AWS_ENDPOINT_URL") && said.contains("onnect"), "{said}");
    let refused = dir.flink(&["run", "-Dexecution.checkpointing.dir=gs://bucket/x", "job.toml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused).contains("gs: is not available in this version"), "{}", text(&refused));
}

#[test]
fn checkpoints_that_fail_are_counted_and_the_job_goes_on() {
    let mut server = Server::start();
    let job = GoldenJob::named("aggregate");
    let mut dir = dir_of(&job, &server);
    let mut options = on_s3("down");
    options.push("execution.checkpointing.tolerable-failed-checkpoints=1000".to_owned());
    let mut running = dir.start(&Start { lasting: true, checkpoints: Some(OFTEN), options, ..Start::default() });
    let id = running.job();
    dir.feed(2);
    let counts = |name: &str| dir_counts(&dir, &id, name);
    until("a checkpoint", || (counts("completed") > 0).then_some(()));
    // Nothing of a savepoint that comes too late stays.
    let late = dir.flink(&["savepoint", "--timeout", "1 ms", &id, "s3://bucket/late"]);
    assert_eq!(late.status.code(), Some(5), "{}", text(&late));
    let storage = server.storage();
    until("the savepoint to go", || objects(&*storage, "s3://bucket/late").is_empty().then_some(()));
    let nowhere = dir.flink(&["savepoint", &id, "s3://missing/sav"]);
    assert_eq!(nowhere.status.code(), Some(5), "{}", text(&nowhere));
    assert!(text(&nowhere).contains("the bucket does not exist"), "{}", text(&nowhere));
    let before = counts("failed");
    server.end();
    until("failures", || (counts("failed") > before + 1).then_some(()));
    let lost = dir.flink(&["savepoint", &id, "s3://bucket/sav"]);
    assert_eq!(lost.status.code(), Some(5), "{}", text(&lost));
    // The job still works: a savepoint goes to where it can go.
    dir.feed(usize::MAX);
    let path = dir.answer(&["savepoint", "-q", &id, "here"]);
    dir.answer(&["cancel", &id]);
    assert!(!running.has_ended() || running.said().contains("CANCELED"), "{}", running.said());
    running.end_with(1);
    dir.environment.clear();
    fs::create_dir_all(dir.path().join("again")).unwrap();
    dir.answer(&["state", "verify", &path]);
}

fn dir_counts(dir: &JobDir<'_>, job: &str, name: &str) -> u64 {
    dir.ask(job, "/checkpoints").and_then(|found| found["counts"][name].as_u64()).unwrap_or(0)
}

#[test]
fn a_restart_reads_the_local_copy_when_the_bucket_is_out_of_reach() {
    let mut server = Server::start();
    let job = GoldenJob::named("aggregate");
    let mut dir = dir_of(&job, &server);
    let mut options = on_s3("copied");
    options.extend([
        "execution.checkpointing.local-backup.enabled=true".to_owned(),
        "execution.checkpointing.local-backup.dirs=copies".to_owned(),
    ]);
    options.push("restart-strategy.exponential-delay.initial-backoff=10 ms".to_owned());
    let mut running = dir.start(&Start { lasting: true, rocksdb: true, checkpoints: Some(OFTEN), options, ..Start::default() });
    let id = running.job();
    dir.feed(4);
    until("checkpoints", || (dir_counts(&dir, &id, "completed") > 2).then_some(()));
    let copies = dir.path().join("copies").join(&id).join("checkpoints-0");
    let chk = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with("chk-");
    let kept = || -> Vec<PathBuf> { fs::read_dir(&copies).unwrap().map(|e| e.unwrap().path()).filter(|path| chk(path)).collect() };
    // A checkpoint that is being taken may have a copy, too.
    until("a copy", || (1..=2).contains(&kept().len()).then_some(()));
    // No checkpoint may fail: the job restarts, and can read no bucket.
    server.end();
    until("the restore", || {
        assert!(!running.has_ended(), "{}", running.said());
        (dir_counts(&dir, &id, "restored") > 0).then_some(())
    });
    let restored = dir.ask(&id, "/checkpoints").unwrap()["latest"]["restored"]["external_path"].as_str().unwrap().to_owned();
    assert!(restored.starts_with("s3://bucket/copied/"), "{restored}");
    dir.answer(&["cancel", &id]);
    running.end_with(1);
    assert!(!copies.exists(), "the copies go with the job");
}

#[test]
fn what_no_checkpoint_in_the_bucket_needs_is_cleared_away() {
    let server = Server::start();
    let storage = server.storage();
    let job = GoldenJob::named("aggregate");
    let mut dir = dir_of(&job, &server);
    let mut running =
        dir.start(&Start { lasting: true, rocksdb: true, checkpoints: Some(OFTEN), options: on_s3("gc"), ..Start::default() });
    let id = running.job();
    dir.feed(2);
    until("a checkpoint", || (dir_counts(&dir, &id, "completed") > 0).then_some(()));
    running.kill();
    let place = format!("s3://bucket/gc/{id}");
    let (torn, stray) = (format!("{place}/chk-999/totals/part-0.parquet"), format!("{place}/shared/0-0-0-000001.sst.1"));
    put(&*storage, &torn, b"half");
    put(&*storage, &stray, b"nobody's");
    let complete = metadata_below(&*storage, &place);
    let shown = dir.answer(&["state", "gc", "--older-than", "0 s", "s3://bucket/gc"]);
    assert!(shown.contains("chk-999") && shown.contains("nothing was deleted"), "{shown}");
    assert!(storage.entry(Path::new(&torn)).unwrap().is_some());
    dir.answer(&["state", "gc", "--yes", "--older-than", "0 s", "s3://bucket/gc"]);
    let left = objects(&*storage, &place);
    assert!(!left.contains(&torn) && !left.contains(&stray) && complete.iter().all(|path| left.contains(path)), "{left:?}");
    let newest = snapshots(&dir, &place).pop().unwrap();
    dir.answer(&["state", "verify", &newest]);
}

#[test]
fn keys_of_a_job_file_open_the_bucket_and_are_shown_nowhere() {
    let server = Server::start();
    let storage = server.storage();
    let job = GoldenJob::named("aggregate");
    let mut dir = JobDir::without_input(&job);
    let file = dir.path().join("job.toml");
    let keys = format!(
        "s3.access-key = \"{}\"\ns3.secret-key = \"{}\"\ns3.endpoint = \"{}\"\ns3.path.style.access = true\n\n",
        server.key, server.secret, server.endpoint
    );
    let text_of_job = fs::read_to_string(&file).unwrap();
    fs::write(&file, keys + &text_of_job).unwrap();
    let mut running = dir.start(&Start { lasting: true, checkpoints: Some(OFTEN), options: on_s3("keys"), ..Start::default() });
    let id = running.job();
    dir.feed(2);
    until("a checkpoint", || (dir_counts(&dir, &id, "completed") > 0).then_some(()));
    let path = dir.answer(&["savepoint", "-q", &id]);
    let mut shown = vec![dir.ask(&id, "/config").unwrap().to_string()];
    assert!(shown[0].contains("s3.secret-key") && shown[0].contains("******"), "{}", shown[0]);
    for words in [
        &["info", "job.toml"][..],
        &["check", "-v", "job.toml"],
        &["check", "-s", &path, "-o", "json", "job.toml"],
        &["list", "-a", "-o", "json"],
    ] {
        let output = dir.flink(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        shown.push(text(&output));
    }
    // What is wrong beside a secret, and a misspelt one, are shown without it.
    let one_line =
        format!("s3 = {{ access-key = \"{}\", secretkey = \"{}\", path.style.access = \"maybe\" }}\n", server.key, server.secret);
    fs::write(dir.path().join("wrong.toml"), one_line + &text_of_job).unwrap();
    let wrong = dir.flink(&["check", "wrong.toml"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong).contains("s3.path.style.access") && text(&wrong).contains("s3.secretkey"), "{}", text(&wrong));
    shown.push(text(&wrong));
    for record in fs::read_dir(dir.path().join("state/jobs")).unwrap() {
        shown.push(fs::read_to_string(record.unwrap().path()).unwrap());
    }
    let metadata = storage.read(&Path::new(&path).join("_metadata"), 1 << 20).unwrap();
    shown.push(String::from_utf8(metadata).unwrap());
    dir.answer(&["cancel", &id]);
    shown.push(running.said());
    running.end_with(1);
    for text in shown {
        assert!(!text.contains(&server.secret) && !text.contains(&server.key), "{text}");
    }
}

#[test]
fn large_files_and_many_files_are_written_read_and_removed() {
    let server = Server::start();
    let storage = server.storage();
    let path = Path::new("s3://bucket/large/%2E a+b=c");
    let bytes: Vec<u8> = (0..40_000_000_u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 11) as u8).collect();
    let mut file = storage.create(path).unwrap();
    file.write_all(&bytes).unwrap();
    assert_eq!(storage.entry(path).unwrap(), None, "an upload in parts is seen when it is complete");
    file.sync().unwrap();
    drop(file);
    assert!(storage.read(path, 1 << 30).unwrap() == bytes);
    // One that is given up leaves nothing.
    let given_up = Path::new("s3://bucket/large/given-up");
    let mut file = storage.create(given_up).unwrap();
    file.write_all(&bytes).unwrap();
    drop(file);
    assert_eq!(objects(&*storage, "s3://bucket/large"), [path.display().to_string()]);
    // A listing has 1,000 names a page, and as many are deleted at once.
    for n in 0..1_030 {
        put(&*storage, &format!("s3://bucket/many/{}/{n}", n % 3), b"x");
    }
    assert_eq!(objects(&*storage, "s3://bucket/many").len(), 1_030);
    storage.remove_dir_all(Path::new("s3://bucket/many")).unwrap();
    assert_eq!(storage.entry(Path::new("s3://bucket/many")).unwrap(), None);
}

#[test]
fn metadata_is_written_once_whether_the_server_knows_conditions_or_not() {
    let server = Server::start();
    for (n, storage) in [server.storage(), server.storage_with(&[("AWS_CONDITIONAL_PUT", "disabled")])].into_iter().enumerate() {
        let path = PathBuf::from(format!("s3://bucket/once-{n}/_metadata"));
        storage.create_atomic(&path, b"first").unwrap();
        let again = storage.create_atomic(&path, b"second").unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists, "{again}");
        assert_eq!(storage.read(&path, 100).unwrap(), b"first");
    }
}
