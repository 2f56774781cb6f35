//! Names of errnos, those that are internal to the kernel included.
//!
//! Numbers come from the C library, since they differ between architectures; the internal ones are from
//! include/linux/errno.h and are the same everywhere. They can be seen here because a traced send ends
//! before the kernel translates them for the application.

use std::borrow::Cow;

/// Largest errno that the filter can hold.
const MAX: u32 = tracer_common::ERRNO_WORDS as u32 * 64 - 1;

macro_rules! table {
    ($($name:ident)+; $($internal:ident = $number:literal)+) => {
        /// Name and number; where two names share a number, the first is the one to show.
        const TABLE: &[(&str, u32)] = &[
            $((stringify!($name), libc::$name as u32),)+
            $((stringify!($internal), $number),)+
        ];
    };
}

table! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY
    EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK
    EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT
    EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT EBFONT ENOSTR ENODATA ETIME
    ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ
    EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK
    EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
    EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS
    EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY
    EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY
    EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
    EWOULDBLOCK EDEADLOCK ENOTSUP;
    ERESTARTSYS = 512 ERESTARTNOINTR = 513 ERESTARTNOHAND = 514 ENOIOCTLCMD = 515 ERESTART_RESTARTBLOCK = 516
    EPROBE_DEFER = 517 EOPENSTALE = 518 ENOPARAM = 519 EBADHANDLE = 521 ENOTSYNC = 522 EBADCOOKIE = 523
    ENOTSUPP = 524 ETOOSMALL = 525 ESERVERFAULT = 526 EBADTYPE = 527 EJUKEBOX = 528 EIOCBQUEUED = 529
    ERECALLCONFLICT = 530 ENOGRACE = 531
}

/// The name of a positive errno.
pub fn name(errno: u32) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(_, number)| *number == errno)
        .map(|(name, _)| *name)
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
    if let Some((_, number)) = TABLE
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
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
        .filter_map(|(name, _)| {
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

    #[test]
    fn names_lead_to_numbers_and_back() {
        for (name, number) in TABLE {
            assert_eq!(parse(name), Ok(*number));
            assert_eq!(parse(&number.to_string()), Ok(*number));
            assert!(super::name(*number).is_some());
        }
        assert_eq!(name(libc::ECOMM as u32), Some("ECOMM"));
        assert_eq!(name(512), Some("ERESTARTSYS"));
        assert_eq!(name(0), None);
        assert_eq!(name(u32::MAX), None);
        assert_eq!(display(300), "errno 300");
    }

    #[test]
    fn ewouldblock_is_another_name_of_eagain() {
        assert_eq!(parse("EWOULDBLOCK"), Ok(libc::EAGAIN as u32));
        assert_eq!(name(libc::EAGAIN as u32), Some("EAGAIN"));
        assert_eq!(name(libc::EOPNOTSUPP as u32), Some("EOPNOTSUPP"));
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(parse(" ecomm "), Ok(libc::ECOMM as u32));
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
