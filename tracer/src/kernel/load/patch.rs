//! Puts a function of the kernel into the kernel half: the loader library knows helpers only.

use tracer_common::TYPED_CALL;

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`, the source register of a call of a kernel function by its number in BTF.
const KFUNC: u8 = 2;

/// Turns every call of [`TYPED_CALL`] in the object into one of `bpf_rdonly_cast`, whose number in the kernel's BTF
/// is `cast`; gives how many there were.
pub(super) fn set_cast(object: &mut [u8], cast: u32) -> usize {
    let instruction = |source: u8, number: u32| {
        let [a, b, c, d] = number.to_le_bytes();
        [CALL, source << 4, 0, 0, a, b, c, d]
    };
    let placeholder = instruction(0, TYPED_CALL);
    let call = instruction(KFUNC, cast);
    let mut found = 0;
    // Instructions lie on multiples of 8.
    for code in object.chunks_exact_mut(8) {
        if code == placeholder {
            code.copy_from_slice(&call);
            found += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_is_found_in_the_kernel_half_and_replaced_once() {
        let mut object = Box::new(super::super::OBJECT.0);
        assert!(set_cast(&mut object[..], 68_182) > 0);
        assert_eq!(set_cast(&mut object[..], 68_182), 0);
        assert!(
            object
                .chunks_exact(8)
                .any(|code| code == [0x85, 0x20, 0, 0, 0x56, 0x0a, 1, 0])
        );
    }
}
