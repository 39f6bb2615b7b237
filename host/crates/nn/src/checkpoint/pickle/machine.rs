//! The opcodes of a pickle, as far as `torch.save` writes them (protocols 2 to 5).
//!
//! Python's unpickler looks names up and calls what it finds; here a name is a word of an allow-list or it
//! stands for something that nobody needs. There is no recursion: values point at each other by number.

use std::collections::BTreeMap;

use super::input::{Fault, Input};
use super::problem::PickleProblem;
use super::rebuild;
use super::value::{Heap, Value};

/// Longest name of a module or of something in it.
const NAME_LIMIT: usize = 1 << 10;

/// Highest protocol that Python has.
const PROTOCOL: u8 = 5;

/// What a place of the memo costs.
const MEMO_PLACE: usize = 48;

/// A pickle that is being read.
pub(super) struct Machine<'a, 'b> {
    pub(super) input: &'a mut Input<'b>,
    pub(super) heap: Heap,
    stack: Vec<Value>,
    /// Heights of the stack where marks stand.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
}

/// Reads one pickle from its first opcode to its end mark: the values it made, and the one it is.
pub(super) fn run(input: &mut Input<'_>) -> Result<(Heap, Value), Fault> {
    let (heap, stack, marks, memo) = (Heap::default(), Vec::new(), Vec::new(), BTreeMap::new());
    let mut machine = Machine { input, heap, stack, marks, memo };
    loop {
        let at = machine.input.at();
        let code = machine.input.byte()?;
        if code == b'.' {
            let value = machine.pop()?;
            return Ok((machine.heap, value));
        }
        machine.step(code, at)?;
    }
}

impl Machine<'_, '_> {
    /// One opcode. The arms stand in the order of Python's `pickletools`.
    fn step(&mut self, code: u8, at: u64) -> Result<(), Fault> {
        match code {
            b'J' => self.integer::<4>(),
            b'K' | b'M' => self.unsigned(code),
            0x8a | 0x8b => self.long(code),
            b'T' | b'U' | b'X' | 0x8c | 0x8d => self.text(code),
            b'B' | b'C' | 0x8e | 0x96 => self.bytes(code),
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool(code == 0x88)),
            b'G' => {
                let value = f64::from_be_bytes(self.input.array()?);
                self.push(Value::Float(value))
            }
            b']' | b'l' | b'a' | b'e' | 0x8f..=0x91 => self.list(code),
            b')' | b't' | 0x85..=0x87 => self.tuple(code),
            b'}' | b'd' | b's' | b'u' => self.dict(code),
            b'0' | b'1' | b'2' | b'(' => self.juggle(code),
            b'h' | b'j' | b'q' | b'r' | 0x94 => self.remember(code),
            b'c' | 0x93 => self.global(code),
            b'R' | b'b' | b'Q' | 0x81 | 0x92 => self.make(code),
            0x80 | 0x95 => self.frame(code),
            _ => Err(PickleProblem::Opcode { code, at }.into()),
        }
    }

    pub(super) fn at(&self) -> u64 {
        self.input.at()
    }

    fn push(&mut self, value: Value) -> Result<(), Fault> {
        self.heap.charge(size_of::<Value>(), self.input.at())?;
        self.stack.push(value);
        Ok(())
    }

    /// The topmost value above the last mark.
    fn pop(&mut self) -> Result<Value, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() > floor
            && let Some(value) = self.stack.pop()
        {
            return Ok(value);
        }
        Err(self.input.form("it takes a value where there is none"))
    }

    /// The topmost value, left in its place.
    fn top(&mut self) -> Result<Value, Fault> {
        let value = self.pop()?;
        self.stack.push(value);
        Ok(value)
    }

    /// Everything above the last mark, and the mark.
    fn pop_mark(&mut self) -> Result<Vec<Value>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| self.input.form("it takes a mark where there is none"))?;
        Ok(self.stack.split_off(mark))
    }

    /// The last `count` values.
    fn pop_last(&mut self, count: usize) -> Result<Vec<Value>, Fault> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<Value>, Fault>>()?;
        values.reverse();
        Ok(values)
    }

    fn integer<const N: usize>(&mut self) -> Result<(), Fault> {
        let value = widen(&self.input.array::<N>()?);
        self.push(Value::Int(value))
    }

    fn unsigned(&mut self, code: u8) -> Result<(), Fault> {
        let value = match code {
            b'K' => i64::from(self.input.byte()?),
            _ => i64::from(u16::from_le_bytes(self.input.array()?)),
        };
        self.push(Value::Int(value))
    }

    /// An integer with the length before it; more than 64 bits are kept as something that nobody asks for.
    fn long(&mut self, code: u8) -> Result<(), Fault> {
        let length = match code {
            0x8a => u32::from(self.input.byte()?),
            _ => u32::from_le_bytes(self.input.array()?),
        };
        let value = if length > 8 {
            self.input.skip(length.into())?;
            Value::Opaque
        } else {
            Value::Int(widen(&self.input.bytes(length as usize)?))
        };
        self.push(value)
    }

    /// The length that stands before a text or before bytes.
    fn length(&mut self, code: u8) -> Result<u64, Fault> {
        Ok(match code {
            b'U' | b'C' | 0x8c => self.input.byte()?.into(),
            b'T' | b'X' | b'B' => u32::from_le_bytes(self.input.array()?).into(),
            _ => u64::from_le_bytes(self.input.array()?),
        })
    }

    fn text(&mut self, code: u8) -> Result<(), Fault> {
        let length = self.length(code)?;
        self.input.require(length)?;
        let (length, at) = (usize::try_from(length).unwrap_or(usize::MAX), self.at());
        // Paid for before it is read; the place itself is paid for by the heap.
        self.heap.charge(length, at)?;
        let value = match String::from_utf8(self.input.bytes(length)?) {
            Ok(text) => self.heap.add_text(text, at)?,
            // Python 2 wrote bytes so.
            Err(_) if matches!(code, b'T' | b'U') => Value::Opaque,
            Err(_) => return Err(self.input.form("a text is no UTF-8")),
        };
        self.push(value)
    }

    /// Bytes, which no tensor is made of.
    fn bytes(&mut self, code: u8) -> Result<(), Fault> {
        let length = self.length(code)?;
        self.input.skip(length)?;
        self.push(Value::Opaque)
    }

    /// Lists, and sets, whose members nobody asks for.
    fn list(&mut self, code: u8) -> Result<(), Fault> {
        let at = self.at();
        match code {
            b']' | b'l' => {
                let items = if code == b'l' { self.pop_mark()? } else { Vec::new() };
                let list = self.heap.add_list(items, at)?;
                self.push(list)
            }
            0x8f => self.push(Value::Opaque),
            0x91 => {
                self.pop_mark()?;
                self.push(Value::Opaque)
            }
            _ => {
                let items = if code == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
                match self.top()? {
                    Value::List(list) => self.heap.append(list, &items, at),
                    Value::Object(_) | Value::Opaque => Ok(()),
                    _ => Err(self.input.form("it appends to what is no list")),
                }
            }
        }
    }

    fn tuple(&mut self, code: u8) -> Result<(), Fault> {
        let items = match code {
            b')' => Vec::new(),
            b't' => self.pop_mark()?,
            _ => self.pop_last(usize::from(code - 0x84))?,
        };
        let tuple = self.heap.add_tuple(items, self.input.at())?;
        self.push(tuple)
    }

    fn dict(&mut self, code: u8) -> Result<(), Fault> {
        let items = match code {
            b'}' => Vec::new(),
            b's' => self.pop_last(2)?,
            _ => self.pop_mark()?,
        };
        if matches!(code, b'}' | b'd') {
            let dict = self.heap.add_dict(self.input.at())?;
            self.push(dict)?;
        }
        if items.len() % 2 != 0 {
            return Err(self.input.form("a dictionary has a key without a value"));
        }
        let dict = match self.top()? {
            Value::Dict(dict) => dict,
            Value::Object(_) | Value::Opaque => return Ok(()),
            _ => return Err(self.input.form("it sets members of what is no dictionary")),
        };
        items.chunks_exact(2).try_for_each(|pair| self.heap.set(dict, pair[0], pair[1], self.input.at()))
    }

    /// Marks, and what lies on the stack.
    fn juggle(&mut self, code: u8) -> Result<(), Fault> {
        match code {
            b'(' => {
                self.heap.charge(size_of::<usize>(), self.input.at())?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'1' => self.pop_mark().map(drop),
            b'2' => {
                let value = self.top()?;
                self.push(value)
            }
            _ if self.marks.last() == Some(&self.stack.len()) => self.pop_mark().map(drop),
            _ => self.pop().map(drop),
        }
    }

    fn remember(&mut self, code: u8) -> Result<(), Fault> {
        let place = match code {
            b'h' | b'q' => self.input.byte()?.into(),
            b'j' | b'r' => u32::from_le_bytes(self.input.array()?),
            _ => u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
        };
        if matches!(code, b'h' | b'j') {
            let found = self.memo.get(&place).copied();
            let value = found.ok_or_else(|| self.input.form("it remembers what was never noted"))?;
            return self.push(value);
        }
        self.heap.charge(MEMO_PLACE, self.input.at())?;
        let value = self.top()?;
        self.memo.insert(place, value);
        Ok(())
    }

    /// A name, by two lines or by two texts on the stack.
    fn global(&mut self, code: u8) -> Result<(), Fault> {
        let (module, name) = if code == b'c' {
            (self.input.line(NAME_LIMIT)?, self.input.line(NAME_LIMIT)?)
        } else {
            let values = self.pop_last(2)?;
            let [Value::Text(module), Value::Text(name)] = values[..] else {
                return Err(self.input.form("a name is no text"));
            };
            let cut = |text: &str| text.chars().take(NAME_LIMIT).collect::<String>();
            (cut(self.heap.text(module)), cut(self.heap.text(name)))
        };
        let meaning = rebuild::meaning(&module, &name);
        let global = self.heap.add_global(meaning, format!("{module}.{name}"), self.input.at())?;
        self.push(global)
    }

    /// What would call something in Python.
    fn make(&mut self, code: u8) -> Result<(), Fault> {
        let value = match code {
            b'Q' => {
                let id = self.pop()?;
                self.persistent(id)?
            }
            b'b' => {
                let state = self.pop()?;
                if let Value::Object(object) = self.top()? {
                    self.heap.build(object, state);
                }
                return Ok(());
            }
            _ => {
                if code == 0x92 {
                    // Arguments by name: only unknown classes have them.
                    self.pop()?;
                }
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, arguments)?
            }
        };
        self.push(value)
    }

    /// Protocol and frame: neither changes what is read.
    fn frame(&mut self, code: u8) -> Result<(), Fault> {
        if code == 0x95 {
            let length = u64::from_le_bytes(self.input.array()?);
            return self.input.require(length);
        }
        match self.input.byte()? {
            0..=PROTOCOL => Ok(()),
            _ => Err(self.input.form("it is of a protocol that Python does not have")),
        }
    }
}

/// A little-endian integer of up to eight bytes with its sign.
fn widen(bytes: &[u8]) -> i64 {
    let sign = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
    let mut wide = [sign; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(wide)
}
