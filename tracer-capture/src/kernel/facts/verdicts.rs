//! What the kernel said to the programs so far: facts as well, for the plan that is made after a refusal.

/// What the kernel said about a program when it was really loaded and attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramVerdict {
    Allowed,
    /// `errno` when the kernel gave one; `text` is one line.
    Refused {
        errno: Option<i32>,
        text: String,
    },
    /// Taken away by `--without-program`, as if the kernel refused it.
    Withheld,
    Untried,
}

impl ProgramVerdict {
    /// Must another program do its work?
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Withheld)
    }

    /// What was said instead of yes; `None`: nothing was.
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Refused { text, .. } => Some(text),
            Self::Withheld => Some("taken away by --without-program"),
            Self::Allowed | Self::Untried => None,
        }
    }
}

/// A verdict per program, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts(Vec<(String, ProgramVerdict)>);

impl Verdicts {
    /// What was said about a program last.
    pub fn of(&self, program: &str) -> &ProgramVerdict {
        let found = self.0.iter().find(|(name, _)| name == program);
        found.map_or(&ProgramVerdict::Untried, |(_, verdict)| verdict)
    }

    pub fn note(&mut self, program: &str, verdict: ProgramVerdict) {
        self.0.retain(|(name, _)| name != program);
        self.0.push((program.to_owned(), verdict));
    }

    /// Takes these programs away, as if the kernel refused them.
    pub fn withhold(&mut self, programs: &[String]) {
        for program in programs {
            self.note(program, ProgramVerdict::Withheld);
        }
    }

    /// Forgets that programs were allowed that do not run any more.
    pub fn keep_running(&mut self, runs: impl Fn(&str) -> bool) {
        self.0
            .retain(|(program, verdict)| verdict.is_refusal() || runs(program));
    }

    pub fn is_allowed(&self, program: &str) -> bool {
        *self.of(program) == ProgramVerdict::Allowed
    }

    /// The programs that were refused, and in which words.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter_map(|(program, verdict)| Some((program.as_str(), verdict.words()?)))
    }
}
