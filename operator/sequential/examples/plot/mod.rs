//! Panels side by side, each with the share of canaries that was rolled back against the requests that it took.

use std::fmt::Write as _;

pub struct Panel {
    pub title: &'static str,
    /// The true error rate, and after how many requests each of those that were rolled back was.
    pub lines: Vec<(f64, Vec<u32>)>,
}

const WIDTH: f64 = 230.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 50.0;
const GAP: f64 = 55.0;
/// Good canaries in green, bad ones in red, the worse the darker.
const COLOURS: [&str; 5] = ["#2f855a", "#68d391", "#fc8181", "#e53e3e", "#742a2a"];

/// On a white ground, so that it can be read on any page. `most`: requests at the right edge.
pub fn svg(panels: &[Panel], runs: usize, most: u32) -> String {
    let all = LEFT + panels.len() as f64 * (WIDTH + GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all:.0}\" height=\"320\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\" font-weight=\"bold\">Canaries rolled back, of {runs}, against requests to the canary; the limit is 1 % of errors</text>\n"
    );
    for (i, panel) in panels.iter().enumerate() {
        let left = LEFT + i as f64 * (WIDTH + GAP);
        draw(&mut out, panel, left, runs, most).unwrap_or_default();
    }
    legend(&mut out, panels).unwrap_or_default();
    out + "</svg>\n"
}

fn draw(out: &mut String, panel: &Panel, left: f64, runs: usize, most: u32) -> std::fmt::Result {
    let x = |requests: f64| left + WIDTH * requests / f64::from(most);
    let y = |share: f64| TOP + HEIGHT * (1.0 - share);
    writeln!(out, "<text x=\"{left}\" y=\"{}\">{}</text>", TOP - 8.0, panel.title)?;
    for share in [0.0, 0.5, 1.0] {
        let at = y(share);
        writeln!(out, "<line x1=\"{left}\" y1=\"{at}\" x2=\"{}\" y2=\"{at}\" stroke=\"#cbd5e0\"/>", left + WIDTH)?;
        writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0} %</text>",
            left - 4.0,
            at + 4.0,
            share * 100.0
        )?;
    }
    for requests in [0, most / 2, most] {
        let (at, under) = (x(f64::from(requests)), TOP + HEIGHT + 16.0);
        writeln!(out, "<text x=\"{at:.0}\" y=\"{under}\" text-anchor=\"middle\">{requests}</text>")?;
    }
    for ((_, after), colour) in panel.lines.iter().zip(COLOURS) {
        let mut points = format!("{left:.1},{:.1}", y(0.0));
        let mut last = 0.0;
        // A stair for each number of requests, however many were rolled back at it.
        for chunk in after.chunk_by(|a, b| a == b) {
            let (at, share) =
                (x(chunk.first().copied().map_or(0.0, f64::from)), last + chunk.len() as f64 / runs as f64);
            write!(points, " {at:.1},{:.1} {at:.1},{:.1}", y(last), y(share))?;
            last = share;
        }
        write!(points, " {:.1},{:.1}", left + WIDTH, y(last))?;
        writeln!(out, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>")?;
    }
    Ok(())
}

fn legend(out: &mut String, panels: &[Panel]) -> std::fmt::Result {
    let rates = panels.first().map(|p| p.lines.iter().map(|(rate, _)| *rate).collect::<Vec<_>>()).unwrap_or_default();
    for (i, (rate, colour)) in rates.iter().zip(COLOURS).enumerate() {
        let (x, y) = (LEFT + i as f64 * 150.0, TOP + HEIGHT + 44.0);
        writeln!(out, "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>", y - 6.0)?;
        writeln!(out, "<text x=\"{}\" y=\"{y}\">{} % of errors</text>", x + 20.0, rate * 100.0)?;
    }
    Ok(())
}
