//! Key files are read again while the director runs: keys are replaced without a restart.

use super::worker::Command;
use super::{Director, StartError, setup};

impl Director {
    /// Reads the key files of all groups again. A file that cannot be used changes nothing for its group.
    ///
    /// # Errors
    /// [`StartError::Keys`] of the first file that cannot be used; the others are read all the same.
    pub fn read_keys_again(&self) -> Result<(), StartError> {
        let mut result = Ok(());
        for (index, member) in self.members.iter().enumerate() {
            let Some(file) = &member.keys else { continue };
            match setup::keys(file) {
                // A director that has ended needs no keys.
                Ok(keys) => drop(self.command(Command::Keys(index, keys))),
                Err(why) => {
                    let error = StartError::Keys { group: member.name.clone(), file: file.clone(), why };
                    result = result.and(Err(error));
                }
            }
        }
        result
    }
}
