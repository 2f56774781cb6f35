//! Puts a function of the kernel into the BPF programs: the loader library knows helpers only.

use tracer_common::TYPED_CALL;

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`, the source register of a call of a kernel function by its number in BTF.
const KFUNC: u8 = 2;
/// An object is read in words of this many bytes, and instructions are as long.
const WORD: usize = 8;

/// A copy of the object that lies on a multiple of 8, as the original does.
pub(super) struct Patched {
    bytes: Vec<u8>,
    start: usize,
}

impl Patched {
    /// Turns every call of [`TYPED_CALL`] into one of `bpf_rdonly_cast`, whose number in the kernel's BTF is `cast`.
    pub(super) fn with_cast(object: &[u8], cast: u32) -> Self {
        let placeholder = instruction(0, TYPED_CALL);
        let call = instruction(KFUNC, cast);
        let mut bytes: Vec<u8> = Vec::with_capacity(object.len() + WORD);
        let start = bytes.as_ptr().align_offset(WORD);
        bytes.resize(start, 0);
        bytes.extend_from_slice(object);
        for code in bytes[start..].chunks_exact_mut(WORD) {
            if code == placeholder {
                code.copy_from_slice(&call);
            }
        }
        Self { bytes, start }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// A call with this source register and number.
fn instruction(source: u8, number: u32) -> [u8; WORD] {
    let [a, b, c, d] = number.to_le_bytes();
    [CALL, source << 4, 0, 0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::super::OBJECT;
    use super::*;

    #[test]
    fn every_call_in_the_kernel_half_is_replaced_and_nothing_else() {
        let patched = Patched::with_cast(&OBJECT.0, 68_182);
        assert_eq!(patched.bytes().as_ptr().align_offset(WORD), 0);
        assert_eq!(patched.bytes().len(), OBJECT.0.len());
        let mut replaced = 0;
        for (old, new) in OBJECT.0.chunks(WORD).zip(patched.bytes().chunks(WORD)) {
            if old == instruction(0, TYPED_CALL) {
                assert_eq!(new, [0x85, 0x20, 0, 0, 0x56, 0x0a, 1, 0]);
                replaced += 1;
            } else {
                assert_eq!(old, new);
            }
        }
        assert!(replaced > 0);
    }
}
