//! The floating-point environment of kernel jobs: denormal numbers count as zero.

/// Flush-to-zero (bit 15) and denormals-are-zero (bit 6) of the x86 control register MXCSR.
#[cfg(target_arch = "x86_64")]
const FLUSH: u32 = 1 << 15 | 1 << 6;

/// Sets flush-to-zero and denormals-are-zero until dropped, then restores what was there, so that
/// code outside the kernels keeps IEEE denormals. `vdpbf16ps` always works this way; the other
/// instructions must agree with it.
pub(super) struct FlushDenormals {
    #[cfg(target_arch = "x86_64")]
    before: u32,
}

#[cfg(target_arch = "x86_64")]
impl FlushDenormals {
    pub(super) fn enter() -> Self {
        let mut before = 0_u32;
        // SAFETY: `stmxcsr` stores four bytes to a valid local; SSE is part of x86-64.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut before, options(nostack)) };
        Self::set(before | FLUSH);
        Self { before }
    }

    fn set(value: u32) {
        // SAFETY: `value` is a register state read by `stmxcsr` with only the two denormal bits
        // changed: rounding mode and exception masks stay as they were.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, readonly)) };
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for FlushDenormals {
    fn drop(&mut self) {
        Self::set(self.before);
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl FlushDenormals {
    pub(super) fn enter() -> Self {
        Self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn denormals_are_zero_inside_and_back_outside() {
        let tiny = black_box(f32::MIN_POSITIVE);
        {
            let _guard = FlushDenormals::enter();
            assert_eq!((tiny * black_box(0.5)).to_bits(), 0);
        }
        assert_ne!((tiny * black_box(0.5)).to_bits(), 0);
    }
}
