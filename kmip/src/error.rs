//! stub
use crate::tags::Tag;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem { MissingField, UnexpectedField, WrongType{expected:&'static str, found:&'static str}, UnknownEnumeration{code: Option<u32>}, NotInVersion, InvalidValue }
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{problem:?}")]
pub struct DecodeError { pub problem: Problem, pub path: Vec<Tag> }
impl DecodeError { pub fn new(problem: Problem)->Self{Self{problem,path:vec![]}} pub fn within(mut self, tag: Tag)->Self{self.path.insert(0,tag);self} }
