//! Names of errnos, those that are internal to the kernel included.
//!
//! The numbers are those of include/uapi/asm-generic/errno.h, which x86 and ARM share, and not those of the system
//! that this runs on: a trace can be read on another one. The internal ones are from include/linux/errno.h. They can
//! be seen here because a traced send ends before the kernel translates them for the application.

use std::borrow::Cow;

/// Largest errno that the filter can hold.
const MAX: u32 = tracer_common::ERRNO_WORDS as u32 * 64 - 1;

/// Name, number and what strerror(3) makes of it, which the internal ones have not. Where two names share a number,
/// the first is the one to show.
const TABLE: &[(&str, u32, &str)] = &[
    ("EPERM", 1, "Operation not permitted"),
    ("ENOENT", 2, "No such file or directory"),
    ("ESRCH", 3, "No such process"),
    ("EINTR", 4, "Interrupted system call"),
    ("EIO", 5, "Input/output error"),
    ("ENXIO", 6, "No such device or address"),
    ("E2BIG", 7, "Argument list too long"),
    ("ENOEXEC", 8, "Exec format error"),
    ("EBADF", 9, "Bad file descriptor"),
    ("ECHILD", 10, "No child processes"),
    ("EAGAIN", 11, "Resource temporarily unavailable"),
    ("ENOMEM", 12, "Cannot allocate memory"),
    ("EACCES", 13, "Permission denied"),
    ("EFAULT", 14, "Bad address"),
    ("ENOTBLK", 15, "Block device required"),
    ("EBUSY", 16, "Device or resource busy"),
    ("EEXIST", 17, "File exists"),
    ("EXDEV", 18, "Invalid cross-device link"),
    ("ENODEV", 19, "No such device"),
    ("ENOTDIR", 20, "Not a directory"),
    ("EISDIR", 21, "Is a directory"),
    ("EINVAL", 22, "Invalid argument"),
    ("ENFILE", 23, "Too many open files in system"),
    ("EMFILE", 24, "Too many open files"),
    ("ENOTTY", 25, "Inappropriate ioctl for device"),
    ("ETXTBSY", 26, "Text file busy"),
    ("EFBIG", 27, "File too large"),
    ("ENOSPC", 28, "No space left on device"),
    ("ESPIPE", 29, "Illegal seek"),
    ("EROFS", 30, "Read-only file system"),
    ("EMLINK", 31, "Too many links"),
    ("EPIPE", 32, "Broken pipe"),
    ("EDOM", 33, "Numerical argument out of domain"),
    ("ERANGE", 34, "Numerical result out of range"),
    ("EDEADLK", 35, "Resource deadlock avoided"),
    ("ENAMETOOLONG", 36, "File name too long"),
    ("ENOLCK", 37, "No locks available"),
    ("ENOSYS", 38, "Function not implemented"),
    ("ENOTEMPTY", 39, "Directory not empty"),
    ("ELOOP", 40, "Too many levels of symbolic links"),
    ("ENOMSG", 42, "No message of desired type"),
    ("EIDRM", 43, "Identifier removed"),
    ("ECHRNG", 44, "Channel number out of range"),
    ("EL2NSYNC", 45, "Level 2 not synchronized"),
    ("EL3HLT", 46, "Level 3 halted"),
    ("EL3RST", 47, "Level 3 reset"),
    ("ELNRNG", 48, "Link number out of range"),
    ("EUNATCH", 49, "Protocol driver not attached"),
    ("ENOCSI", 50, "No CSI structure available"),
    ("EL2HLT", 51, "Level 2 halted"),
    ("EBADE", 52, "Invalid exchange"),
    ("EBADR", 53, "Invalid request descriptor"),
    ("EXFULL", 54, "Exchange full"),
    ("ENOANO", 55, "No anode"),
    ("EBADRQC", 56, "Invalid request code"),
    ("EBADSLT", 57, "Invalid slot"),
    ("EBFONT", 59, "Bad font file format"),
    ("ENOSTR", 60, "Device not a stream"),
    ("ENODATA", 61, "No data available"),
    ("ETIME", 62, "Timer expired"),
    ("ENOSR", 63, "Out of streams resources"),
    ("ENONET", 64, "Machine is not on the network"),
    ("ENOPKG", 65, "Package not installed"),
    ("EREMOTE", 66, "Object is remote"),
    ("ENOLINK", 67, "Link has been severed"),
    ("EADV", 68, "Advertise error"),
    ("ESRMNT", 69, "Srmount error"),
    ("ECOMM", 70, "Communication error on send"),
    ("EPROTO", 71, "Protocol error"),
    ("EMULTIHOP", 72, "Multihop attempted"),
    ("EDOTDOT", 73, "RFS specific error"),
    ("EBADMSG", 74, "Bad message"),
    ("EOVERFLOW", 75, "Value too large for defined data type"),
    ("ENOTUNIQ", 76, "Name not unique on network"),
    ("EBADFD", 77, "File descriptor in bad state"),
    ("EREMCHG", 78, "Remote address changed"),
    ("ELIBACC", 79, "Can not access a needed shared library"),
    ("ELIBBAD", 80, "Accessing a corrupted shared library"),
    ("ELIBSCN", 81, ".lib section in a.out corrupted"),
    (
        "ELIBMAX",
        82,
        "Attempting to link in too many shared libraries",
    ),
    ("ELIBEXEC", 83, "Cannot exec a shared library directly"),
    (
        "EILSEQ",
        84,
        "Invalid or incomplete multibyte or wide character",
    ),
    (
        "ERESTART",
        85,
        "Interrupted system call should be restarted",
    ),
    ("ESTRPIPE", 86, "Streams pipe error"),
    ("EUSERS", 87, "Too many users"),
    ("ENOTSOCK", 88, "Socket operation on non-socket"),
    ("EDESTADDRREQ", 89, "Destination address required"),
    ("EMSGSIZE", 90, "Message too long"),
    ("EPROTOTYPE", 91, "Protocol wrong type for socket"),
    ("ENOPROTOOPT", 92, "Protocol not available"),
    ("EPROTONOSUPPORT", 93, "Protocol not supported"),
    ("ESOCKTNOSUPPORT", 94, "Socket type not supported"),
    ("EOPNOTSUPP", 95, "Operation not supported"),
    ("EPFNOSUPPORT", 96, "Protocol family not supported"),
    (
        "EAFNOSUPPORT",
        97,
        "Address family not supported by protocol",
    ),
    ("EADDRINUSE", 98, "Address already in use"),
    ("EADDRNOTAVAIL", 99, "Cannot assign requested address"),
    ("ENETDOWN", 100, "Network is down"),
    ("ENETUNREACH", 101, "Network is unreachable"),
    ("ENETRESET", 102, "Network dropped connection on reset"),
    ("ECONNABORTED", 103, "Software caused connection abort"),
    ("ECONNRESET", 104, "Connection reset by peer"),
    ("ENOBUFS", 105, "No buffer space available"),
    ("EISCONN", 106, "Transport endpoint is already connected"),
    ("ENOTCONN", 107, "Transport endpoint is not connected"),
    (
        "ESHUTDOWN",
        108,
        "Cannot send after transport endpoint shutdown",
    ),
    ("ETOOMANYREFS", 109, "Too many references: cannot splice"),
    ("ETIMEDOUT", 110, "Connection timed out"),
    ("ECONNREFUSED", 111, "Connection refused"),
    ("EHOSTDOWN", 112, "Host is down"),
    ("EHOSTUNREACH", 113, "No route to host"),
    ("EALREADY", 114, "Operation already in progress"),
    ("EINPROGRESS", 115, "Operation now in progress"),
    ("ESTALE", 116, "Stale file handle"),
    ("EUCLEAN", 117, "Structure needs cleaning"),
    ("ENOTNAM", 118, "Not a XENIX named type file"),
    ("ENAVAIL", 119, "No XENIX semaphores available"),
    ("EISNAM", 120, "Is a named type file"),
    ("EREMOTEIO", 121, "Remote I/O error"),
    ("EDQUOT", 122, "Disk quota exceeded"),
    ("ENOMEDIUM", 123, "No medium found"),
    ("EMEDIUMTYPE", 124, "Wrong medium type"),
    ("ECANCELED", 125, "Operation canceled"),
    ("ENOKEY", 126, "Required key not available"),
    ("EKEYEXPIRED", 127, "Key has expired"),
    ("EKEYREVOKED", 128, "Key has been revoked"),
    ("EKEYREJECTED", 129, "Key was rejected by service"),
    ("EOWNERDEAD", 130, "Owner died"),
    ("ENOTRECOVERABLE", 131, "State not recoverable"),
    ("ERFKILL", 132, "Operation not possible due to RF-kill"),
    ("EHWPOISON", 133, "Memory page has hardware error"),
    ("EWOULDBLOCK", 11, "Resource temporarily unavailable"),
    ("EDEADLOCK", 35, "Resource deadlock avoided"),
    ("ENOTSUP", 95, "Operation not supported"),
    ("ERESTARTSYS", 512, ""),
    ("ERESTARTNOINTR", 513, ""),
    ("ERESTARTNOHAND", 514, ""),
    ("ENOIOCTLCMD", 515, ""),
    ("ERESTART_RESTARTBLOCK", 516, ""),
    ("EPROBE_DEFER", 517, ""),
    ("EOPENSTALE", 518, ""),
    ("ENOPARAM", 519, ""),
    ("EBADHANDLE", 521, ""),
    ("ENOTSYNC", 522, ""),
    ("EBADCOOKIE", 523, ""),
    ("ENOTSUPP", 524, ""),
    ("ETOOSMALL", 525, ""),
    ("ESERVERFAULT", 526, ""),
    ("EBADTYPE", 527, ""),
    ("EJUKEBOX", 528, ""),
    ("EIOCBQUEUED", 529, ""),
    ("ERECALLCONFLICT", 530, ""),
    ("ENOGRACE", 531, ""),
];

/// The name of a positive errno.
pub fn name(errno: u32) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(_, number, _)| *number == errno)
        .map(|(name, ..)| *name)
}

/// What strerror(3) makes of a positive errno, as applications log it.
pub fn described(errno: u32) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(_, number, text)| *number == errno && !text.is_empty())
        .map(|(.., text)| *text)
}

/// The name of a positive errno, or `errno N` where it has none.
pub fn display(errno: u32) -> Cow<'static, str> {
    name(errno).map_or_else(|| format!("errno {errno}").into(), Cow::Borrowed)
}

/// Reads a name in any case, or a number. The error says what was expected, with names that are close.
pub fn parse(word: &str) -> Result<u32, String> {
    let word = word.trim();
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return match word.parse() {
            Ok(number @ 1..=MAX) => Ok(number),
            _ => Err(format!(
                "errno {word} is out of range: numbers go from 1 to {MAX}"
            )),
        };
    }
    if let Some((_, number, _)) = TABLE
        .iter()
        .find(|(name, ..)| name.eq_ignore_ascii_case(word))
    {
        return Ok(*number);
    }
    let close = close_names(&word.to_ascii_uppercase());
    let hint = if close.is_empty() {
        "give a name such as ECOMM, or its number".to_owned()
    } else {
        format!("did you mean {}?", close.join(", "))
    };
    Err(format!("{word:?} is not an errno; {hint}"))
}

/// Up to three names that start with the word (with or without the leading E) or are an edit or two away.
fn close_names(word: &str) -> Vec<&'static str> {
    if word.len() < 3 || word.len() > 32 {
        return Vec::new();
    }
    let edits_allowed = if word.len() < 6 { 1 } else { 2 };
    let mut close: Vec<_> = TABLE
        .iter()
        .filter_map(|(name, ..)| {
            let starts = name.starts_with(word) || name[1..].starts_with(word);
            let edits = distance(word, name);
            (starts || edits <= edits_allowed).then_some((!starts, edits, *name))
        })
        .collect();
    close.sort_by_key(|(other, edits, _)| (*other, *edits));
    close.into_iter().take(3).map(|(_, _, name)| name).collect()
}

/// Levenshtein distance in bytes.
pub fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substitution = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux;

    #[test]
    fn names_lead_to_numbers_and_back() {
        for (name, number, _) in TABLE {
            assert_eq!(parse(name), Ok(*number));
            assert_eq!(parse(&number.to_string()), Ok(*number));
            assert!(super::name(*number).is_some());
        }
        assert_eq!(name(linux::ECOMM as u32), Some("ECOMM"));
        assert_eq!(name(512), Some("ERESTARTSYS"));
        assert_eq!(name(0), None);
        assert_eq!(name(u32::MAX), None);
        assert_eq!(display(300), "errno 300");
    }

    #[test]
    fn ewouldblock_is_another_name_of_eagain() {
        assert_eq!(parse("EWOULDBLOCK"), Ok(linux::EAGAIN as u32));
        assert_eq!(name(linux::EAGAIN as u32), Some("EAGAIN"));
        assert_eq!(name(linux::EOPNOTSUPP as u32), Some("EOPNOTSUPP"));
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(parse(" ecomm "), Ok(linux::ECOMM as u32));
    }

    #[test]
    fn an_unknown_name_is_told_close_ones() {
        assert_eq!(
            parse("ECOM"),
            Err("\"ECOM\" is not an errno; did you mean ECOMM, EDOM?".to_owned())
        );
        let error = parse("CONNREFUSED").unwrap_err();
        assert_eq!(
            error,
            "\"CONNREFUSED\" is not an errno; did you mean ECONNREFUSED?"
        );
        let error = parse("nonsense").unwrap_err();
        assert_eq!(
            error,
            "\"nonsense\" is not an errno; give a name such as ECOMM, or its number"
        );
        assert!(parse("").is_err());
        assert!(parse(&"E".repeat(100_000)).is_err());
    }

    #[test]
    fn a_number_out_of_range_is_refused() {
        assert_eq!(
            parse("0"),
            Err("errno 0 is out of range: numbers go from 1 to 575".to_owned())
        );
        assert!(parse("576").is_err());
        assert!(parse("99999999999999999999").is_err());
        assert!(parse("-70").is_err());
    }
}
