//! Pages that lead somewhere: every relative link of a page names a file, and every page of `docs/` is in the book.

use std::path::{Component, Path, PathBuf};

use super::Violation;

const BOOK: &str = "docs/SUMMARY.md";
/// Listed by a page of their own.
const RECORDS: &str = "docs/decisions/";

/// Checks the pages among `files`; `read` gives the text of one.
pub fn check(files: &[String], read: impl Fn(&str) -> String) -> Vec<Violation> {
    let pages = files.iter().filter(|file| file.ends_with(".md"));
    let mut violations = Vec::new();
    for page in pages.clone() {
        for (index, line) in read(page).lines().enumerate() {
            let gone = links(line).filter(|link| !files.contains(&resolve(page, link)));
            violations.extend(gone.map(|link| Violation {
                file: page.clone(),
                line: index + 1,
                rule: format!("links to {link}, which is not there"),
            }));
        }
    }
    let book = read(BOOK);
    let listed: Vec<String> = book
        .lines()
        .flat_map(links)
        .map(|link| resolve(BOOK, link))
        .collect();
    let of_the_book = |page: &&String| {
        page.starts_with("docs/") && !page.starts_with(RECORDS) && page.as_str() != BOOK
    };
    let left_out = pages
        .filter(of_the_book)
        .filter(|page| !listed.contains(page));
    violations.extend(left_out.map(|page| Violation {
        file: page.clone(),
        line: 1,
        rule: format!("is a page of the book, but {BOOK} does not list it"),
    }));
    violations
}

/// Relative targets of `[text](target)`, without what follows `#`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains(':') && !target.contains(' '))
}

/// The file that a link of this page names, from the root of the repository.
fn resolve(page: &str, link: &str) -> String {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(pages: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<String> = pages.iter().map(|(file, _)| (*file).to_owned()).collect();
        let read = |file: &str| {
            let page = pages.iter().find(|(name, _)| *name == file);
            page.map_or(String::new(), |(_, text)| (*text).to_owned())
        };
        let said = check(&files, read);
        said.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named_with_its_line() {
        let book = (BOOK, "- [A](a.md)\n- [B](b/c.md#part)\n");
        let whole = [
            book,
            ("docs/a.md", "see [C](b/c.md)"),
            ("docs/b/c.md", "[A](../a.md) [x](https://x)"),
        ];
        assert_eq!(broken(&whole), [""; 0]);
        let torn = [book, ("docs/a.md", "\nsee [C](c.md)"), ("docs/b/c.md", "")];
        assert_eq!(
            broken(&torn),
            ["docs/a.md:2: links to c.md, which is not there"]
        );
    }

    #[test]
    fn a_page_that_the_book_does_not_list_is_named_but_records_are_not() {
        let pages = [
            (BOOK, "- [A](a.md)"),
            ("docs/a.md", ""),
            ("docs/b.md", ""),
            ("docs/decisions/0001-x.md", ""),
        ];
        assert_eq!(
            broken(&pages),
            ["docs/b.md:1: is a page of the book, but docs/SUMMARY.md does not list it"]
        );
    }
}
