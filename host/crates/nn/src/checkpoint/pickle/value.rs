//! What a pickle makes: small values that point into lists, so that nesting costs no stack and every byte
//! is counted.

use super::input::Fault;
use super::problem::PickleProblem;
use crate::checkpoint::StoredType;

/// Bytes of values that one pickle may make, counted when they are made and never given back. A tensor costs about
/// 2 kB, so there is room for twenty times those of the largest ESM-2. Lists that grow and the allocator's own needs
/// included, less than four times as much memory is ever taken.
pub(super) const VALUES_LIMIT: usize = 32 << 20;

/// What a place in a list of the heap costs besides its content: its own size, rounded up.
const PLACE: usize = 64;

/// Place in one of the heap's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u32);

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Id),
    Tuple(Id),
    List(Id),
    Dict(Id),
    Global(Id),
    Storage(Id),
    View(Id),
    Object(Id),
    /// Something that nobody asks for: bytes, sets, integers of more than 64 bits.
    Opaque,
}

/// What a name in a pickle means here. Nothing is ever looked up or called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    RebuildFromType,
    Storage(StoredType),
    /// Makes tensors of a kind that is not read.
    OtherTensor,
    Other,
}

/// A name `module.name`.
#[derive(Debug)]
pub(super) struct Global {
    pub(super) meaning: Meaning,
    pub(super) name: Box<str>,
}

/// Bytes that tensors look into.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) dtype: StoredType,
    pub(super) key: Id,
    /// Elements.
    pub(super) elements: u64,
}

/// A tensor.
#[derive(Debug)]
pub(super) struct View {
    pub(super) storage: Id,
    /// First element.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// Elements from one place of a side to the next.
    pub(super) strides: Vec<u64>,
}

/// What an unknown name would have made.
#[derive(Debug)]
pub(super) struct Object {
    /// The name that would have made it.
    pub(super) global: Option<Id>,
    /// What it would have been filled with.
    pub(super) state: Option<Value>,
    /// Whether it would have been a tensor or its bytes.
    pub(super) tensor: bool,
}

/// All values of one pickle.
#[derive(Debug, Default)]
pub(super) struct Heap {
    texts: Vec<Box<str>>,
    sequences: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    globals: Vec<Global>,
    storages: Vec<Storage>,
    views: Vec<View>,
    objects: Vec<Object>,
    spent: usize,
}

impl Heap {
    /// Pays for `bytes` more of values.
    pub(super) fn charge(&mut self, bytes: usize, at: u64) -> Result<(), Fault> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent <= VALUES_LIMIT {
            return Ok(());
        }
        Err(PickleProblem::TooLarge { limit: VALUES_LIMIT, at }.into())
    }

    /// Pays for a place and `bytes` of content; an id holds 32 bits, which the limit keeps far away.
    fn place(&mut self, places: usize, bytes: usize, at: u64) -> Result<Id, Fault> {
        self.charge(PLACE.saturating_add(bytes), at)?;
        u32::try_from(places).map(Id).map_err(|_| PickleProblem::TooLarge { limit: VALUES_LIMIT, at }.into())
    }

    pub(super) fn add_text(&mut self, text: String, at: u64) -> Result<Value, Fault> {
        let id = self.place(self.texts.len(), text.len(), at)?;
        self.texts.push(text.into_boxed_str());
        Ok(Value::Text(id))
    }

    fn add_sequence(&mut self, items: Vec<Value>, at: u64) -> Result<Id, Fault> {
        let id = self.place(self.sequences.len(), size_of_val(items.as_slice()), at)?;
        self.sequences.push(items);
        Ok(id)
    }

    pub(super) fn add_tuple(&mut self, items: Vec<Value>, at: u64) -> Result<Value, Fault> {
        self.add_sequence(items, at).map(Value::Tuple)
    }

    pub(super) fn add_list(&mut self, items: Vec<Value>, at: u64) -> Result<Value, Fault> {
        self.add_sequence(items, at).map(Value::List)
    }

    pub(super) fn add_dict(&mut self, at: u64) -> Result<Value, Fault> {
        let id = self.place(self.dicts.len(), 0, at)?;
        self.dicts.push(Vec::new());
        Ok(Value::Dict(id))
    }

    pub(super) fn add_global(&mut self, meaning: Meaning, name: String, at: u64) -> Result<Value, Fault> {
        let id = self.place(self.globals.len(), name.len(), at)?;
        self.globals.push(Global { meaning, name: name.into_boxed_str() });
        Ok(Value::Global(id))
    }

    pub(super) fn add_storage(&mut self, storage: Storage, at: u64) -> Result<Value, Fault> {
        let id = self.place(self.storages.len(), 0, at)?;
        self.storages.push(storage);
        Ok(Value::Storage(id))
    }

    pub(super) fn add_view(&mut self, view: View, at: u64) -> Result<Value, Fault> {
        let content = view.shape.len() * 2 * size_of::<u64>() + size_of::<View>();
        let id = self.place(self.views.len(), content, at)?;
        self.views.push(view);
        Ok(Value::View(id))
    }

    pub(super) fn add_object(&mut self, global: Option<Id>, tensor: bool, at: u64) -> Result<Value, Fault> {
        let id = self.place(self.objects.len(), 0, at)?;
        self.objects.push(Object { global, state: None, tensor });
        Ok(Value::Object(id))
    }

    /// Appends to a list or to the members of a dictionary.
    pub(super) fn append(&mut self, list: Id, items: &[Value], at: u64) -> Result<(), Fault> {
        self.charge(size_of_val(items), at)?;
        self.sequences[list.0 as usize].extend_from_slice(items);
        Ok(())
    }

    pub(super) fn set(&mut self, dict: Id, key: Value, value: Value, at: u64) -> Result<(), Fault> {
        self.charge(2 * size_of::<Value>(), at)?;
        self.dicts[dict.0 as usize].push((key, value));
        Ok(())
    }

    /// Gives an object its state.
    pub(super) fn build(&mut self, object: Id, state: Value) {
        self.objects[object.0 as usize].state = Some(state);
    }

    pub(super) fn text(&self, id: Id) -> &str {
        &self.texts[id.0 as usize]
    }

    /// Items of a tuple or of a list.
    pub(super) fn items(&self, id: Id) -> &[Value] {
        &self.sequences[id.0 as usize]
    }

    pub(super) fn members(&self, id: Id) -> &[(Value, Value)] {
        &self.dicts[id.0 as usize]
    }

    pub(super) fn global(&self, id: Id) -> &Global {
        &self.globals[id.0 as usize]
    }

    pub(super) fn storage(&self, id: Id) -> &Storage {
        &self.storages[id.0 as usize]
    }

    /// Every storage that tensors could look into.
    pub(super) fn storages(&self) -> &[Storage] {
        &self.storages
    }

    pub(super) fn view(&self, id: Id) -> &View {
        &self.views[id.0 as usize]
    }

    pub(super) fn object(&self, id: Id) -> &Object {
        &self.objects[id.0 as usize]
    }

    /// The member of a dictionary under a name that is text.
    pub(super) fn member(&self, dict: Id, name: &str) -> Option<Value> {
        let named = |key: &Value| matches!(key, Value::Text(id) if self.text(*id) == name);
        self.members(dict).iter().rev().find(|(key, _)| named(key)).map(|(_, value)| *value)
    }
}
