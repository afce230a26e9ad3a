//! The adapters against the real parts. A part that is missing is a failure, never a skip.

mod openbao;
mod postgres;
