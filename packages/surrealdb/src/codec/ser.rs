//! Serde records to database values.

use std::collections::BTreeMap;

use serde::{
    Serialize,
    ser::{
        self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};
use surrealdb_types::{Array, Bytes, Number, Object, Value};

use super::CodecError;

/// A record as the columns of its row.
pub(crate) fn to_row<T: Serialize>(record: &T) -> Result<BTreeMap<String, Value>, CodecError> {
    match to_value(record)? {
        Value::Object(object) => Ok(object.into_inner()),
        _ => Err(CodecError("a record must be a struct".to_owned())),
    }
}

/// Anything as a value.
pub(crate) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, CodecError> {
    value.serialize(Serializer)
}

struct Serializer;

macro_rules! integers {
    ($($method:ident: $type:ty),+) => {
        $(fn $method(self, value: $type) -> Result<Value, CodecError> {
            Ok(Value::Number(Number::Int(i64::from(value))))
        })+
    };
}

impl ser::Serializer for Serializer {
    type Ok = Value;
    type Error = CodecError;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    integers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32
    );

    fn serialize_u64(self, value: u64) -> Result<Value, CodecError> {
        i64::try_from(value)
            .map(|value| Value::Number(Number::Int(value)))
            .map_err(|_out_of_range| CodecError(format!("{value} does not fit 63 bits")))
    }

    fn serialize_f32(self, value: f32) -> Result<Value, CodecError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<Value, CodecError> {
        Ok(Value::Number(Number::Float(value)))
    }

    fn serialize_bool(self, value: bool) -> Result<Value, CodecError> {
        Ok(Value::Bool(value))
    }

    fn serialize_char(self, value: char) -> Result<Value, CodecError> {
        Ok(Value::String(value.to_string()))
    }

    fn serialize_str(self, value: &str) -> Result<Value, CodecError> {
        Ok(Value::String(value.to_owned()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, CodecError> {
        Ok(Value::Bytes(Bytes::from(value.to_vec())))
    }

    fn serialize_none(self) -> Result<Value, CodecError> {
        Ok(Value::None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, CodecError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, CodecError> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, CodecError> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, CodecError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Value, CodecError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, CodecError> {
        Ok(tagged(variant, to_value(value)?))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items, CodecError> {
        Ok(Items {
            variant: None,
            items: Vec::with_capacity(len.unwrap_or_default()),
        })
    }

    fn serialize_tuple(self, len: usize) -> Result<Items, CodecError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items, CodecError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items, CodecError> {
        Ok(Items {
            variant: Some(variant),
            items: Vec::with_capacity(len),
        })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Fields, CodecError> {
        Ok(Fields::default())
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields, CodecError> {
        Ok(Fields::default())
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Fields, CodecError> {
        Ok(Fields {
            variant: Some(variant),
            ..Fields::default()
        })
    }
}

fn tagged(variant: &str, value: Value) -> Value {
    Value::Object(Object::from(BTreeMap::from([(variant.to_owned(), value)])))
}

struct Items {
    variant: Option<&'static str>,
    items: Vec<Value>,
}

impl Items {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.items.push(match to_value(value)? {
            Value::None => Value::Null,
            value => value,
        });
        Ok(())
    }

    fn finish(self) -> Value {
        let array = Value::Array(Array::from(self.items));
        match self.variant {
            Some(variant) => tagged(variant, array),
            None => array,
        }
    }
}

macro_rules! items {
    ($($trait:ident: $method:ident),+) => {
        $(impl $trait for Items {
            type Ok = Value;
            type Error = CodecError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
                self.push(value)
            }

            fn end(self) -> Result<Value, CodecError> {
                Ok(self.finish())
            }
        })+
    };
}
items!(
    SerializeSeq: serialize_element, SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field, SerializeTupleVariant: serialize_field
);

#[derive(Default)]
struct Fields {
    variant: Option<&'static str>,
    key: Option<String>,
    columns: BTreeMap<String, Value>,
}

impl Fields {
    fn put<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), CodecError> {
        match to_value(value)? {
            Value::None => {}
            value => {
                self.columns.insert(key, value);
            }
        }
        Ok(())
    }

    fn finish(self) -> Value {
        let object = Value::Object(Object::from(self.columns));
        match self.variant {
            Some(variant) => tagged(variant, object),
            None => object,
        }
    }
}

impl SerializeMap for Fields {
    type Ok = Value;
    type Error = CodecError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CodecError> {
        match to_value(key)? {
            Value::String(key) => {
                self.key = Some(key);
                Ok(())
            }
            _ => Err(CodecError("the keys of a map must be strings".to_owned())),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        let key = self
            .key
            .take()
            .ok_or_else(|| CodecError("a value without a key".to_owned()))?;
        self.put(key, value)
    }

    fn end(self) -> Result<Value, CodecError> {
        Ok(self.finish())
    }
}

macro_rules! fields {
    ($($trait:ident),+) => {
        $(impl $trait for Fields {
            type Ok = Value;
            type Error = CodecError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), CodecError> {
                self.put(key.to_owned(), value)
            }

            fn end(self) -> Result<Value, CodecError> {
                Ok(self.finish())
            }
        })+
    };
}
fields!(SerializeStruct, SerializeStructVariant);
