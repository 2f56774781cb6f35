//! What the writer can do once privileges are dropped.

use caps::CapSet;

/// Does something as the calling thread could do it once privileges are dropped; they come back afterwards.
pub fn without_capabilities<T>(does: impl FnOnce() -> T) -> T {
    let effective = caps::read(None, CapSet::Effective).unwrap_or_default();
    // Lowering one's own effective set is always allowed; raising it to what is permitted as well.
    let _ = caps::clear(None, CapSet::Effective);
    let answer = does();
    let _ = caps::set(None, CapSet::Effective, &effective);
    answer
}
