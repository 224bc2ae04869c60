use drydock_contract::{Graphs, Measurements};

/// What, the original's, the candidate's, and what to make of it.
pub type Row = [String; 4];

/// Everything measured, for people: the same on a terminal and in the report.
pub fn rows(measured: &Measurements, graphs: Option<&Graphs>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    if let Some(a) = &measured.accuracy {
        let agreement = format!("agreement {:.2} % of {}", a.agreement, a.images);
        rows.push(row("top-1", percent(a.original_top1), percent(a.top1), agreement));
        rows.extend(change(measured));
        if let (Some(top5), Some(original)) = (a.top5, a.original_top5) {
            rows.push(row("top-5", percent(original), percent(top5), String::new()));
        }
    } else if let Some(d) = &measured.detection {
        let objects = format!("{} objects in {} images", d.objects, d.images);
        rows.push(row("mAP", percent(d.original_map), percent(d.map), objects));
        rows.extend(change(measured));
        rows.push(row("mAP50", percent(d.original_map50), percent(d.map50), String::new()));
        if let Some(f) = &measured.fidelity {
            rows.push(row("agreement", String::new(), percent(f.agreement), "mAP against the original's boxes".into()));
        }
    } else if let Some(f) = &measured.fidelity {
        rows.push(row("agreement", String::new(), percent(f.agreement), format!("of {}", f.images)));
    }
    let mut row = |what: &str, original: String, candidate: String, note: String| {
        rows.push(row(what, original, candidate, note));
    };
    if let Some(decibels) = measured.fidelity.as_ref().and_then(|f| f.sqnr_decibels) {
        row("SQNR", String::new(), format!("{decibels:.1} dB"), String::new());
    }
    if let Some(l) = &measured.latency {
        let faster = format!("{:.2} times as fast", l.speedup());
        row("CPU", format!("{:.3} ms", l.original_cpu), format!("{:.3} ms", l.cpu), faster);
        let unit = "inferences a second of one core".to_owned();
        row("rate", format!("{:.0}", l.original_throughput()), format!("{:.0}", l.throughput()), unit);
        row("p50", format!("{:.3} ms", l.original_p50), format!("{:.3} ms", l.p50), String::new());
        row("p99", format!("{:.3} ms", l.original_p99), format!("{:.3} ms", l.p99), String::new());
        if let (Some(own), Some(original)) = (l.energy_millijoules, l.original_energy_millijoules) {
            row("energy", format!("{original:.2} mJ"), format!("{own:.2} mJ"), String::new());
        }
    }
    if let Some(s) = &measured.size {
        let share = format!("{:.1} % of the size", share(s.bytes, s.original_bytes));
        row("size", format!("{} B", s.original_bytes), format!("{} B", s.bytes), share);
    }
    if let Some(Graphs { original, candidate }) = graphs {
        let of = |own: u64, original: u64| format!("{:.1} %", share(own, original));
        let (own, before) = (candidate.macs, original.macs);
        row("MACs", before.to_string(), own.to_string(), of(own, before) + " of the multiply-accumulates");
        let (own, before) = (candidate.parameters, original.parameters);
        row("values", before.to_string(), own.to_string(), of(own, before) + " of the parameters");
    }
    if let Some(memory) = &measured.memory {
        let peak = format!("{:.1} MiB", memory.peak_bytes as f64 / f64::from(1 << 20));
        row("memory", String::new(), peak, String::new());
    }
    rows
}

/// Of top-1 or mAP.
fn change(measured: &Measurements) -> Option<Row> {
    let quality = measured.quality()?;
    let c = quality.change?;
    let note = format!("95 % sure: {:+.2} to {:+.2} points (p = {:.3})", c.low, c.high, c.p);
    Some(row("change", String::new(), format!("{:+.2}", quality.value - quality.original), note))
}

fn row(what: &str, original: String, candidate: String, note: String) -> Row {
    [what.to_owned(), original, candidate, note]
}

fn percent(value: f64) -> String {
    format!("{value:.2} %")
}

fn share(own: u64, original: u64) -> f64 {
    100.0 * own as f64 / original.max(1) as f64
}
