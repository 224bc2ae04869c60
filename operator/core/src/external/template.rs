/// What a text may name, between two braces on either side.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    pub canary: &'a str,
    pub stable: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

const KNOWN: [&str; 4] = ["canary", "stable", "namespace", "name"];

impl Words<'_> {
    fn get(&self, word: &str) -> Option<&str> {
        match word {
            "canary" => Some(self.canary),
            "stable" => Some(self.stable),
            "namespace" => Some(self.namespace),
            "name" => Some(self.name),
            _ => None,
        }
    }

    /// The text with each `{{word}}` in its place. What is not a word of ours stays as it is; [`unknown`] has refused it.
    pub fn fill(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, word, after)) = next(rest) {
            out.push_str(before);
            match self.get(word.trim()) {
                Some(value) => out.push_str(value),
                None => out.extend(["{{", word, "}}"]),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// What a text names that there is not, and what there is.
pub fn unknown(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some((_, word, after)) = next(rest) {
        if !KNOWN.contains(&word.trim()) {
            let known: Vec<String> = KNOWN.iter().map(|k| format!("{{{{{k}}}}}")).collect();
            return Some(format!("found {{{{{word}}}}}; known are {}", known.join(", ")));
        }
        rest = after;
    }
    None
}

fn next(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (word, after) = rest.split_once("}}")?;
    Some((before, word, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_filled_in_and_others_refused() {
        let words = Words { canary: "bbb", stable: "aaa", namespace: "shop", name: "fashion" };
        for (text, filled) in [
            ("", ""),
            ("up", "up"),
            ("{{canary}}", "bbb"),
            ("http://{{name}}-canary.{{ namespace }}/", "http://fashion-canary.shop/"),
            (
                r#"rate(x{revision="{{canary}}"}[1m]) / rate(x{revision="{{stable}}"}[1m])"#,
                r#"rate(x{revision="bbb"}[1m]) / rate(x{revision="aaa"}[1m])"#,
            ),
            ("an open {{canary", "an open {{canary"),
            ("{{canary}}{{canary}}", "bbbbbb"),
        ] {
            assert_eq!(words.fill(text), filled);
            assert_eq!(unknown(text), None, "{text}");
        }
        for text in ["{{revision}}", "{{canary}} {{}}", "{{Canary}}", r#"{a="{{args.x}}"}"#] {
            let said = unknown(text).unwrap();
            assert!(said.ends_with("known are {{canary}}, {{stable}}, {{namespace}}, {{name}}"), "{text}: {said}");
        }
        assert!(unknown("{{canary}} and {{args.service}}").unwrap().starts_with("found {{args.service}};"));
    }
}
