//! The Prometheus text format, version 0.0.4.

use std::fmt::Write;

/// The two lines that open a family.
pub(super) fn write_header(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// `labels` is the inner text, without braces; empty for none.
pub(super) fn write_sample(
    out: &mut String,
    name: &str,
    labels: &str,
    value: impl std::fmt::Display,
) {
    let _ = if labels.is_empty() {
        writeln!(out, "{name} {value}")
    } else {
        writeln!(out, "{name}{{{labels}}} {value}")
    };
}

/// Appends `name="value"`, after a comma where something stands already.
pub(super) fn write_label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    // Byte by byte, because hardly any value needs it and labels are written at every open.
    if value
        .bytes()
        .any(|byte| matches!(byte, b'\\' | b'"' | b'\n'))
    {
        write_escaped(out, value);
    } else {
        out.push_str(value);
    }
    out.push('"');
}

fn write_escaped(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

pub(super) fn labels_text(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        write_label(&mut text, name, value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{labels_text, write_sample};

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(
            labels_text(&[("a", "b\"c\\d\ne"), ("f", "")]),
            r#"a="b\"c\\d\ne",f="""#
        );
    }

    #[test]
    fn a_sample_without_labels_has_no_braces() {
        let mut out = String::new();
        write_sample(&mut out, "x", "", 3);
        assert_eq!(out, "x 3\n");
    }
}
