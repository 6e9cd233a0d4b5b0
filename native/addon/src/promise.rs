use std::panic::{AssertUnwindSafe, catch_unwind};

use ambit_engine::error::{EngineError, ErrorCode};
use napi::bindgen_prelude::{Object, ToNapiValue};
use napi::{Env, JsDeferred, Result, sys};

use crate::error::to_js;
use crate::output::Encode;

/// Made into a JavaScript value on JavaScript's thread.
pub(crate) struct Settled<T>(T);

impl<T: Encode> ToNapiValue for Settled<T> {
    unsafe fn to_napi_value(env: sys::napi_env, settled: Self) -> Result<sys::napi_value> {
        let scope = Env::from_raw(env);
        let value = settled.0.encode(&scope)?;
        // SAFETY: the environment is the one that the caller vouches for.
        unsafe { ToNapiValue::to_napi_value(env, value) }
    }
}

type Resolver<T> = Box<dyn FnOnce(Env) -> Result<Settled<T>> + Send>;

/// The native end of a promise; settled once, from any thread.
pub(crate) struct Settle<T: Encode>(JsDeferred<Settled<T>, Resolver<T>>);

impl<T: Encode + Send + 'static> Settle<T> {
    pub(crate) fn new(env: &Env) -> Result<(Self, Object<'_>)> {
        let (deferred, promise) = env.create_deferred()?;
        Ok((Self(deferred), promise))
    }

    pub(crate) fn with(self, result: std::result::Result<T, EngineError>) {
        self.with_last(result, || ());
    }

    /// Runs `last` on JavaScript's thread, just before the promise settles.
    pub(crate) fn with_last(
        self,
        result: std::result::Result<T, EngineError>,
        last: impl FnOnce() + Send + 'static,
    ) {
        self.0.resolve(Box::new(move |env| {
            last();
            result.map(Settled).map_err(|error| to_js(&env, &error))
        }));
    }
}

/// A panic becomes an error: it must neither end the control thread nor leave a promise unsettled.
pub(crate) fn guarded<T>(
    work: impl FnOnce() -> std::result::Result<T, EngineError>,
) -> std::result::Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let message = "the engine failed inside, see standard error; restart the agent";
        Err(EngineError::new(ErrorCode::IllegalState, message))
    })
}
