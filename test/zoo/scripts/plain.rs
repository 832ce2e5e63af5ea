use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{mpsc, Arc, Mutex};
use std::thread;

fn main() {
    let text = std::fs::read_to_string(format!("{}/text", std::env::var("DATA").unwrap())).unwrap();
    let mut count: HashMap<&str, usize> = HashMap::new();
    for w in text.split_whitespace() {
        *count.entry(w).or_default() += 1;
    }
    let mut top: Vec<_> = count.iter().collect();
    top.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    println!("{:?}", &top[..3]);
    let total = Arc::new(Mutex::new(0u64));
    let (tx, rx) = mpsc::channel();
    let crew: Vec<_> = (0..4u64)
        .map(|k| {
            let (total, tx) = (total.clone(), tx.clone());
            thread::spawn(move || {
                let mut x = k + 1;
                for i in 0..150_000_000u64 {
                    x = x.wrapping_mul(6364136223846793005).wrapping_add(i);
                }
                *total.lock().unwrap() ^= x;
                tx.send(k).unwrap();
            })
        })
        .collect();
    for t in crew {
        t.join().unwrap();
    }
    drop(tx);
    let mut who: Vec<u64> = rx.iter().collect();
    who.sort();
    println!("{} {:?}", total.lock().unwrap(), who);
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = l.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut c, _) = l.accept().unwrap();
        let mut all = Vec::new();
        c.read_to_end(&mut all).unwrap();
        all.len()
    });
    let mut c = TcpStream::connect(at).unwrap();
    for i in 0..500 {
        writeln!(c, "line {}", i).unwrap();
    }
    drop(c);
    println!("{}", server.join().unwrap());
    println!("{:?}", Command::new("sh").args(["-c", "exit 7"]).status().unwrap().code());
    println!("{}", std::panic::catch_unwind(|| { std::panic::set_hook(Box::new(|_| ())); panic!("x") }).is_err());
}
