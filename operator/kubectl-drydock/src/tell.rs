//! Words and shapes that all texts share.

use std::fmt;

use jiff::Timestamp;

/// The beginning of a digest, long enough to be told apart.
pub fn short(digest: &str) -> &str {
    digest.get(.."sha256:".len() + 12).unwrap_or(digest)
}

/// `3d`, `2h`, `12m`, `5s`: the largest unit, as kubectl has it.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A line with lines under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub text: String,
    pub under: Vec<Node>,
}

impl Node {
    pub fn leaf(text: impl Into<String>) -> Self {
        Self { text: text.into(), under: Vec::new() }
    }

    pub fn over(text: impl Into<String>, under: Vec<Node>) -> Self {
        Self { text: text.into(), under }
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        for (i, node) in self.under.iter().enumerate() {
            let is_last = i + 1 == self.under.len();
            let (branch, rest) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
            writeln!(f, "{indent}{branch}{}", node.text)?;
            node.draw(f, &format!("{indent}{rest}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.draw(f, "")
    }
}

/// Columns as wide as they need to be, two spaces apart; nothing after the last one.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, expected) in
            [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d"), (900_000, "10d")]
        {
            let now = Timestamp::from_second(1_000_000 + seconds).unwrap();
            assert_eq!(age(Timestamp::from_second(1_000_000).unwrap(), now), expected);
        }
    }

    #[test]
    fn a_tree_and_a_table() {
        let node = Node::over("a", vec![Node::over("b", vec![Node::leaf("c")]), Node::leaf("d")]);
        assert_eq!(node.to_string(), "a\n├── b\n│   └── c\n└── d\n");
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect();
        assert_eq!(table(&[row(&["a", "bbb", "c"]), row(&["aaa", "é", ""])]), ["a    bbb  c", "aaa  é"]);
    }

    #[test]
    fn digests() {
        assert_eq!(short(&format!("sha256:{}", "0123456789abcdef".repeat(4))), "sha256:0123456789ab");
        assert_eq!(short("sha256:00"), "sha256:00");
    }
}
