//! scratch
#![allow(missing_docs, clippy::unwrap_used)]
use clap::Parser;
use futures::StreamExt as _;
use lapin::{options::*, types::FieldTable, BasicProperties};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use warren_messaging::{link::connect, message::Request, request_id::RequestId, topology::{check, declare::declare}};
use warren_processor::{Handler, Outcome, Work, WorkerSettings};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    worker: WorkerSettings,
    #[arg(long)]
    bare: bool,
    #[arg(long, default_value_t = 10000)]
    messages: u32,
}
struct Noop;
impl Handler for Noop {
    async fn handle(&self, work: Work<'_>) -> Outcome { Outcome::Done(work.data.to_owned()) }
}

fn main() {
    let options = Options::parse();
    let threads: usize = std::env::var("THREADS").map(|t| t.parse().unwrap()).unwrap_or(2);
    let rt = if threads == 0 { tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap() };
    rt.block_on(go(options));
}

async fn go(options: Options) {
    let url = options.worker.broker.url().clone();
    let topology = options.worker.broker.topology();
    let control = connect(&url, "control").await.unwrap();
    declare(&control, &topology.plan()).await.unwrap();
    let ch = control.create_channel().await.unwrap();
    ch.queue_purge(topology.requests().as_str().into(), QueuePurgeOptions::default()).await.unwrap();
    ch.queue_purge(topology.results().as_str().into(), QueuePurgeOptions::default()).await.unwrap();
    ch.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let data = serde_json::value::RawValue::from_string(format!("\"{}\"", "x".repeat(100))).unwrap();
    let mut confirms = futures::stream::FuturesUnordered::new();
    for i in 0..options.messages {
        let id = RequestId::from_text(&format!("0192-{i}")).unwrap();
        let m = Request { request_id: id, request_data: &data }.to_message();
        confirms.push(ch.basic_publish(topology.exchange.as_str().into(), "request".into(), BasicPublishOptions::default(), &m.body, m.properties.clone()).await.unwrap());
        if confirms.len() > 500 { confirms.next().await; }
    }
    while confirms.next().await.is_some() {}
    let n = options.worker.concurrency;
    let stop = CancellationToken::new();
    let cpu0 = cpu();
    let task = if options.bare { tokio::spawn(bare(url.clone(), topology.clone(), n)) } else {
        let (w, s) = (options.worker, stop.clone());
        tokio::spawn(async move { warren_processor::run_until(w, Noop, s).await.unwrap() })
    };
    let mut first = None;
    loop {
        let depth = check::depth(&control, &topology.results()).await.unwrap().unwrap();
        if depth > 0 && first.is_none() { first = Some((Instant::now(), depth)); }
        if depth >= options.messages { break }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (at, d) = first.unwrap();
    println!("{} c={n} {:.0}/s cpu={:.2}s rss={}", if options.bare {"bare"} else {"warren"}, f64::from(options.messages - d) / at.elapsed().as_secs_f64(), cpu()-cpu0, rss());
    stop.cancel();
    if !options.bare { task.await.unwrap(); }
}
fn cpu() -> f64 { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect(); (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0 }
fn rss() -> String { std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmRSS")).unwrap().to_owned() }

async fn bare(url: warren_messaging::broker_url::BrokerUrl, topology: warren_messaging::topology::Topology, n: u16) {
    let consuming = connect(&url, "bare consume").await.unwrap();
    let publishing = connect(&url, "bare publish").await.unwrap();
    let cch = consuming.create_channel().await.unwrap();
    let pch = publishing.create_channel().await.unwrap();
    pch.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    cch.basic_qos(n, BasicQosOptions::default()).await.unwrap();
    let consumer = cch.basic_consume(topology.requests().as_str().into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await.unwrap();
    let style = std::env::var("BARE").unwrap_or_default();
    if style == "inline" {
        consumer.for_each_concurrent(usize::from(n), |d| { let (p, t) = (&pch, &topology); async move {
            let d = d.unwrap();
            p.basic_publish(t.exchange.as_str().into(), "result".into(), BasicPublishOptions { mandatory: true, ..Default::default() }, &d.data, BasicProperties::default().with_delivery_mode(2)).await.unwrap().await.unwrap();
            d.ack(BasicAckOptions::default()).await.unwrap();
        }}).await;
    } else {
        let mut consumer = consumer;
        while let Some(d) = consumer.next().await {
            let (p, t) = (pch.clone(), topology.exchange.clone());
            tokio::spawn(async move {
                let d = d.unwrap();
                p.basic_publish(t.as_str().into(), "result".into(), BasicPublishOptions { mandatory: true, ..Default::default() }, &d.data, BasicProperties::default().with_delivery_mode(2)).await.unwrap().await.unwrap();
                d.ack(BasicAckOptions::default()).await.unwrap();
            });
        }
    }
}
