use maud::{Markup, html};

use super::class;
use crate::evaluate::Answer;
use crate::report::Study;

pub(super) fn lead(study: &Study) -> String {
    let (all, shown) = (study.changed_images, study.changed.len());
    let which = if all == shown as u64 { "All of them" } else { "Those that both models are surest of" };
    format!("{all} images get another answer than before. {which}:")
}

pub(super) fn gallery(study: &Study, labels: &[String]) -> Markup {
    html! {
        div.gallery {
            @for image in &study.changed {
                figure {
                    @if let Some(png) = image.png.as_ref().filter(|p| is_base64(p)) {
                        img src={ "data:image/png;base64," (png) } alt={ "image " (image.index) };
                    }
                    figcaption {
                        @match image.label {
                            Some(label) => b { (class(labels, label)) },
                            None => b { "image " (image.index) },
                        }
                        (answer("original", image.original, image.label, labels))
                        (answer("candidate", image.candidate, image.label, labels))
                    }
                }
            }
        }
    }
}

fn answer(model: &str, answer: Answer, label: Option<usize>, labels: &[String]) -> Markup {
    let right = label.map(|l| l == answer.class);
    html! {
        span.answer {
            i.(model) {} " " (class(labels, answer.class)) (format!(" {:.0} %", 100.0 * answer.probability))
            @match right { Some(true) => " ✓", Some(false) => " ✗", None => "" }
        }
    }
}

fn is_base64(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}
