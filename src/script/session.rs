//! The functions below the prelude: Lua calls them with numbers of states and keys, and they work on the keyed state of the
//! operator, which lies here during a call. What is wrong with a value comes back as text, which the prelude raises at the script's
//! line.

use super::convert::{from_lua, scale_of, to_lua};
use super::spec::ScriptSpec;
use crate::state::{KeyRef, KeyedState, StateError, StateHandle, TimeDomain, TimersHandle};
use crate::types::{Datum, DatumColumn, LogicalType};
use mlua::{Error, FromLuaMulti, IntoLuaMulti, Lua, Table, Value};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the functions work on.
pub(super) struct Session {
    pub(super) spec: Arc<ScriptSpec>,
    /// The operator's state, during a call.
    pub(super) state: Option<KeyedState>,
    pub(super) handles: Vec<StateHandle>,
    pub(super) timers: Option<TimersHandle>,
    /// The keys of the call by slot, which counts from 1.
    pub(super) keys: Vec<KeyRef>,
    /// The event times of the batch, and how many milliseconds one of their units is.
    pub(super) times: Option<(DatumColumn, i64)>,
    /// Cells that are converted when they are emitted, by port and column.
    pub(super) pushed: Vec<Vec<Vec<Datum>>>,
    pub(super) types: Vec<LogicalType>,
}

/// Shared between the operator and the functions that Lua holds; both run on the operator's thread.
pub(super) type SharedSession = Arc<Mutex<Session>>;

/// What a function that may find its argument wrong answers: a value, or what is wrong.
type Answer<T> = (T, Option<String>);

pub(super) fn lock(session: &SharedSession) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: StateError) -> Error {
    Error::RuntimeError(error.to_string())
}

impl Session {
    fn at(&mut self, state: usize, slot: usize) -> Result<(&mut KeyedState, StateHandle, KeyRef), Error> {
        let lost = || Error::RuntimeError("state is there only while process or on_timer runs".to_owned());
        let handle = self.handles.get(state.wrapping_sub(1)).copied().ok_or_else(lost)?;
        let key = self.keys.get(slot.wrapping_sub(1)).copied().ok_or_else(lost)?;
        Ok((self.state.as_mut().ok_or_else(lost)?, handle, key))
    }

    fn value_type(&self, state: usize) -> LogicalType {
        let found = self.spec.states.get(state.wrapping_sub(1)).map(|state| state.data_type.clone());
        found.unwrap_or_else(|| LogicalType::nullable(crate::types::TypeKind::Null))
    }

    fn map_key_type(&self, state: usize) -> LogicalType {
        let found = self.spec.states.get(state.wrapping_sub(1)).and_then(|state| state.map_key.clone());
        // As it is saved: a key is never NULL.
        LogicalType::not_null(found.map_or(crate::types::TypeKind::Null, |found| found.kind))
    }

    fn element_type(&self, state: usize) -> LogicalType {
        LogicalType::not_null(self.value_type(state).kind)
    }
}

/// Adds functions to the table that the prelude gets.
pub(super) struct Functions<'l> {
    pub(super) lua: &'l Lua,
    pub(super) table: &'l Table,
    pub(super) session: &'l SharedSession,
}

impl Functions<'_> {
    fn add<A, R, F>(&self, name: &str, function: F) -> Result<(), Error>
    where
        A: FromLuaMulti,
        R: IntoLuaMulti,
        F: Fn(&Lua, &mut Session, A) -> Result<R, Error> + Send + 'static,
    {
        let session = Arc::clone(self.session);
        let function = self.lua.create_function(move |lua, args: A| function(lua, &mut lock(&session), args))?;
        self.table.raw_set(name, function)
    }

    /// All of them.
    pub(super) fn add_all(&self) -> Result<(), Error> {
        self.values()?;
        self.lists()?;
        self.maps()?;
        self.folds()?;
        self.rest()
    }

    fn values(&self) -> Result<(), Error> {
        self.add("get", |lua, session, (state, slot): (usize, usize)| {
            let data_type = session.value_type(state);
            let (keyed, handle, key) = session.at(state, slot)?;
            match keyed.value(handle, key).map_err(failed)? {
                Some(value) => to_lua(lua, value, &data_type),
                None => Ok(Value::Nil),
            }
        })?;
        self.add("set", |_, session, (state, slot, value): (usize, usize, Value)| {
            let data_type = session.value_type(state);
            match from_lua(&value, &data_type) {
                Ok(value) => {
                    let (keyed, handle, key) = session.at(state, slot)?;
                    keyed.set_value(handle, key, value).map_err(failed)?;
                    Ok(None)
                }
                Err(wrong) => Ok(Some(wrong)),
            }
        })?;
        self.add("clear", |_, session, (state, slot): (usize, usize)| {
            let (keyed, handle, key) = session.at(state, slot)?;
            keyed.clear(handle, key).map_err(failed)
        })
    }

    fn lists(&self) -> Result<(), Error> {
        self.add("list", |lua, session, (state, slot): (usize, usize)| {
            let data_type = session.value_type(state);
            let (keyed, handle, key) = session.at(state, slot)?;
            let items = keyed.list(handle, key).map_err(failed)?;
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (at, item) in items.iter().enumerate() {
                table.raw_set(at + 1, to_lua(lua, item, &data_type)?)?;
            }
            Ok(table)
        })?;
        self.add("list_add", |_, session, (state, slot, value): (usize, usize, Value)| {
            match from_lua(&value, &session.element_type(state)) {
                Ok(value) => {
                    let (keyed, handle, key) = session.at(state, slot)?;
                    keyed.list_add(handle, key, value).map_err(failed)?;
                    Ok(None)
                }
                Err(wrong) => Ok(Some(wrong)),
            }
        })?;
        self.add("list_add_all", |_, session, (state, slot, values): (usize, usize, Table)| {
            match list_of(&values, &session.element_type(state)) {
                Ok(values) => {
                    let (keyed, handle, key) = session.at(state, slot)?;
                    for value in values {
                        keyed.list_add(handle, key, value).map_err(failed)?;
                    }
                    Ok(None)
                }
                Err(wrong) => Ok(Some(wrong)),
            }
        })?;
        self.add("list_set", |_, session, (state, slot, values): (usize, usize, Table)| {
            match list_of(&values, &session.element_type(state)) {
                Ok(values) => {
                    let (keyed, handle, key) = session.at(state, slot)?;
                    keyed.list_set(handle, key, values).map_err(failed)?;
                    Ok(None)
                }
                Err(wrong) => Ok(Some(wrong)),
            }
        })
    }

    fn maps(&self) -> Result<(), Error> {
        self.add("map_get", |lua, session, (state, slot, entry): (usize, usize, Value)| -> Result<Answer<Value>, Error> {
            let data_type = session.value_type(state);
            let entry = match from_lua(&entry, &session.map_key_type(state)) {
                Ok(entry) => entry,
                Err(wrong) => return Ok((Value::Nil, Some(format!(": key{wrong}")))),
            };
            let (keyed, handle, key) = session.at(state, slot)?;
            match keyed.map_get(handle, key, &entry).map_err(failed)? {
                Some(value) => Ok((to_lua(lua, value, &data_type)?, None)),
                None => Ok((Value::Nil, None)),
            }
        })?;
        self.add("map_put", |_, session, (state, slot, entry, value): (usize, usize, Value, Value)| {
            let read = from_lua(&entry, &session.map_key_type(state)).map_err(|wrong| format!(": key{wrong}"));
            let read = read.and_then(|entry| Ok((entry, from_lua(&value, &session.value_type(state))?)));
            match read {
                Ok((entry, value)) => {
                    let (keyed, handle, key) = session.at(state, slot)?;
                    keyed.map_put(handle, key, entry, value).map_err(failed)?;
                    Ok(None)
                }
                Err(wrong) => Ok(Some(wrong)),
            }
        })?;
        self.add("map_remove", |_, session, (state, slot, entry): (usize, usize, Value)| {
            match from_lua(&entry, &session.map_key_type(state)) {
                Ok(entry) => {
                    let (keyed, handle, key) = session.at(state, slot)?;
                    keyed.map_remove(handle, key, &entry).map_err(failed)?;
                    Ok(None)
                }
                Err(wrong) => Ok(Some(format!(": key{wrong}"))),
            }
        })?;
        self.add("map_contains", |_, session, (state, slot, entry): (usize, usize, Value)| -> Result<Answer<bool>, Error> {
            match from_lua(&entry, &session.map_key_type(state)) {
                Ok(entry) => {
                    let (keyed, handle, key) = session.at(state, slot)?;
                    Ok((keyed.map_contains(handle, key, &entry).map_err(failed)?, None))
                }
                Err(wrong) => Ok((false, Some(format!(": key{wrong}")))),
            }
        })?;
        self.add("map_is_empty", |_, session, (state, slot): (usize, usize)| {
            let (keyed, handle, key) = session.at(state, slot)?;
            keyed.map_is_empty(handle, key).map_err(failed)
        })?;
        self.add("map_entries", |lua, session, (state, slot): (usize, usize)| {
            let (key_type, value_type) = (session.map_key_type(state), session.value_type(state));
            let (keyed, handle, key) = session.at(state, slot)?;
            let (keys, values) = (lua.create_table()?, lua.create_table()?);
            for (at, (entry, value)) in keyed.map_entries(handle, key).map_err(failed)?.enumerate() {
                keys.raw_set(at + 1, to_lua(lua, entry, &key_type)?)?;
                let value = if value.is_null() { Value::NULL } else { to_lua(lua, value, &value_type)? };
                values.raw_set(at + 1, value)?;
            }
            Ok((keys, values))
        })
    }

    fn folds(&self) -> Result<(), Error> {
        self.add("fold_add", |_, session, (state, slot, value): (usize, usize, Value)| {
            match from_lua(&value, &session.value_type(state)) {
                Ok(value) => {
                    let (keyed, handle, key) = session.at(state, slot)?;
                    Ok(keyed.add(handle, key, value).err().map(|error| format!(": {error}")))
                }
                Err(wrong) => Ok(Some(wrong)),
            }
        })?;
        self.add("fold_get", |lua, session, (state, slot): (usize, usize)| {
            let data_type = session.result_type(state);
            let (keyed, handle, key) = session.at(state, slot)?;
            match keyed.get(handle, key).map_err(failed)? {
                Some(value) => to_lua(lua, &value, &data_type),
                None => Ok(Value::Nil),
            }
        })
    }

    fn rest(&self) -> Result<(), Error> {
        self.add("coerce", |lua, session, (kind, value): (usize, Value)| -> Result<Answer<Value>, Error> {
            let data_type = session.types.get(kind.wrapping_sub(1)).cloned();
            let data_type = data_type.ok_or_else(|| Error::RuntimeError("no such type".to_owned()))?;
            match from_lua(&value, &data_type) {
                Ok(value) => Ok((to_lua(lua, &value, &data_type)?, None)),
                Err(wrong) => Ok((Value::Nil, Some(wrong))),
            }
        })?;
        self.add("push", |_, session, (port, column, row, value): (usize, usize, usize, Value)| {
            let output = session.spec.outputs.get(port.wrapping_sub(1));
            let data_type = output.and_then(|output| output.schema.columns.get(column.wrapping_sub(1))).map(|c| c.data_type.clone());
            let data_type = data_type.ok_or_else(|| Error::RuntimeError("no such output".to_owned()))?;
            match from_lua(&value, &data_type) {
                Ok(value) => {
                    let cells = &mut session.pushed[port - 1][column - 1];
                    // What an `emit` left behind that failed further on, and was caught.
                    cells.truncate(row.saturating_sub(1));
                    cells.push(value);
                    Ok(None)
                }
                Err(wrong) => Ok(Some(wrong)),
            }
        })?;
        self.add("timer", |_, session, (set, event_time, slot, timestamp): (bool, bool, usize, i64)| {
            let lost = || Error::RuntimeError("timers are there only while process or on_timer runs".to_owned());
            let domain = if event_time { TimeDomain::EventTime } else { TimeDomain::ProcessingTime };
            let key = session.keys.get(slot.wrapping_sub(1)).copied().ok_or_else(lost)?;
            let timers = session.timers.ok_or_else(lost)?;
            let keyed = session.state.as_mut().ok_or_else(lost)?;
            let done =
                if set { keyed.register_timer(timers, domain, key, timestamp) } else { keyed.delete_timer(timers, domain, key, timestamp) };
            done.map_err(failed)
        })?;
        self.add("timestamp", |_, session, row: usize| {
            let Some((times, scale)) = &session.times else { return Ok(None) };
            Ok(times.get(row.saturating_sub(1)).as_long().map(|time| time.saturating_mul(*scale)))
        })?;
        self.add("key", |lua, session, slot: usize| {
            let lost = || Error::RuntimeError("a key is there only while process or on_timer runs".to_owned());
            let key = session.keys.get(slot.wrapping_sub(1)).copied().ok_or_else(lost)?;
            let values = session.state.as_mut().ok_or_else(lost)?.key_of(key).map_err(failed)?;
            let columns = &session.spec.key.columns;
            if let ([value], [column]) = (values.as_slice(), columns.as_slice()) {
                return to_lua(lua, value, &column.data_type);
            }
            let table = lua.create_table_with_capacity(0, columns.len())?;
            for (value, column) in values.iter().zip(columns) {
                table.raw_set(column.name.as_str(), to_lua(lua, value, &column.data_type)?)?;
            }
            Ok(Value::Table(table))
        })?;
        self.messages()
    }

    /// What errors say that the prelude raises.
    fn messages(&self) -> Result<(), Error> {
        self.add("no_column", |_, session, (input, name): (usize, String)| {
            let input = session.spec.inputs.get(input.wrapping_sub(1));
            let (table, columns) =
                input.map(|(name, schema)| (name.as_str(), names(schema.columns.iter().map(|c| &c.name)))).unwrap_or_default();
            Ok(format!("the event has no field \"{name}\": the columns of \"{table}\" are {columns}"))
        })?;
        self.add("no_output_column", |_, session, (port, name): (usize, String)| {
            let output = session.spec.outputs.get(port.wrapping_sub(1));
            let columns = output.map(|output| names(output.schema.columns.iter().map(|c| &c.name))).unwrap_or_default();
            Ok(format!("emit: there is no column \"{name}\" in the output: its columns are {columns}"))
        })?;
        self.add("no_output", |_, session, name: String| {
            let known: Vec<&String> = session.spec.outputs.iter().skip(1).map(|output| &output.name).collect();
            let known = if known.is_empty() { "this transform has none".to_owned() } else { format!("there are {}", names(known)) };
            Ok(format!("emit: there is no output \"{name}\": {known}"))
        })?;
        self.add("no_state", |_, session, name: String| {
            let known = if session.spec.key.columns.is_empty() {
                "state needs key-by on the transform".to_owned()
            } else if session.spec.states.is_empty() {
                "the transform declares none".to_owned()
            } else {
                format!("the transform's states are {}", names(session.spec.states.iter().map(|state| &state.name)))
            };
            Ok(format!("there is no state \"{name}\": {known}"))
        })?;
        self.add("no_method", |_, _, (what, name): (String, String)| Ok(format!("{what} has no method \"{name}\"")))
    }
}

impl Session {
    /// The type of what a fold's `get` gives.
    fn result_type(&self, state: usize) -> LogicalType {
        let found = self.spec.states.get(state.wrapping_sub(1)).map(super::function::result_type);
        found.unwrap_or_else(|| LogicalType::nullable(crate::types::TypeKind::Null))
    }

    /// The event times of a batch.
    pub(super) fn set_times(&mut self, times: Option<(DatumColumn, &LogicalType)>) {
        self.times = times.map(|(column, data_type)| (column, scale_of(data_type)));
    }
}

fn list_of(table: &Table, element: &LogicalType) -> Result<Vec<Datum>, String> {
    (1..=table.raw_len())
        .map(|at| {
            let value: Value = table.raw_get(at).map_err(|e| format!(": {e}"))?;
            from_lua(&value, element).map_err(|wrong| format!("[{at}]{wrong}"))
        })
        .collect()
}

fn names<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    super::error::bounded(&names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", "))
}
