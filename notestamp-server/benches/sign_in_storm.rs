//! The cost of a storm of sign-ins for other requests: how long a listing takes while 200 clients sign in at once, as a
//! ratio to the time without sign-ins.
//!
//! `cargo bench -p notestamp-server --bench sign_in_storm`

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{EMAIL, Outcome, PASSWORD, Server, quantile};
use futures_util::future::try_join_all;
use reqwest::Method;
use reqwest::header::{COOKIE, SET_COOKIE};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

const SIGN_INS: usize = 200;
const LISTINGS: usize = 400;
/// The pause between two listings, so that the measurement adds no load.
const PAUSE: Duration = Duration::from_millis(5);
/// The delay of a retry: the `Retry-After` of a refusal, and a random addition, because users retry at different times.
const RETRY_AFTER: Duration = Duration::from_secs(2);
const SPREAD: Duration = Duration::from_secs(2);

fn main() -> Outcome<()> {
    // The server, the storm and the listing client run in separate threads, so that the clients' cost is not measured.
    let host = Runtime::new()?;
    let server = host.block_on(Server::spawn())?;
    let lister = Builder::new_current_thread().enable_all().build()?;
    let (listed, stormed) = (server.apart()?, server.apart()?);
    let over = AtomicBool::new(false);

    let cookies = lister.block_on(cookies(&listed))?;
    lister.block_on(list(&listed, &cookies, LISTINGS, &over))?;
    let idle = lister.block_on(list(&listed, &cookies, LISTINGS, &over))?;
    let (stormy, storm) = std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            let clients = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            let outcome = clients.block_on(storm(&stormed));
            over.store(true, Ordering::Relaxed);
            outcome
        });
        let stormy = lister.block_on(list(&listed, &cookies, usize::MAX, &over));
        (stormy, storm.join().expect("the storm does not panic"))
    });
    let (stormy, (turned_away, took)) = (stormy?, storm?);

    println!("{SIGN_INS} signed in within {took:.1?}; {turned_away} times one was told to come back later");
    println!("listing      n     p50     p99    p50 and p99 as ratios to the idle p99");
    let reference = quantile(&idle, 0.99);
    for (name, times) in [("idle", &idle), ("in storm", &stormy)] {
        let (p50, p99) = (quantile(times, 0.5), quantile(times, 0.99));
        let ratio = |time: Duration| time.as_secs_f64() / reference.as_secs_f64();
        let (count, half, most) = (times.len(), ratio(p50), ratio(p99));
        println!("{name:<9} {count:>4} {p50:>7.1?} {p99:>7.1?}    {half:.2} {most:.2}");
    }
    Ok(())
}

async fn cookies(server: &Server) -> Outcome<String> {
    let response = server.sign_in(EMAIL, PASSWORD).await?.error_for_status()?;
    let set = response.headers().get_all(SET_COOKIE).iter().map(|cookie| cookie.to_str());
    let pairs: Result<Vec<_>, _> =
        set.map(|cookie| Ok(cookie?.split(';').next().unwrap_or_default())).collect();
    pairs.map(|pairs| pairs.join("; ")).map_err(|error: reqwest::header::ToStrError| error.into())
}

/// Lists repeatedly, until there are enough samples or the storm is over.
async fn list(server: &Server, cookies: &str, enough: usize, over: &AtomicBool) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    while times.len() < enough && !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let response = server.request(Method::GET, "/home/list").header(COOKIE, cookies).send().await?;
        response.error_for_status()?.bytes().await?;
        times.push(begun.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times)
}

/// Signs all users in. A refused client retries after the time of `Retry-After` and a random addition.
async fn storm(server: &Server) -> reqwest::Result<(usize, Duration)> {
    let begun = Instant::now();
    let clients = (0..SIGN_INS).map(async |client| {
        let mut turned_away = 0;
        while server.sign_in(EMAIL, PASSWORD).await?.status() == 503 {
            turned_away += 1;
            tokio::time::sleep(RETRY_AFTER + SPREAD * client as u32 / SIGN_INS as u32).await;
        }
        Ok::<usize, reqwest::Error>(turned_away)
    });
    let turned_away = try_join_all(clients).await?.into_iter().sum();
    Ok((turned_away, begun.elapsed()))
}
