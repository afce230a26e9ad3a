//! A login that ends with the process, and the keyring of a program that was built without one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gateway_core::secret::Secret;

use super::Keyring;
use crate::connect::trouble::{Code, Trouble};

/// Memory alone.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Secret>>);

impl Keyring for Memory {
    fn read(&self, door: &str) -> Result<Option<Secret>, Trouble> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(held.get(door).map(Secret::duplicate))
    }

    fn write(&self, door: &str, document: &Secret) -> Result<(), Trouble> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(door.to_owned(), document.duplicate());
        Ok(())
    }

    fn remove(&self, door: &str) -> Result<bool, Trouble> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(door).is_some())
    }

    fn is_shared(&self) -> bool {
        false
    }
}

/// There is none.
#[derive(Debug)]
pub struct NoKeyring;

impl NoKeyring {
    fn refusal() -> Trouble {
        Trouble::new(Code::KeyringAbsent).because("this program was built without the feature `keyring`")
    }
}

impl Keyring for NoKeyring {
    fn read(&self, _: &str) -> Result<Option<Secret>, Trouble> {
        Err(Self::refusal())
    }

    fn write(&self, _: &str, _: &Secret) -> Result<(), Trouble> {
        Err(Self::refusal())
    }

    fn remove(&self, _: &str) -> Result<bool, Trouble> {
        Err(Self::refusal())
    }

    fn is_shared(&self) -> bool {
        true
    }
}
