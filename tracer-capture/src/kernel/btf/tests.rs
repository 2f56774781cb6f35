use super::*;

/// Writes BTF, type by type; ids start at 1.
#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

const KIND_FLAG: u32 = 1 << 31;

impl Writer {
    fn string(&mut self, text: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(
        &mut self,
        name: &str,
        kind: u32,
        flags: u32,
        count: usize,
        target: u32,
        rest: &[u32],
    ) -> u32 {
        let name = self.string(name);
        for word in [name, kind << 24 | flags | count as u32, target]
            .iter()
            .chain(rest)
        {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    fn int(&mut self, name: &str, bytes: u32) -> u32 {
        self.add(name, kind::INT, 0, 0, bytes, &[bytes * 8])
    }

    /// Members are (name, type, raw offset).
    fn members(&mut self, name: &str, kind: u32, flags: u32, members: &[(&str, u32, u32)]) -> u32 {
        let rest: Vec<_> = members
            .iter()
            .flat_map(|&(name, ty, at)| [self.string(name), ty, at])
            .collect();
        self.add(name, kind, flags, members.len(), 64, &rest)
    }

    fn proto(&mut self, parameters: &[u32]) -> u32 {
        let rest: Vec<_> = parameters.iter().flat_map(|&ty| [0, ty]).collect();
        self.add("", kind::FUNC_PROTO, 0, parameters.len(), 0, &rest)
    }

    fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut bytes = Vec::new();
        for word in [u32::from(MAGIC) | 1 << 16, 24, 0, types, types, strings] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        bytes
    }
}

/// A small kernel: `struct sock` with a nested common part, an anonymous union, bit-fields; a tracepoint.
fn kernel() -> Vec<u8> {
    let mut writer = Writer::default();
    let u16_ = writer.int("short unsigned int", 2);
    let u32_ = writer.int("unsigned int", 4);
    let inner = writer.members(
        "",
        kind::STRUCT,
        0,
        &[("skc_daddr", u32_, 0), ("skc_rcv_saddr", u32_, 32)],
    );
    let union = writer.members(
        "",
        kind::UNION,
        0,
        &[("skc_addrpair", u32_, 0), ("", inner, 0)],
    );
    let common = writer.members(
        "sock_common",
        kind::STRUCT,
        0,
        &[("", union, 0), ("skc_family", u16_, 128)],
    );
    let typedef = writer.add("common_t", kind::TYPEDEF, 0, 0, common, &[]);
    let constant = writer.add("", kind::CONST, 0, 0, typedef, &[]);
    let sock = writer.members(
        "sock",
        kind::STRUCT,
        KIND_FLAG,
        &[
            ("__sk_common", constant, 64),
            ("state", u32_, 5 << 24 | 520),
            ("pending", u32_, 3 << 24 | 525),
            ("sk_type", u16_, 544),
        ],
    );
    let const_sock = writer.add("", kind::CONST, 0, 0, sock, &[]);
    let pointer = writer.add("", kind::PTR, 0, 0, const_sock, &[]);
    let void = writer.add("", kind::PTR, 0, 0, 0, &[]);
    let proto = writer.proto(&[void, pointer, u32_, void]);
    let proto_pointer = writer.add("", kind::PTR, 0, 0, proto, &[]);
    writer.add(
        "btf_trace_kfree_skb",
        kind::TYPEDEF,
        0,
        0,
        proto_pointer,
        &[],
    );
    writer.add("inet_csk_accept", kind::FUNC, 0, 0, proto, &[]);
    let names: Vec<_> = ["SKB_DROP_REASON_NO_SOCKET", "SKB_CONSUMED"]
        .map(|name| writer.string(name))
        .into();
    writer.add(
        "skb_drop_reason",
        kind::ENUM,
        0,
        2,
        4,
        &[names[0], 3, names[1], 1],
    );
    let wide = writer.string("WIDE");
    writer.add("wide", kind::ENUM64, 0, 1, 8, &[wide, 7, 1]);
    writer.bytes()
}

fn offset(paths: &'static [&'static str]) -> Option<u32> {
    offset_of(&Btf::parse(kernel()).unwrap(), paths, Form::Plain)
}

fn offset_of(btf: &Btf, paths: &'static [&'static str], form: Form) -> Option<u32> {
    btf.offset(&Field {
        name: "field",
        container: "sock",
        paths,
        form,
    })
}

/// `struct sock` with numbers of their own and bit-fields of every kind, some of them where they cannot be read.
fn bit_fields() -> Btf {
    let mut writer = Writer::default();
    let u8_ = writer.int("unsigned char", 1);
    let u16_ = writer.int("short unsigned int", 2);
    let u32_ = writer.int("unsigned int", 4);
    writer.members(
        "sock",
        kind::STRUCT,
        KIND_FLAG,
        &[
            ("byte", u8_, 0),
            ("half", u16_, 16),
            ("kern", u32_, 1 << 24 | 32),
            ("protocol", u32_, 8 << 24 | 40),
            ("kind", u32_, 16 << 24 | 48),
            ("all", u32_, 32 << 24 | 64),
            ("three", u32_, 3 << 24 | 101),
            ("over", u32_, 4 << 24 | 101),
            ("odd_byte", u32_, 8 << 24 | 107),
            ("odd_kind", u32_, 16 << 24 | 120),
            ("odd_all", u32_, 32 << 24 | 144),
        ],
    );
    Btf::parse(writer.bytes()).unwrap()
}

#[test]
fn a_field_is_found_through_typedefs_and_anonymous_members() {
    assert_eq!(offset(&["sk_type"]), Some(68));
    assert_eq!(offset(&["__sk_common.skc_family"]), Some(24));
    assert_eq!(offset(&["__sk_common.skc_rcv_saddr"]), Some(12));
    assert_eq!(offset(&["__sk_common.skc_addrpair"]), Some(8));
}

#[test]
fn a_bit_field_carries_its_shift_and_width() {
    let btf = Btf::parse(kernel()).unwrap();
    let slot = |paths| offset_of(&btf, paths, Form::Bits);
    assert_eq!(slot(&["state"]), Some(65 | 5 << 24));
    assert_eq!(slot(&["pending"]), Some(65 | 5 << 16 | 3 << 24));
}

#[test]
fn an_aligned_bit_field_of_8_16_or_32_bits_is_a_number_of_that_width() {
    let btf = bit_fields();
    let slot = |name, bits| offset_of(&btf, name, Form::Wide(bits));
    assert_eq!(slot(&["protocol"], 8), Some(5));
    assert_eq!(slot(&["kind"], 16), Some(6));
    assert_eq!(slot(&["all"], 32), Some(8));
    assert_eq!(slot(&["byte"], 8), Some(0));
    assert_eq!(slot(&["half"], 16), Some(2));
}

#[test]
fn a_number_is_read_only_in_the_width_that_it_has() {
    let btf = bit_fields();
    let slot = |name, bits| offset_of(&btf, name, Form::Wide(bits));
    for name in [&["byte"], &["protocol"]] {
        assert_eq!(slot(name, 16), None);
        assert_eq!(slot(name, 32), None);
    }
    for name in [&["half"], &["kind"]] {
        assert_eq!(slot(name, 8), None);
        assert_eq!(slot(name, 32), None);
    }
    assert_eq!(slot(&["all"], 16), None);
    assert_eq!(slot(&["three"], 8), None);
}

#[test]
fn a_bit_field_across_the_places_of_numbers_is_absent() {
    let btf = bit_fields();
    for (name, bits) in [(&["odd_byte"], 8), (&["odd_kind"], 16), (&["odd_all"], 32)] {
        for form in [Form::Plain, Form::Wide(bits), Form::Bits] {
            assert_eq!(offset_of(&btf, name, form), None, "{name:?} {form:?}");
        }
    }
}

#[test]
fn bits_are_read_from_one_byte_or_not_at_all() {
    let btf = bit_fields();
    let slot = |name| offset_of(&btf, name, Form::Bits);
    assert_eq!(slot(&["kern"]), Some(4 | 1 << 24));
    assert_eq!(slot(&["three"]), Some(12 | 5 << 16 | 3 << 24));
    assert_eq!(slot(&["protocol"]), Some(5));
    assert_eq!(slot(&["byte"]), Some(0));
    assert_eq!(slot(&["over"]), None, "in two bytes");
    for wider in [&["half"], &["kind"], &["all"]] {
        assert_eq!(slot(wider), None, "{wider:?} is more than a byte");
    }
}

#[test]
fn a_bit_field_is_no_plain_number() {
    let btf = bit_fields();
    for name in [&["kern"], &["protocol"], &["kind"], &["all"], &["three"]] {
        assert_eq!(offset_of(&btf, name, Form::Plain), None, "{name:?}");
    }
    assert_eq!(offset_of(&btf, &["half"], Form::Plain), Some(2));
}

#[test]
fn of_alternatives_the_first_that_exists_wins() {
    assert_eq!(offset(&["sk_gone", "sk_type"]), Some(68));
    assert_eq!(offset(&["sk_type", "sk_gone"]), Some(68));
}

#[test]
fn an_absent_field_or_type_has_no_offset() {
    assert_eq!(offset(&["sk_gone"]), None);
    assert_eq!(offset(&["sk_type.deeper"]), None);
    assert_eq!(offset(&["__sk_common.sk_type"]), None);
    let btf = Btf::parse(kernel()).unwrap();
    assert_eq!(
        btf.offset(&Field {
            name: "field",
            container: "sk_buff",
            paths: &["len"],
            form: Form::Plain,
        }),
        None
    );
    let (offsets, unresolved) = btf.offsets();
    assert_eq!(
        offsets
            .iter()
            .filter(|&&offset| offset == UNRESOLVED)
            .count(),
        unresolved.len()
    );
    assert!(offsets.iter().any(|&offset| offset != UNRESOLVED));
}

/// `struct pt_regs` of arm64: its first registers are an array, in a structure without a name.
fn registers_of_arm64() -> Btf {
    let mut writer = Writer::default();
    let word = writer.int("unsigned long long", 8);
    let number = writer.int("int", 4);
    let registers = writer.add("", kind::ARRAY, 0, 0, 0, &[word, number, 31]);
    let members = [
        ("regs", registers, 0),
        ("sp", word, 31 * 64),
        ("pc", word, 32 * 64),
        ("pstate", word, 33 * 64),
    ];
    let user = writer.members("user_pt_regs", kind::STRUCT, 0, &members);
    let inner = writer.members("", kind::STRUCT, 0, &members);
    let union = writer.members(
        "",
        kind::UNION,
        0,
        &[("user_regs", user, 0), ("", inner, 0)],
    );
    let members = [
        ("", union, 0),
        ("orig_x0", word, 34 * 64),
        ("syscallno", number, 35 * 64),
    ];
    writer.members("pt_regs", kind::STRUCT, 0, &members);
    Btf::parse(writer.bytes()).unwrap()
}

#[test]
fn an_element_of_an_array_is_found_and_none_beyond_its_end() {
    let btf = registers_of_arm64();
    let offset = |path: &'static [&'static str]| {
        btf.offset(&Field {
            name: "field",
            container: "pt_regs",
            paths: path,
            form: Form::Plain,
        })
    };
    assert_eq!(offset(&["regs[0]"]), Some(0));
    assert_eq!(offset(&["di", "regs[5]"]), Some(40));
    assert_eq!(offset(&["user_regs.regs[30]"]), Some(240));
    for wrong in [&["regs[31]"], &["sp[0]"], &["regs[x]"], &["regs0]"]] {
        assert_eq!(offset(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_processor_is_known_by_the_registers_that_it_saves() {
    use crate::kernel::facts::{BtfFacts, Processor};
    let facts = BtfFacts::extract(&registers_of_arm64());
    assert_eq!(facts.processor, Some(Processor::Arm64));
    let slot = |name| {
        let index = FIELDS.iter().position(|field| field.name == name);
        facts.offsets[index.expect("a field")]
    };
    assert_eq!([slot("regs_running"), slot("regs_number")], [272, 280]);
    let other = BtfFacts::extract(&Btf::parse(kernel()).unwrap());
    assert_eq!(other.processor, None);
}

#[test]
fn a_tracepoint_counts_its_arguments_without_the_first() {
    let btf = Btf::parse(kernel()).unwrap();
    assert_eq!(btf.tracepoint_args("kfree_skb"), Some(3));
    let types = btf.tracepoint_arg_types("kfree_skb").unwrap();
    assert_eq!(types, ["const struct sock *", "unsigned int", "void *"]);
    assert_eq!(btf.tracepoint_args("net_dev_xmit"), None);
}

#[test]
fn functions_and_structs_are_known_by_name_and_kind() {
    let btf = Btf::parse(kernel()).unwrap();
    assert!(btf.has_func("inet_csk_accept") && !btf.has_func("sock"));
    assert_eq!(btf.func_args("inet_csk_accept"), Some(4));
    assert!(btf.has_struct("sock") && !btf.has_struct("inet_csk_accept") && !btf.has_struct(""));
}

#[test]
fn names_of_an_enumeration_lose_their_common_prefix() {
    let btf = Btf::parse(kernel()).unwrap();
    let names = btf
        .enum_names_without("skb_drop_reason", "SKB_DROP_REASON_")
        .unwrap();
    assert_eq!(
        names,
        BTreeMap::from([(3, "NO_SOCKET".to_owned()), (1, "SKB_CONSUMED".to_owned())])
    );
    assert!(btf.has_enum_value("skb_drop_reason", "SKB_CONSUMED"));
    assert_eq!(btf.enum_names("wide").unwrap()[&7], "WIDE");
    assert_eq!(btf.enum_names("sk_rst_reason"), None);
}

#[test]
fn what_is_not_btf_is_refused() {
    assert_eq!(Btf::parse(Vec::new()).err(), Some(BtfError::Truncated));
    assert!(matches!(
        Btf::parse(vec![0; 64]).err(),
        Some(BtfError::Format(_))
    ));
    let mut big_endian = kernel();
    big_endian.swap(0, 1);
    assert!(matches!(
        Btf::parse(big_endian).err(),
        Some(BtfError::Format(_))
    ));
    let mut writer = Writer::default();
    writer.add("future", 31, 0, 0, 0, &[]);
    assert_eq!(
        Btf::parse(writer.bytes()).err(),
        Some(BtfError::UnknownKind(31))
    );
}

/// Asks everything, for the panics that it might cause.
fn exercise(bytes: Vec<u8>) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    let _ = btf.offsets();
    let _ = btf.offset(&Field {
        name: "f",
        container: "sock",
        paths: &["__sk_common.skc_rcv_saddr", "pending"],
        form: Form::Bits,
    });
    let _ = btf.tracepoint_arg_types("kfree_skb");
    let _ = btf.func_args("inet_csk_accept");
    let _ = btf.enum_names("skb_drop_reason");
}

#[test]
fn btf_that_ends_anywhere_is_no_panic() {
    let whole = kernel();
    for length in 0..whole.len() {
        exercise(whole[..length].to_vec());
    }
}

#[test]
fn btf_with_any_byte_changed_is_no_panic() {
    let whole = kernel();
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff, whole[at] ^ 0x80] {
            let mut changed = whole.clone();
            changed[at] = value;
            exercise(changed);
        }
    }
}

#[test]
fn types_that_refer_to_themselves_end() {
    let mut writer = Writer::default();
    writer.add("loop", kind::TYPEDEF, 0, 0, 1, &[]);
    let own = writer.count + 1;
    writer.members(
        "sock",
        kind::STRUCT,
        0,
        &[("__sk_common", 1, 0), ("", own, 0)],
    );
    let proto = writer.proto(&[0, 5]);
    let pointer = writer.add("", kind::PTR, 0, 0, proto, &[]);
    writer.add("", kind::PTR, 0, 0, 5, &[]);
    writer.add("btf_trace_kfree_skb", kind::TYPEDEF, 0, 0, pointer, &[]);
    let btf = Btf::parse(writer.bytes()).unwrap();
    assert_eq!(
        btf.offset(&Field {
            name: "f",
            container: "sock",
            paths: &["__sk_common.skc_family", "x"],
            form: Form::Plain,
        }),
        None
    );
    assert_eq!(btf.tracepoint_args("kfree_skb"), Some(1));
    assert_eq!(btf.tracepoint_arg_types("kfree_skb"), None);
}
