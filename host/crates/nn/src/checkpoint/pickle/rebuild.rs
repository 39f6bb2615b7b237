//! The names that make tensors, and what they make.

use super::input::Fault;
use super::machine::Machine;
use super::value::{Id, Meaning, Storage, Value, View};
use crate::checkpoint::StoredType;

/// Most sides of a tensor; weights have at most five.
const SIDES_LIMIT: usize = 8;

/// The allow-list.
pub(super) fn meaning(module: &str, name: &str) -> Meaning {
    match (module, name) {
        ("collections", "OrderedDict") => Meaning::OrderedDict,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Meaning::RebuildTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Meaning::RebuildParameter,
        ("torch._tensor", "_rebuild_from_type_v2") => Meaning::RebuildFromType,
        ("torch", _) if name.ends_with("Storage") => {
            storage(name).map_or(Meaning::OtherTensor, Meaning::Storage)
        }
        ("torch.storage", _) => Meaning::OtherTensor,
        ("torch._utils" | "torch._tensor", _) if name.starts_with("_rebuild") => Meaning::OtherTensor,
        _ => Meaning::Other,
    }
}

/// Number type of a class of storages.
fn storage(name: &str) -> Option<StoredType> {
    StoredType::from_name(match name {
        "FloatStorage" => "F32",
        "HalfStorage" => "F16",
        "BFloat16Storage" => "BF16",
        "DoubleStorage" => "F64",
        "LongStorage" => "I64",
        "IntStorage" => "I32",
        "ShortStorage" => "I16",
        "CharStorage" => "I8",
        "ByteStorage" => "U8",
        "BoolStorage" => "BOOL",
        _ => return None,
    })
}

impl Machine<'_, '_> {
    /// What Python would get by calling `callable`: a tensor or a dictionary where the name is on the
    /// allow-list, else something that only says who would have made it.
    pub(super) fn call(&mut self, callable: Value, arguments: Value) -> Result<Value, Fault> {
        let at = self.at();
        let global = match callable {
            Value::Global(global) => global,
            Value::Object(_) | Value::Opaque => return self.heap.add_object(None, false, at),
            _ => return Err(self.input.form("it calls what is no name")),
        };
        let Value::Tuple(tuple) = arguments else { return Err(self.input.form("arguments are no tuple")) };
        let arguments = self.heap.items(tuple);
        match (self.heap.global(global).meaning, arguments) {
            (Meaning::OrderedDict, []) => self.heap.add_dict(at),
            (Meaning::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let parts = [*storage, *offset, *shape, *strides];
                self.tensor(parts)
            }
            (Meaning::RebuildParameter, [tensor, ..]) => Ok(*tensor),
            (Meaning::RebuildFromType, [inner, _, Value::Tuple(inner_arguments), ..]) => {
                self.call_inner(*inner, *inner_arguments)
            }
            (Meaning::RebuildTensor | Meaning::RebuildParameter | Meaning::RebuildFromType, _) => {
                Err(self.input.form("a tensor is made of other things than torch.save writes"))
            }
            (meaning, _) => {
                let tensor = matches!(meaning, Meaning::OtherTensor | Meaning::Storage(_));
                self.heap.add_object(Some(global), tensor, at)
            }
        }
    }

    /// A tensor with attributes of its own: what it is without them. Only one such layer is looked into.
    fn call_inner(&mut self, callable: Value, arguments: Id) -> Result<Value, Fault> {
        let wrong = || "a tensor is made of other things than torch.save writes";
        let Value::Global(global) = callable else { return Err(self.input.form(wrong())) };
        match (self.heap.global(global).meaning, self.heap.items(arguments)) {
            (Meaning::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let parts = [*storage, *offset, *shape, *strides];
                self.tensor(parts)
            }
            (Meaning::RebuildParameter, [tensor, ..]) => Ok(*tensor),
            _ => self.heap.add_object(Some(global), true, self.input.at()),
        }
    }

    /// `('storage', class, key, location, elements)`.
    pub(super) fn persistent(&mut self, id: Value) -> Result<Value, Fault> {
        let refuse = "a storage is not named as torch.save names it";
        let Value::Tuple(tuple) = id else { return Err(self.input.form(refuse)) };
        let (class, key, elements) = match *self.heap.items(tuple) {
            [
                Value::Text(word),
                Value::Global(class),
                Value::Text(key),
                Value::Text(_),
                Value::Int(elements),
            ]
            | [
                Value::Text(word),
                Value::Global(class),
                Value::Text(key),
                Value::Text(_),
                Value::Int(elements),
                Value::None,
            ] if self.heap.text(word) == "storage" => (class, key, elements),
            _ => return Err(self.input.form(refuse)),
        };
        let at = self.at();
        let Meaning::Storage(dtype) = self.heap.global(class).meaning else {
            return self.heap.add_object(Some(class), true, at);
        };
        let elements =
            u64::try_from(elements).map_err(|_| self.input.form("a storage has a negative size"))?;
        self.heap.add_storage(Storage { dtype, key, elements }, at)
    }

    /// A tensor of a storage, an offset, sides and strides that fit each other.
    fn tensor(&mut self, [storage, offset, shape, strides]: [Value; 4]) -> Result<Value, Fault> {
        let at = self.at();
        let storage = match storage {
            Value::Storage(storage) => storage,
            Value::Object(object) if self.heap.object(object).tensor => {
                return self.heap.add_object(self.heap.object(object).global, true, at);
            }
            _ => return Err(self.input.form("a tensor has no storage")),
        };
        let counts = |value: Value| match value {
            Value::Tuple(items) | Value::List(items) => {
                let items = self.heap.items(items);
                let count = |item: &Value| match item {
                    Value::Int(count) => u64::try_from(*count).ok(),
                    _ => None,
                };
                let fits = items.len() <= SIDES_LIMIT;
                fits.then(|| items.iter().map(count).collect::<Option<Vec<u64>>>()).flatten()
            }
            _ => None,
        };
        let (shape, strides) = (counts(shape), counts(strides));
        let (Some(shape), Some(strides), Value::Int(offset)) = (shape, strides, offset) else {
            return Err(self.input.form("a tensor has sides or strides that are no counts"));
        };
        let elements = self.heap.storage(storage).elements;
        let offset = u64::try_from(offset).ok().filter(|_| shape.len() == strides.len());
        let inside = offset.filter(|offset| fits(elements, *offset, &shape, &strides));
        let sides: Option<Vec<usize>> = shape.iter().map(|&side| usize::try_from(side).ok()).collect();
        let (Some(offset), Some(shape)) = (inside, sides) else {
            return Err(self
                .input
                .form("a tensor reaches outside its storage, or has more elements than it"));
        };
        self.heap.add_view(View { storage, offset, shape, strides }, at)
    }
}

/// Whether a view stays inside `elements` and has no more of its own. An expanded tensor (stride 0) can have
/// more: it would take memory that the file does not have, and no weight is one.
fn fits(elements: u64, offset: u64, shape: &[u64], strides: &[u64]) -> bool {
    let count = shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side));
    if shape.contains(&0) {
        return offset <= elements && count.is_some();
    }
    let step = |last: u64, (&side, &stride): (&u64, &u64)| last.checked_add((side - 1).checked_mul(stride)?);
    let last = shape.iter().zip(strides).try_fold(offset, step);
    count.is_some_and(|count| count <= elements) && last.is_some_and(|last| last < elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_stays_inside_its_storage() {
        assert!(fits(6, 0, &[2, 3], &[3, 1]));
        assert!(fits(6, 0, &[3, 2], &[1, 3]));
        assert!(fits(6, 5, &[], &[]));
        assert!(fits(6, 6, &[0, 9], &[1, 1]));
        assert!(!fits(6, 7, &[0, 9], &[1, 1]));
        assert!(!fits(6, 0, &[1 << 33, 1 << 33, 0], &[1, 1, 1]));
        assert!(!fits(6, 1, &[2, 3], &[3, 1]));
        assert!(!fits(6, 6, &[], &[]));
        assert!(!fits(6, 0, &[7], &[0]), "expanded");
        assert!(!fits(u64::MAX, 0, &[1 << 33, 1 << 33], &[0, 0]), "more elements than can be counted");
        assert!(!fits(u64::MAX, 1, &[3], &[u64::MAX]));
    }
}
