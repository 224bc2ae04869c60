//! The engine behind a bare socket: as little as a server can be. The engine alone, in a loop, has the caches to itself; between two requests
//! of a server the kernel copies half a megabyte into them, and whoever sends it runs on the same cores.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{env, fs, thread};

use clap::Args;
use ort::session::Session;
use serde_json::{Value, json};

use crate::engine::{Engine, floats, infer};
use crate::process::Cost;

#[derive(Debug, Args)]
pub(crate) struct Socket {
    #[command(flatten)]
    engine: Engine,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// The server's part, which prints its port.
    #[arg(long, hide = true)]
    serve: bool,
}

impl Socket {
    pub(crate) fn run(&self) -> Result<Value, Box<dyn Error>> {
        if self.serve {
            return self.serve();
        }
        let mut child = Command::new(env::current_exe()?)
            .args(env::args_os().skip(1))
            .arg("--serve")
            .stdout(Stdio::piped())
            .spawn()?;
        // To be kept: it says something at its end, too, which comes with its connections, however this process ends.
        let mut said = BufReader::new(child.stdout.take().ok_or("no output")?);
        let measured = self.measure(&mut said, child.id());
        if measured.is_err() {
            child.kill()?;
        }
        child.wait()?;
        measured
    }

    fn measure(&self, said: &mut impl BufRead, child: u32) -> Result<Value, Box<dyn Error>> {
        let mut port = String::new();
        said.read_line(&mut port)?;
        let port: u16 = port.trim().parse()?;
        let input = fs::read(&self.engine.input)?;
        let streams: Vec<TcpStream> = (0..self.connections).map(|_| connect(port)).collect::<Result<_, io::Error>>()?;
        send(&streams, &input, self.engine.runs / 10)?;
        let before = Cost::of(child)?;
        send(&streams, &input, self.engine.runs)?;
        let cpu = Cost::of(child)?.cpu.saturating_sub(before.cpu);
        Ok(json!({"cpu_ms": cpu.as_secs_f64() * 1000.0 / f64::from(self.engine.runs)}))
    }

    fn serve(&self) -> Result<Value, Box<dyn Error>> {
        let length = fs::metadata(&self.engine.input)?.len().try_into()?;
        let session = Mutex::new(self.engine.session()?);
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        println!("{}", listener.local_addr()?.port());
        thread::scope(|scope| {
            for stream in listener.incoming().take(self.connections) {
                scope.spawn(|| answer(stream?, length, &session));
            }
        });
        Ok(Value::Null)
    }
}

/// Until the client goes.
fn answer(mut stream: TcpStream, length: usize, session: &Mutex<Session>) -> io::Result<Infallible> {
    stream.set_nodelay(true)?;
    let mut body = vec![0; length];
    loop {
        stream.read_exact(&mut body)?;
        let data = floats(&body);
        let output =
            infer(&mut session.lock().unwrap_or_else(PoisonError::into_inner), &data).map_err(io::Error::other)?;
        let answer: Vec<u8> = output.iter().flat_map(|v| v.to_le_bytes()).collect();
        stream.write_all(&u32::try_from(answer.len()).map_err(io::Error::other)?.to_le_bytes())?;
        stream.write_all(&answer)?;
    }
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// So many requests over all connections, one after another on each.
fn send(streams: &[TcpStream], input: &[u8], requests: u32) -> io::Result<()> {
    let next = AtomicU32::new(0);
    let one = |mut stream: &TcpStream| {
        while next.fetch_add(1, Ordering::Relaxed) < requests {
            stream.write_all(input)?;
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
            stream.read_exact(&mut vec![0; length])?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = streams.iter().map(|s| scope.spawn(|| one(s))).collect();
        threads.into_iter().try_for_each(|t| t.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))))
    })
}
