# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_flink_global_optspecs
    string join \n m/jobmanager= o/output= q/quiet v/verbose no-progress h/help V/version
end

function __fish_flink_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_flink_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_flink_using_subcommand
    set -l cmd (__fish_flink_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c flink -n "__fish_flink_needs_command" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_needs_command" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_needs_command" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_needs_command" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_needs_command" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_needs_command" -s V -l version -d 'Print version'
complete -c flink -n "__fish_flink_needs_command" -f -a "run" -d 'Run a job, until it ends or detached'
complete -c flink -n "__fish_flink_needs_command" -f -a "savepoint" -d 'Take a savepoint of a running job, or dispose of one'
complete -c flink -n "__fish_flink_needs_command" -f -a "stop" -d 'Stop a running job with a savepoint'
complete -c flink -n "__fish_flink_needs_command" -f -a "cancel" -d 'Cancel a running job'
complete -c flink -n "__fish_flink_needs_command" -f -a "list" -d 'List jobs'
complete -c flink -n "__fish_flink_needs_command" -f -a "checkpoint" -d 'Take a checkpoint of a running job now'
complete -c flink -n "__fish_flink_needs_command" -f -a "info" -d 'Show the plan of a job without running it'
complete -c flink -n "__fish_flink_needs_command" -f -a "check" -d 'Check a job without running it: is it valid, and would a savepoint restore'
complete -c flink -n "__fish_flink_needs_command" -f -a "state" -d 'Look into savepoints and checkpoints: list, show, compare, verify; edit, build and clean up'
complete -c flink -n "__fish_flink_needs_command" -f -a "generate" -d 'Write the man pages and completions'
complete -c flink -n "__fish_flink_using_subcommand run" -s p -l parallelism -d 'The number of subtasks of every operator (parallelism.default)' -r
complete -c flink -n "__fish_flink_using_subcommand run" -s D -d 'Set one of Flink\'s options; overrides the file' -r
complete -c flink -n "__fish_flink_using_subcommand run" -s s -l fromSavepoint -d 'Restore the job from a savepoint or retained checkpoint: its directory or its _metadata (a path, a file: or an s3: URL), or "latest"' -r -F
complete -c flink -n "__fish_flink_using_subcommand run" -l claimMode -l restoreMode -d 'Who owns the savepoint from then on [possible values: claim, no_claim]' -r
complete -c flink -n "__fish_flink_using_subcommand run" -l detached-as -d 'The id of the job, and that this process is the detached one' -r
complete -c flink -n "__fish_flink_using_subcommand run" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand run" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand run" -s d -l detached -d 'Return as soon as the job runs; it goes on in the background'
complete -c flink -n "__fish_flink_using_subcommand run" -s n -l allowNonRestoredState -d 'Skip state of the savepoint that the job no longer has'
complete -c flink -n "__fish_flink_using_subcommand run" -l dry-run -d 'Start nothing: say whether the job is valid, and what would become of each state of the savepoint'
complete -c flink -n "__fish_flink_using_subcommand run" -l shutdownOnAttachedExit -d 'Accepted for the sake of scripts: Ctrl-C on an attached job always cancels it'
complete -c flink -n "__fish_flink_using_subcommand run" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand run" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand run" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand savepoint" -l status -d 'Say how far the savepoint is that was triggered under this id' -r
complete -c flink -n "__fish_flink_using_subcommand savepoint" -s d -l dispose -d 'Dispose of this savepoint instead' -r -f -a "(__fish_complete_directories)"
complete -c flink -n "__fish_flink_using_subcommand savepoint" -l type -d 'The format of the savepoint: canonical (open files), or native (those of the job\'s state backend; quicker)' -r
complete -c flink -n "__fish_flink_using_subcommand savepoint" -l timeout -d 'Give the savepoint up after this time; without, after the job\'s execution.checkpointing.timeout' -r
complete -c flink -n "__fish_flink_using_subcommand savepoint" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand savepoint" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand savepoint" -l detached -d 'Do not wait for the savepoint; print the id of the request'
complete -c flink -n "__fish_flink_using_subcommand savepoint" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand savepoint" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand savepoint" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand savepoint" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand stop" -s p -l savepointPath -d 'Where the savepoint goes; without, the job\'s execution.checkpointing.savepoint-dir' -r -f -a "(__fish_complete_directories)"
complete -c flink -n "__fish_flink_using_subcommand stop" -l type -d 'The format of the savepoint: canonical (open files), or native (those of the job\'s state backend; quicker)' -r
complete -c flink -n "__fish_flink_using_subcommand stop" -l timeout -d 'Give the savepoint up after this time; without, after the job\'s execution.checkpointing.timeout' -r
complete -c flink -n "__fish_flink_using_subcommand stop" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand stop" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand stop" -s d -l drain -d 'Emit the maximum watermark before the savepoint: windows and timers fire'
complete -c flink -n "__fish_flink_using_subcommand stop" -l detached -d 'Do not wait for the savepoint; print the id of the request'
complete -c flink -n "__fish_flink_using_subcommand stop" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand stop" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand stop" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand cancel" -s s -l withSavepoint -d 'Take a savepoint first (deprecated, as in Flink: use stop)' -r -f -a "(__fish_complete_directories)"
complete -c flink -n "__fish_flink_using_subcommand cancel" -l type -d 'The format of the savepoint: canonical (open files), or native (those of the job\'s state backend; quicker)' -r
complete -c flink -n "__fish_flink_using_subcommand cancel" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand cancel" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand cancel" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand cancel" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand cancel" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand list" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand list" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand list" -s r -l running -d 'Only running jobs'
complete -c flink -n "__fish_flink_using_subcommand list" -s s -l scheduled -d 'Only scheduled jobs'
complete -c flink -n "__fish_flink_using_subcommand list" -s a -l all -d 'All jobs, also those that have ended'
complete -c flink -n "__fish_flink_using_subcommand list" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand list" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand list" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand checkpoint" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand checkpoint" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand checkpoint" -l full -d 'Share nothing with earlier checkpoints'
complete -c flink -n "__fish_flink_using_subcommand checkpoint" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand checkpoint" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand checkpoint" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand checkpoint" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand info" -s p -l parallelism -d 'The number of subtasks of every operator (parallelism.default)' -r
complete -c flink -n "__fish_flink_using_subcommand info" -s D -d 'Set one of Flink\'s options; overrides the file' -r
complete -c flink -n "__fish_flink_using_subcommand info" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand info" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand info" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand info" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand info" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand info" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand check" -s p -l parallelism -d 'The number of subtasks of every operator (parallelism.default)' -r
complete -c flink -n "__fish_flink_using_subcommand check" -s D -d 'Set one of Flink\'s options; overrides the file' -r
complete -c flink -n "__fish_flink_using_subcommand check" -s s -l fromSavepoint -d 'Would this savepoint or checkpoint restore: state by state' -r -F
complete -c flink -n "__fish_flink_using_subcommand check" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand check" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand check" -s n -l allowNonRestoredState -d 'Skip state of the savepoint that the job no longer has'
complete -c flink -n "__fish_flink_using_subcommand check" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand check" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand check" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -f -a "ls" -d 'List the operators and states of a savepoint or checkpoint, or the checkpoints in a directory'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -f -a "show" -d 'Show the rows of states'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -f -a "export" -d 'Write the rows of one state as JSON, CSV or Parquet'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -f -a "diff" -d 'Compare two savepoints or checkpoints, row by row'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -f -a "verify" -d 'Check that every file is there, whole, readable, sorted and in the right key groups'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -f -a "import" -d 'Build a savepoint for a job from files'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -f -a "seal" -d 'Record the new lengths and checksums of files that another tool has edited, after checking them'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -f -a "get" -d 'Show the rows of a key in the state of a running job'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -f -a "scan" -d 'Show rows of a running job\'s state, at a consistent point'
complete -c flink -n "__fish_flink_using_subcommand state; and not __fish_seen_subcommand_from ls show export diff verify import seal get scan gc" -f -a "gc" -d 'Show (and with --yes delete) what no complete checkpoint in a directory needs'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from ls" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from ls" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from ls" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from show" -l key -d 'Only rows whose key column has this value (NAME alone: NULL); give all key columns and one key group is read' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from show" -l where -d 'Only rows in which this column has this value (NAME alone: NULL)' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from show" -l limit -d 'At most so many rows of a state; 0: all' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from show" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from show" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from show" -l key-group -d 'Show the key group of each row, too'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from show" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from show" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -l format -d 'json (one object a line), csv or parquet; without, what the name of the file ends with, else json' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -l to -d 'Into this file instead of standard output' -r -F
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -l key -d 'Only rows whose key column has this value (NAME alone: NULL); give all key columns and one key group is read' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -l where -d 'Only rows in which this column has this value (NAME alone: NULL)' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -l limit -d 'At most so many rows of a state; 0: all' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -l key-group -d 'Write the key group of each row, too'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from diff" -l limit -d 'Show at most so many rows of a state (20); 0: all' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from diff" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from diff" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from diff" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from diff" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from diff" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from verify" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from verify" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from verify" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from verify" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from import" -s p -l parallelism -d 'The number of subtasks of every operator (parallelism.default)' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from import" -s D -d 'Set one of Flink\'s options; overrides the file' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from import" -l state -d 'The rows of a state: a file whose name ends with .parquet, .csv or .json' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from import" -l to -d 'The savepoint\'s directory is made in this one' -r -f -a "(__fish_complete_directories)"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from import" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from import" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from import" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from import" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from seal" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from seal" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from seal" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from seal" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from seal" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from seal" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from get" -l key -d 'The value of a key column (NAME alone: NULL)' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from get" -l limit -d 'At most so many rows; 0: all' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from get" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from get" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from get" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from get" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from get" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from scan" -l key -d 'Only rows whose key column has this value (NAME alone: NULL); give all key columns and one key group is read' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from scan" -l where -d 'Only rows in which this column has this value (NAME alone: NULL)' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from scan" -l limit -d 'At most so many rows of a state; 0: all' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from scan" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from scan" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from scan" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from scan" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from scan" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from scan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from gc" -l older-than -d 'Leave alone what was written more lately than this' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from gc" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from gc" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from gc" -l yes -d 'Delete what is shown'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from gc" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from gc" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from gc" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand state; and __fish_seen_subcommand_from gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flink -n "__fish_flink_using_subcommand generate" -s m -l jobmanager -d 'Send the command to a real Flink cluster\'s JobManager instead of a job on this machine' -r
complete -c flink -n "__fish_flink_using_subcommand generate" -s o -l output -d 'What is printed on standard output' -r -f -a "text\t'As Flink prints it'
json\t'One JSON document'
dot\t'A graph for Graphviz (`info` only)'
csv\t'Rows as CSV (`state show` only)'
parquet\t'Rows as Parquet (`state show` only)'"
complete -c flink -n "__fish_flink_using_subcommand generate" -s q -l quiet -d 'Print only the one thing a script wants: the job\'s id, the savepoint\'s path'
complete -c flink -n "__fish_flink_using_subcommand generate" -s v -l verbose -d 'With an error, print the chain of its causes'
complete -c flink -n "__fish_flink_using_subcommand generate" -l no-progress -d 'Plain lines instead of a progress bar'
complete -c flink -n "__fish_flink_using_subcommand generate" -s h -l help -d 'Print help (see more with \'--help\')'
