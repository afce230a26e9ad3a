//! A bearer token that something else keeps in a file, and replaces there.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::ports::StoreError;
use gateway_core::time::Timestamp;

use super::token::Token;
use crate::store::login_file;
use crate::store::private_file::Readers;
use crate::store::session::Login;

/// How often the file is read anew; after a refusal of its token it is read at once.
const FRESH: Duration = Duration::from_secs(60);

/// Login with the token in a file.
#[derive(Debug)]
pub(in crate::store) struct TokenFile {
    /// The file.
    pub(in crate::store) file: PathBuf,
    /// Who may read it.
    pub(in crate::store) readers: Readers,
}

#[async_trait]
impl Login for TokenFile {
    type Session = Token;

    async fn log_in(&self, now: Timestamp) -> Result<Token, StoreError> {
        Token::kept(&login_file::token(&self.file, self.readers).await?, now, FRESH)
    }
}
