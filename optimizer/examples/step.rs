use drydock_optimizer::{engine::Engine, onnx, train::*, progress::Progress};
fn cpu() -> f64 { let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime); t.tv_sec as f64 + t.tv_nsec as f64*1e-9 }
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let engine = Engine::load().unwrap();
    let n = 1024;
    let mut r = 1u32;
    let mut rnd = || { r = r.wrapping_mul(1664525).wrapping_add(1013904223); (r >> 8) as f32 / 8388608.0 - 1.0 };
    let x: Vec<f32> = (0..n*784).map(|_| rnd()).collect();
    let labels = (0..n).map(|i| (i % 10) as u32).collect();
    let data = Samples::new(&[1,28,28], x, Some(labels)).unwrap();
    for path in &a[2..] {
        let graph = onnx::read(std::path::Path::new(path)).unwrap().graph;
        let mut times = vec![];
        for steps in [3usize, 3 + a[1].parse::<usize>().unwrap()] {
            let o = Options { steps, labels: 1.0, ..Options::default() };
            let t = cpu();
            let (_, r) = fit(&engine, graph.clone(), None, &data, &o, &mut Progress::silent()).unwrap();
            times.push(cpu() - t);
            if steps > 3 { println!("{path} {r:?}"); }
        }
        println!("{path}: {:.1} ms of CPU for a step", (times[1]-times[0]) / a[1].parse::<f64>().unwrap() * 1e3);
    }
}
