use ambit_engine::error::{EngineError, ErrorCode};
use napi::bindgen_prelude::{JsObjectValue, JsValue};
use napi::{Env, Error, Status};

/// A JavaScript error with the engine's stable `code`; thrown or rejected with as it is.
pub(crate) fn to_js(env: &Env, error: &EngineError) -> Error {
    build(env, error).unwrap_or_else(|failure| failure)
}

fn build(env: &Env, error: &EngineError) -> napi::Result<Error> {
    let plain = Error::new(Status::GenericFailure, error.to_string());
    let mut object = env.create_error(plain)?;
    object.set_named_property("name", "EngineError")?;
    object.set_named_property("code", error.code.as_str())?;
    Ok(Error::from(object.to_unknown()))
}

pub(crate) fn illegal_state(message: &str) -> EngineError {
    EngineError::new(ErrorCode::IllegalState, message)
}

pub(crate) fn invalid_argument(message: impl Into<String>) -> EngineError {
    EngineError::new(ErrorCode::InvalidArgument, message)
}
