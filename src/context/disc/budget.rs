//! What one disc may use up. It is spent while the disc is composed, so that what would be too much is never made.

use anyhow::{Result, ensure};

use super::files::Files;

/// Work on so many bytes counts as one step.
pub(super) const BYTES_A_STEP: u64 = 64;

/// How much one disc may hold, and how much work it may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Number of files.
    pub files: usize,
    /// Steps of all templates together.
    pub disc_steps: u64,
    /// Steps of one template.
    pub template_steps: u64,
    /// Bytes that one template gives.
    pub template_output: u64,
}

/// What is left of the limits for the rest of a disc.
pub(crate) struct Budget {
    limits: Limits,
    bytes_left: u64,
    steps_left: u64,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Budget {
        Budget { limits, bytes_left: limits.bytes, steps_left: limits.disc_steps }
    }

    /// Fails when a disc may not have so many files in all.
    pub(super) fn check_files(&self, count: usize) -> Result<()> {
        let most = self.limits.files;
        ensure!(count <= most, "the disc would hold {count} files; limits.files allows {most}");
        Ok(())
    }

    /// Spends the bytes of one more file.
    pub(super) fn spend_bytes(&mut self, bytes: usize) -> Result<()> {
        let left = self.bytes_left.checked_sub(bytes as u64);
        ensure!(left.is_some(), "the disc would hold more than limits.disc_size = {} bytes", self.limits.bytes);
        self.bytes_left = left.unwrap_or_default();
        Ok(())
    }

    /// Fails when that is too much, with what the disc's format has added.
    pub(super) fn check(self, files: &Files) -> Result<()> {
        self.check_files(files.iter().len())?;
        let (size, most) = (files.content_size(), self.limits.bytes);
        ensure!(size <= most, "the disc would hold {size} bytes; limits.disc_size allows {most}");
        Ok(())
    }

    /// The steps that the next template may take, and the limit that it has reached when they are not enough.
    pub(super) fn steps(&self) -> (u64, &'static str) {
        let Limits { template_steps, .. } = self.limits;
        match self.steps_left < template_steps {
            true => (self.steps_left, "limits.disc_steps allows for all of a disc"),
            false => (template_steps, "limits.template_steps allows"),
        }
    }

    /// Spends the steps that a template took, and those of reading its `source`.
    pub(super) fn spend_steps(&mut self, taken: u64, source: &str) {
        self.steps_left = self.steps_left.saturating_sub(taken).saturating_sub(source.len() as u64 / BYTES_A_STEP);
    }

    /// Fails when one template may not give so many bytes; `name` is for errors.
    pub(super) fn check_output(&self, name: &str, bytes: usize) -> Result<()> {
        let most = self.limits.template_output;
        ensure!(bytes as u64 <= most, "the template {name} gives more than limits.template_output = {most} bytes");
        Ok(())
    }
}
