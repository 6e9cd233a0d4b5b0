//! Reads values that JavaScript gives. A missing field is an error that names its path: `null` alone says "absent".

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_engine::error::EngineError;
use napi::ValueType;
use napi::bindgen_prelude::{Array, FromNapiValue, JsObjectValue, JsValue, Object, Unknown};

use crate::error::invalid_argument;

pub(crate) type Read<T> = Result<T, EngineError>;

/// The largest integer that a JavaScript number holds exactly.
const LARGEST: u64 = (1 << 53) - 1;

/// Where a value stands; written out only when something is wrong with it.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(u32),
}

impl<'a> Path<'a> {
    pub(crate) fn root(name: &'a str) -> Self {
        let step = Step::Name(name);
        Self { parent: None, step }
    }

    fn step(&'a self, step: Step<'a>) -> Self {
        let parent = Some(self);
        Self { parent, step }
    }

    fn wrong(&self, expected: &str) -> EngineError {
        invalid_argument(format!("{self} must be {expected}"))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.parent, self.step) {
            (None, Step::Name(name)) => f.write_str(name),
            (None, Step::Index(index)) => write!(f, "[{index}]"),
            (Some(parent), Step::Name(name)) => write!(f, "{parent}.{name}"),
            (Some(parent), Step::Index(index)) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A value that JavaScript gave, and where.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    value: Unknown<'a>,
    path: &'a Path<'a>,
}

impl<'a> Value<'a> {
    pub(crate) fn new(value: Unknown<'a>, path: &'a Path<'a>) -> Self {
        Self { value, path }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.is(ValueType::Null)
    }

    pub(crate) fn string(&self) -> Read<String> {
        self.of_type(ValueType::String, "a string")
    }

    pub(crate) fn text(&self) -> Read<Arc<str>> {
        self.string().map(Arc::from)
    }

    pub(crate) fn boolean(&self) -> Read<bool> {
        self.of_type(ValueType::Boolean, "a boolean")
    }

    pub(crate) fn integer(&self, largest: u64) -> Read<u64> {
        let largest = largest.min(LARGEST);
        let expected = || self.path.wrong(&format!("an integer from 0 to {largest}"));
        let number: f64 = self.of_type(ValueType::Number, "a number")?;
        let whole = number.fract() == 0.0 && number >= 0.0;
        // Exact: whole, not negative and, by the comparison that follows, at most 2^53.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let integer = number as u64;
        if whole && integer <= largest {
            Ok(integer)
        } else {
            Err(expected())
        }
    }

    pub(crate) fn address(&self) -> Read<IpAddr> {
        let text = self.string()?;
        let parsed: Option<IpAddr> = text.parse().ok();
        parsed.ok_or_else(|| self.path.wrong("an IP address"))
    }

    /// One of the given words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Read<T> {
        let text = self.string()?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.path.wrong(&format!("one of {}", names.join(", ")))
        })
    }

    pub(crate) fn list<T>(&self, read: impl Fn(Value<'_>) -> Read<T>) -> Read<Vec<T>> {
        let expected = || self.path.wrong("an array");
        let array: Array<'_> = self.convert().ok_or_else(expected)?;
        (0..array.len())
            .map(|index| {
                let element: Option<Unknown<'_>> = array.get(index).ok().flatten();
                let path = self.path.step(Step::Index(index));
                let element = element.ok_or_else(|| path.wrong("given"))?;
                read(Value::new(element, &path))
            })
            .collect()
    }

    pub(crate) fn object(&self) -> Read<Fields<'a>> {
        let object = self.of_type(ValueType::Object, "an object")?;
        let path = self.path;
        Ok(Fields { object, path })
    }

    fn is(&self, expected: ValueType) -> bool {
        self.value.get_type().is_ok_and(|it| it == expected)
    }

    fn of_type<T: FromNapiValue>(&self, value_type: ValueType, expected: &str) -> Read<T> {
        let wrong = || self.path.wrong(expected);
        if !self.is(value_type) {
            return Err(wrong());
        }
        self.convert().ok_or_else(wrong)
    }

    fn convert<T: FromNapiValue>(&self) -> Option<T> {
        let raw = self.value.value();
        if self.is(ValueType::Undefined) {
            return None;
        }
        // SAFETY: environment and value belong together and are alive: both come from the call that is being served.
        unsafe { T::from_napi_value(raw.env, raw.value).ok() }
    }
}

/// An object's fields.
pub(crate) struct Fields<'a> {
    object: Object<'a>,
    path: &'a Path<'a>,
}

impl Fields<'_> {
    pub(crate) fn get<T>(&self, name: &str, read: impl Fn(Value<'_>) -> Read<T>) -> Read<T> {
        let path = self.path.step(Step::Name(name));
        let value: napi::Result<Unknown<'_>> = self.object.get_named_property_unchecked(name);
        let value = value.map_err(|_| path.wrong("readable"))?;
        if Value::new(value, &path).is(ValueType::Undefined) {
            return Err(path.wrong("given; null says that it is absent"));
        }
        read(Value::new(value, &path))
    }

    pub(crate) fn optional<T>(
        &self,
        name: &str,
        read: impl Fn(Value<'_>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.get(name, |value| {
            if value.is_null() {
                Ok(None)
            } else {
                read(value).map(Some)
            }
        })
    }

    pub(crate) fn string(&self, name: &str) -> Read<String> {
        self.get(name, |value| value.string())
    }

    pub(crate) fn text(&self, name: &str) -> Read<Arc<str>> {
        self.get(name, |value| value.text())
    }

    pub(crate) fn optional_text(&self, name: &str) -> Read<Option<Arc<str>>> {
        self.optional(name, |value| value.text())
    }

    pub(crate) fn boolean(&self, name: &str) -> Read<bool> {
        self.get(name, |value| value.boolean())
    }

    pub(crate) fn integer(&self, name: &str) -> Read<u64> {
        self.get(name, |value| value.integer(LARGEST))
    }

    /// An integer that fits the type.
    pub(crate) fn small<T: TryFrom<u64> + Bounded>(&self, name: &str) -> Read<T> {
        self.get(name, small)
    }
}

pub(crate) fn small<T: TryFrom<u64> + Bounded>(value: Value<'_>) -> Read<T> {
    let integer = value.integer(T::LARGEST)?;
    T::try_from(integer).map_err(|_| value.path.wrong("smaller"))
}

pub(crate) trait Bounded {
    const LARGEST: u64;
}

impl Bounded for u8 {
    const LARGEST: u64 = Self::MAX as u64;
}

impl Bounded for u16 {
    const LARGEST: u64 = Self::MAX as u64;
}

impl Bounded for u32 {
    const LARGEST: u64 = Self::MAX as u64;
}
